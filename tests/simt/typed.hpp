// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_TYPED_HPP
#define LTRP_SIMT_TYPED_HPP

#include "halves.hpp"
#include "memory.hpp"
#include "simt.hpp"

#include "core/random.hpp"
#include "ops/cuda/kernels.hpp"
#include "ops/ops.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace simttest
{

namespace kernels = cv::ltrp::ops::simt;
using kernels::DataType;
typedef std::vector<float> Floats;

using cv::ltrp::ops::z;

inline Floats randomFloats(size_t count, uint32_t stream, double scale = 1)
{
    cv::ltrp::RandomStream random(271828, cv::ltrp::RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal() * scale);
    return values;
}

inline float rounded(float v, DataType element)
{
    return element == DataType::Float32 ? v : element == DataType::BFloat16 ? simt::bf16ToFloat(simt::floatToBf16(v))
                                           : simt::halfToFloat(simt::floatToHalf(v));
}
inline Floats rounded(Floats values, DataType element)
{
    for (float& v : values)
        v = rounded(v, element);
    return values;
}
inline const char* nameOf(DataType element)
{
    return element == DataType::Float32 ? "fp32" : element == DataType::BFloat16 ? "bf16" : "fp16";
}
/// Relative error of one rounding to that element type.
inline double stepOf(DataType element)
{
    return element == DataType::Float32 ? 6e-8 : element == DataType::BFloat16 ? 4e-3 : 5e-4;
}
const DataType everyElement[] = {DataType::Float32, DataType::BFloat16, DataType::Float16};

/// An array of any element type on the emulated device.
class Typed
{
public:
    Typed(size_t count, DataType element, const std::string& name)
        : element_(element), wide_(element == DataType::Float32 ? count : 0, name),
          narrow_(element == DataType::Float32 ? 0 : count, name)
    {
    }
    Typed(const Floats& values, DataType element, const std::string& name) : Typed(values.size(), element, name)
    {
        if (element == DataType::Float32)
        {
            simt::upload(wide_.get(), values.data(), values.size() * sizeof(float));
            return;
        }
        std::vector<uint16_t> bits;
        for (const float v : values)
            bits.push_back(element == DataType::BFloat16 ? simt::floatToBf16(v) : simt::floatToHalf(v));
        simt::upload(narrow_.get(), bits.data(), bits.size() * sizeof(uint16_t));
    }
    void* data() const { return element_ == DataType::Float32 ? static_cast<void*>(wide_.get()) : narrow_.get(); }
    operator kernels::Input() const { return kernels::Input(data(), element_); }
    operator kernels::Output() const { return kernels::Output(data(), element_); }
    Floats values() const
    {
        if (element_ == DataType::Float32)
            return wide_.values();
        Floats values;
        for (const uint16_t bits : narrow_.values())
            values.push_back(element_ == DataType::BFloat16 ? simt::bf16ToFloat(bits) : simt::halfToFloat(bits));
        return values;
    }

private:
    DataType element_;
    simt::Buffer<float> wide_;
    simt::Buffer<uint16_t> narrow_;
};

/// Runs it in ascending and in shuffled orders of threads; the results must be bit-identical.
template <class Run>
auto inEveryOrder(const Run& run)
{
    simt::setSchedule({});
    const auto first = run();
    for (uint64_t seed = 1; seed <= 2; ++seed)
    {
        simt::setSchedule({true, seed});
        const auto again = run();
        BOOST_CHECK_MESSAGE(std::equal(first.begin(), first.end(), again.begin(),
                                       [](const auto& a, const auto& b)
                                       { return std::memcmp(&a, &b, sizeof(a)) == 0; }),
                            "the result depends on the order of threads");
    }
    simt::setSchedule({});
    return first;
}

template <class Got, class Want>
void checkNear(const Got& got, const Want& want, double absolute, double relative, const std::string& what)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double worst = -1;
    size_t at = 0;
    for (size_t i = 0; i < got.size(); ++i)
    {
        const double error = std::fabs(static_cast<double>(got[i]) - static_cast<double>(want[i]))
            / (absolute + relative * std::fabs(static_cast<double>(want[i])));
        if (!(error <= worst) && !std::isnan(worst))   // NaN is the worst and is kept
        {
            worst = error;
            at = i;
        }
    }
    BOOST_CHECK_MESSAGE(worst <= 1, what << " [" << at << "]: got " << got[at] << ", expected " << want[at] << " ("
                                         << worst << " of the tolerance)");
}

inline void append(Floats& to, const Floats& more) { to.insert(to.end(), more.begin(), more.end()); }

}  // namespace simttest

#endif
