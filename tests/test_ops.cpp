// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases.hpp"
#include "core/random.hpp"

#include <opencv2/core/utility.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>

using namespace cv::ltrp;

BOOST_AUTO_TEST_SUITE(ops_list)

namespace
{

/// Kernel sets of this processor; the first is the one in use by default.
std::vector<std::string> kernelSets()
{
    std::vector<std::string> sets;
    for (const char* name : {"avx512bf16", "avx512", "avx2", "baseline"})
    {
        try
        {
            ops::useKernels(name);
            sets.push_back(name);
        }
        catch (const cv::Exception&)
        {
            BOOST_TEST_MESSAGE("this processor has no " << name);
        }
    }
    ops::useKernels("auto");
    return sets;
}

struct RestoreKernels
{
    ~RestoreKernels() { ops::useKernels("auto"); }
};

void compare(const opcases::OpCase& c, const opcases::Arrays& got, const std::string& what)
{
    const opcases::Arrays want = c.reference(c.inputs);
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    for (const auto& array : want)
    {
        const std::vector<float>& g = got.at(array.first);
        BOOST_REQUIRE_EQUAL(g.size(), array.second.size());
        double worst = -1;
        size_t at = 0;
        for (size_t i = 0; i < g.size(); ++i)
        {
            const double error = std::fabs(static_cast<double>(g[i]) - array.second[i])
                / (c.absolute + c.relative * std::fabs(array.second[i]));
            if (!(error <= worst) && !std::isnan(worst))   // NaN is the worst and is kept
            {
                worst = error;
                at = i;
            }
        }
        BOOST_CHECK_MESSAGE(worst <= 1, c.name << ", " << what << ", " << array.first << "[" << at << "]: got " << g[at]
                            << ", expected " << array.second[at] << " (" << worst << " of the tolerance)");
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_operation_equals_its_plain_reference_with_every_kernel_set)
{
    const RestoreKernels restore;
    const std::vector<std::string> sets = kernelSets();
    BOOST_REQUIRE(!sets.empty());
    for (const std::string& set : sets)
    {
        ops::useKernels(set);
        BOOST_REQUIRE_EQUAL(ops::kernelsInUse(), set);
        for (const opcases::OpCase& c : opcases::opCases())
            compare(c, c.run(ops::cpu(), c.inputs), set);
    }
}

BOOST_AUTO_TEST_CASE(every_operation_with_kept_weights_equals_its_plain_reference)
{
    for (const opcases::OpCase& c : opcases::opCases())
    {
        const auto backend = ops::frozenCpu(ops::Precision::FP32);
        compare(c, c.run(*backend, c.inputs), "kept weights");
        compare(c, c.run(*backend, c.inputs), "kept weights, second call");
    }
}

BOOST_AUTO_TEST_CASE(reduced_precision_stays_within_its_rounding)
{
    const RestoreKernels restore;
    // Root mean square error over root mean square of the reference. Rounding a factor to 8 bits of mantissa has an
    // error of 2^-9 / sqrt(3) = 0.11 %, and each product has two factors; large attention scores, which are
    // exponentiated in the softmax, make that ten times as much. 8-bit integers over a normal row's range have an error
    // of some 1 %, and 0.5 % of a score as large as those of scale 6, whose deviation is 36, is a fifth of the weight.
    const std::map<ops::Precision, double> bounds = {{ops::Precision::BF16, 0.012}, {ops::Precision::INT8, 0.04}};
    for (const auto& bound : bounds)
    {
        const std::string missing = ops::cpuLacks(bound.first);
        if (!missing.empty())
        {
            BOOST_TEST_MESSAGE(ops::precisionName(bound.first) << ": " << missing);
            BOOST_CHECK_THROW(ops::frozenCpu(bound.first), cv::Exception);
            continue;
        }
        for (const std::string& set : kernelSets())
        {
            ops::useKernels(set);
            for (const opcases::OpCase& c : opcases::opCases())
            {
                const auto backend = ops::frozenCpu(bound.first);
                const opcases::Arrays got = c.run(*backend, c.inputs), want = c.reference(c.inputs);
                for (const auto& array : want)
                {
                    double error = 0, size = 1e-12;
                    for (size_t i = 0; i < array.second.size(); ++i)
                    {
                        const double wanted = array.second[i], difference = got.at(array.first)[i] - wanted;
                        error += difference * difference;
                        size += wanted * wanted;
                    }
                    BOOST_CHECK_MESSAGE(std::sqrt(error / size) <= bound.second, ops::precisionName(bound.first) << " " << set << " "
                                        << c.name << ", " << array.first << ": " << std::sqrt(error / size));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(eight_bits_keep_many_small_weights_beside_a_large_one)
{
    const std::string missing = ops::cpuLacks(ops::Precision::INT8);
    if (!missing.empty())
    {
        BOOST_TEST_MESSAGE("INT8: " << missing);
        return;
    }
    // Key 0 has 600 times the weight of each of the other 255 keys, which together have 30 %: less than half a 255th
    // each. Its value is 1, theirs are 3: 1.6 on average.
    const int tokens = 256, width = 16, dim = width;
    const double small = 1 / 600.0, wanted = (1 + 255 * small * 3) / (1 + 255 * small);
    std::vector<float> qkv(tokens * 3 * dim, 0.f), out(tokens * dim);
    for (int t = 0; t < tokens; ++t)
    {
        float* row = &qkv[static_cast<size_t>(t * 3 * dim)];
        row[0] = 1;
        row[dim] = t == 0 ? static_cast<float>(-std::log(small) * std::sqrt(width)) : 0.f;
        for (int c = 0; c < width; ++c)
            row[2 * dim + c] = t == 0 ? 1.f : 3.f;
    }
    const RestoreKernels restore;
    for (const std::string& set : kernelSets())
    {
        ops::useKernels(set);
        ops::frozenCpu(ops::Precision::INT8)->attention(qkv.data(), nullptr, out.data(), nullptr, 1, tokens, dim, 1, 1);
        for (float v : out)
            BOOST_REQUIRE_CLOSE_FRACTION(static_cast<double>(v), wanted, 0.03);
    }
}

BOOST_AUTO_TEST_CASE(reduced_precision_is_really_used)
{
    for (const ops::Precision precision : {ops::Precision::BF16, ops::Precision::INT8})
        if (ops::cpuLacks(precision).empty())
            for (const opcases::OpCase& c : opcases::opCases())
                if (c.name.compare(0, 10, "normLinear") == 0 || c.name.compare(0, 11, "finishBlock") == 0)
                    BOOST_CHECK_MESSAGE(c.run(*ops::frozenCpu(precision), c.inputs)
                                        != c.run(*ops::frozenCpu(ops::Precision::FP32), c.inputs),
                                        c.name << " gives the same bits in " << ops::precisionName(precision));
}

BOOST_AUTO_TEST_CASE(one_thread_and_several_agree_to_the_bit)
{
    const int before = cv::getNumThreads();
    for (const opcases::OpCase& c : opcases::opCases())
    {
        cv::setNumThreads(1);
        const opcases::Arrays one = c.run(ops::cpu(), c.inputs);
        cv::setNumThreads(3);
        const opcases::Arrays three = c.run(ops::cpu(), c.inputs);
        if (c.name.compare(0, 6, "linear") == 0 || c.name.compare(0, 10, "normLinear") == 0 ||
            c.name.compare(0, 11, "finishBlock") == 0 || c.name.compare(0, 9, "runBlocks") == 0 ||
            c.name.compare(0, 6, "metric") == 0 || c.name.compare(0, 11, "runVariants") == 0)
            compare(c, three, "3 threads");   // the matrix library may split its sums differently
        else
            BOOST_CHECK_MESSAGE(one == three, c.name << " differs between 1 and 3 threads");
    }
    cv::setNumThreads(before);
}

BOOST_AUTO_TEST_CASE(every_backward_operation_equals_differences_of_the_forward_one)
{
    const RestoreKernels restore;
    for (const std::string& set : kernelSets())
    {
        ops::useKernels(set);
        for (const opcases::GradientError& error : opcases::gradientErrors(ops::cpu()))
            BOOST_CHECK_MESSAGE(error.worst <= error.allowed, set << ", gradient of " << error.name << ": off by "
                                << error.worst << ", largest " << error.largest);
    }
}

BOOST_AUTO_TEST_CASE(gradients_of_weights_are_added_to_what_is_there)
{
    const std::vector<float> dy = {1, 2, 3, 4}, x = {5, 6, 7, 8};   // 2 rows, 2 in, 2 out
    std::vector<float> dw = {100, 200, 300, 400}, db = {10, 20};
    ops::cpu().linearBackwardWeight(dy.data(), x.data(), dw.data(), db.data(), 2, 2, 2);
    const std::vector<float> wantW = {100 + 1 * 5 + 3 * 7, 200 + 1 * 6 + 3 * 8, 300 + 2 * 5 + 4 * 7, 400 + 2 * 6 + 4 * 8};
    const std::vector<float> wantB = {10 + 1 + 3, 20 + 2 + 4};
    BOOST_TEST(dw == wantW, boost::test_tools::per_element());
    BOOST_TEST(db == wantB, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(unknown_kernels_are_refused_by_name)
{
    BOOST_CHECK_EXCEPTION(ops::useKernels("mmx"), cv::Exception,
                          [](const cv::Exception& e) { return e.err.find("mmx") != std::string::npos; });
}

BOOST_AUTO_TEST_SUITE_END()
