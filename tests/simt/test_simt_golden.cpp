// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The recorded cases through the CUDA backend over the emulation: what `ltrp golden --device cuda` does on a GPU.

#include "emulated_device.hpp"
#include "typed.hpp"
#include "process.hpp"
#include "../../samples/ltrp/golden.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <sstream>

namespace fs = std::filesystem;
using namespace simttest;
using cv::ltrp::ops::Precision;

BOOST_AUTO_TEST_SUITE(simt_golden)

namespace
{

/// A device whose products are off by a hundredth, so that whatever it computed is found out.
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
tool::GoldenDevice emulation(Precision precision = Precision::FP32)
{
    tool::GoldenDevice device;
    device.name = "the emulation";
    device.make = [precision](bool frozen) {
        return kernels::makeBackend(std::unique_ptr<kernels::Device>(new OnDevice), precision, frozen);
    };
    return device;
}

/// The recorded cases; of the pseudo-scores, which take the emulation long, only one mask ratio's L1 by decoder
/// removal.
class Cases
{
public:
    Cases()
    {
        const fs::path from = fs::path(LTRP_SOURCE_DIR) / "tests/data/golden";
        fs::copy(from, folder_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
        const fs::path path = fs::path(folder_.path()) / "pseudo_scores/case.json";
        nlohmann::json json = nlohmann::json::parse(testing_tools::readText(path.string())),
                       kept = nlohmann::json::array();
        for (const nlohmann::json& tensor : json.at("tensors"))
            if (tensor.at("name") == "m90.decoder.l1")
                kept.push_back(tensor);
        json["tensors"] = kept;
        testing_tools::writeText(path.string(), json.dump());
    }

    tool::GoldenTotals run(const std::string& name, const tool::GoldenDevice& device, std::string& output) const
    {
        std::ostringstream out;
        const tool::GoldenTotals totals = tool::checkGolden((fs::path(folder_.path()) / name).string(), out, device);
        output = out.str();
        return totals;
    }

private:
    testing_tools::TemporaryFolder folder_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(networks_meet_the_recorded_tolerances)
{
    const Cases cases;
    const std::pair<const char*, int> least[] = {
        {"ranker_tiny", 30}, {"mae_tiny", 14}, {"pseudo_scores", 4}, {"train_step", 100}};
    for (const auto& entry : least)
    {
        std::string output;
        const tool::GoldenTotals totals = cases.run(entry.first, emulation<EmulatedDevice>(), output);
        BOOST_TEST_MESSAGE(output);
        BOOST_CHECK_MESSAGE(totals.failed == 0 && totals.passed >= entry.second, output);
        BOOST_TEST(output.find("networks on the emulation") == 0u);
        BOOST_TEST(output.find("computed on the CPU: ") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(tensor_float_meets_some_of_the_tolerances_of_32_bits)
{
    const Cases cases;
    for (const char* name : {"ranker_tiny", "mae_tiny"})
    {
        std::string output;
        const tool::GoldenTotals totals = cases.run(name, emulation<EmulatedDevice>(Precision::TF32), output);
        BOOST_TEST_MESSAGE(name << ": " << totals.passed << " of " << totals.passed + totals.failed << "\n" << output);
        BOOST_TEST(totals.failed > 0);   // it is really used
        BOOST_TEST(totals.passed > 0);
    }
}

BOOST_AUTO_TEST_CASE(a_device_that_is_off_is_found)
{
    const Cases cases;
    for (const char* name : {"ranker_tiny", "mae_tiny"})
    {
        std::string output;
        const tool::GoldenTotals totals = cases.run(name, emulation<WrongDevice>(), output);
        BOOST_CHECK_MESSAGE(totals.failed >= 2, output);
    }
}

BOOST_AUTO_TEST_CASE(what_only_the_cpu_computes_is_said)
{
    const Cases cases;
    for (const char* name : {"losses", "selection"})
    {
        std::string output;
        const tool::GoldenTotals totals = cases.run(name, emulation<WrongDevice>(), output);
        BOOST_TEST(totals.failed == 0);
        BOOST_TEST(output.find("computed on the CPU: all of it") != std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
