// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Common tools of tests/op_cases_*.cpp: random inputs, memory of a backend, plain references.
#ifndef LTRP_TESTS_OP_CASES_TOOLS_HPP
#define LTRP_TESTS_OP_CASES_TOOLS_HPP

#include "op_cases.hpp"

#include <cmath>
#include <limits>

namespace opcases
{

typedef std::vector<float> Floats;
typedef std::vector<double> Doubles;

Floats randomFloats(size_t count, uint32_t stream, double scale = 1);

/// RAII: values in the memory of a backend.
class There
{
public:
    There(const Backend& backend, const Floats& values) : There(backend, values.data(), values.size()) {}
    There(const Backend& backend, const std::vector<int>& values) : There(backend, values.data(), values.size()) {}
    /// `count` uninitialised values.
    There(const Backend& backend, size_t count)
        : There(backend, Floats(count, std::numeric_limits<float>::quiet_NaN()))
    {
    }
    ~There() { backend_.release(data_); }
    There(const There&) = delete;
    There& operator=(const There&) = delete;

    operator float*() const { return static_cast<float*>(data_); }
    const int* ints() const { return count_ ? static_cast<const int*>(data_) : nullptr; }
    Floats back() const
    {
        Floats values(count_);
        backend_.download(data_, values.data(), count_ * sizeof(float));
        return values;
    }

private:
    template <class T>
    There(const Backend& backend, const T* values, size_t count)
        : backend_(backend), data_(backend.allocate(count * sizeof(T))), count_(count)
    {
        static_assert(sizeof(T) == sizeof(float), "read back as floats");
        backend.upload(values, data_, count * sizeof(T));
    }

    const Backend& backend_;
    void* data_;
    size_t count_;
};

/// All inputs of a case in the memory of a backend: on the host the originals, because a backend may identify weights
/// by their addresses.
class Inputs
{
public:
    Inputs(const Backend& backend, const Arrays& arrays) : host_(arrays), onHost_(backend.onHost())
    {
        for (const auto& array : arrays)
            if (!onHost_)
                values_.emplace(std::piecewise_construct, std::forward_as_tuple(array.first),
                                std::forward_as_tuple(backend, array.second));
    }
    const float* operator()(const std::string& name) const
    {
        return onHost_ ? host_.at(name).data() : static_cast<float*>(values_.at(name));
    }

private:
    const Arrays& host_;
    const bool onHost_;
    std::map<std::string, There> values_;
};

inline Doubles wide(const Floats& values) { return Doubles(values.begin(), values.end()); }
inline Floats narrow(const Doubles& values) { return Floats(values.begin(), values.end()); }
using cv::ltrp::ops::z;

Doubles linearRef(const Doubles& x, const Doubles& w, const Doubles& b, int rows, int in, int out);
Doubles layerNormRef(const Doubles& x, const Doubles& w, const Doubles& b, double eps, int rows, int dim);
inline double geluRef(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }
/// out, and the probabilities [batch, heads, tokens, tokens].
void attentionRef(const Doubles& qkv, const std::vector<int>& droppedToken, int batch, int tokens, int dim, int heads, int sharedBy,
                  Doubles& out, Doubles& probabilities);

/// The groups of cases.
std::vector<OpCase> rowCases();         ///< linear, norms, GELU
std::vector<OpCase> attentionCases();
std::vector<OpCase> blockCases();
std::vector<OpCase> metricCases();
std::vector<OpCase> classifyCases();    ///< mean of tokens, cross entropy
std::vector<GradientCase> classifyGradients();
std::vector<OpCase> headCases();        ///< cross-attention, row products, losses of several labels and of segmentation
std::vector<GradientCase> headGradients();
std::vector<OpCase> listCases();        ///< ListMLE
std::vector<GradientCase> listGradients();

}  // namespace opcases

#endif
