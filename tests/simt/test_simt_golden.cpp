// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The recorded cases with the CUDA backend on the emulation: the equivalent of `ltrp golden --device cuda` on a GPU.

#include "emulated_device.hpp"
#include "typed.hpp"
#include "golden.hpp"

#include <sstream>

using namespace simttest;
using cv::ltrp::ops::Precision;

BOOST_AUTO_TEST_SUITE(simt_golden)

namespace
{

/// A device whose products are off by one percent, so that everything it computes is detected.
class WrongDevice : public EmulatedDevice
{
public:
    void multiply(const kernels::Product& p) const override
    {
        EmulatedDevice::multiply(p);
        const size_t count = z(p.m) * z(p.n);
        Floats values(count);
        simt::download(values.data(), p.d.data, count * sizeof(float));
        for (float& v : values)
            v *= 1.01f;
        simt::upload(p.d.data, values.data(), count * sizeof(float));
    }
};

template <class OnDevice>
golden::Device emulation(Precision precision = Precision::FP32)
{
    golden::Device device;
    device.name = "the emulation";
    device.make = [precision](bool frozen) {
        return kernels::makeBackend(std::unique_ptr<kernels::Device>(new OnDevice), precision, frozen);
    };
    return device;
}

golden::Totals run(const std::string& name, const golden::Device& device, std::string& output)
{
    std::ostringstream out;
    const golden::Totals totals = golden::check(std::string(LTRP_SOURCE_DIR) + "/tests/data/golden/" + name, out, device);
    output = out.str();
    return totals;
}

}  // namespace

BOOST_AUTO_TEST_CASE(networks_meet_the_recorded_tolerances)
{
    // The others take the emulation minutes: simt_op_cases and simt_trainer compare those passes with the CPU at small
    // sizes.
    const std::pair<const char*, int> least[] = {{"ranker_tiny", 30}, {"mae_tiny", 14}};
    for (const auto& entry : least)
    {
        std::string output;
        const golden::Totals totals = run(entry.first, emulation<EmulatedDevice>(), output);
        BOOST_TEST_MESSAGE(output);
        BOOST_CHECK_MESSAGE(totals.failed == 0 && totals.passed >= entry.second, output);
        BOOST_TEST(output.find("networks on the emulation") == 0u);
        BOOST_TEST(output.find("computed on the CPU: ") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(tensor_float_meets_some_of_the_tolerances_of_32_bits)
{
    for (const char* name : {"ranker_tiny", "mae_tiny"})
    {
        std::string output;
        const golden::Totals totals = run(name, emulation<EmulatedDevice>(Precision::TF32), output);
        BOOST_TEST_MESSAGE(name << ": " << totals.passed << " of " << totals.passed + totals.failed << "\n" << output);
        BOOST_TEST(totals.failed > 0);   // the device is really used
        BOOST_TEST(totals.passed > 0);
    }
}

BOOST_AUTO_TEST_CASE(a_device_that_is_off_is_found)
{
    for (const char* name : {"ranker_tiny", "mae_tiny"})
    {
        std::string output;
        const golden::Totals totals = run(name, emulation<WrongDevice>(), output);
        BOOST_CHECK_MESSAGE(totals.failed >= 2, output);
    }
}

BOOST_AUTO_TEST_CASE(what_only_the_cpu_computes_is_said)
{
    for (const char* name : {"losses", "selection"})
    {
        std::string output;
        const golden::Totals totals = run(name, emulation<WrongDevice>(), output);
        BOOST_TEST(totals.failed == 0);
        BOOST_TEST(output.find("computed on the CPU: all of it") != std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
