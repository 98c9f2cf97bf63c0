// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The part of OpenCV's test module that this module's test/ and perf/ use, on top of GoogleTest: distributions do not
// package opencv2/ts.hpp. Within OpenCV's own build the real one is found instead.

#ifndef OPENCV_LTRP_SHIM_TS_HPP
#define OPENCV_LTRP_SHIM_TS_HPP

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef INSTANTIATE_TEST_CASE_P
#define INSTANTIATE_TEST_CASE_P INSTANTIATE_TEST_SUITE_P
#endif

namespace cvtest
{

using cv::norm;

/// Thrown by a test that cannot run here, with the reason: reported as skipped.
class SkipTestException : public std::runtime_error
{
public:
    explicit SkipTestException(const std::string& reason) : std::runtime_error(reason) {}
};

inline std::string& dataSubfolder()
{
    static std::string folder;
    return folder;
}

/// Returns a file below OPENCV_TEST_DATA_PATH. A missing file fails the test; with required == false it skips it,
/// unless OPENCV_TEST_REQUIRE_DATA is set.
inline std::string findDataFile(const std::string& relative, bool required = true)
{
    const char* root = std::getenv("OPENCV_TEST_DATA_PATH");
    std::vector<std::string> places;
    if (root)
    {
        places.push_back(std::string(root) + "/" + dataSubfolder() + "/" + relative);
        places.push_back(std::string(root) + "/" + relative);
    }
    for (const std::string& place : places)
        if (std::ifstream(place.c_str()).good())
            return place;
    const std::string message = "test data '" + relative + "' not found below OPENCV_TEST_DATA_PATH (" +
                                (root ? root : "not set") + ")";
    if (required || std::getenv("OPENCV_TEST_REQUIRE_DATA"))
        throw std::runtime_error(message);
    throw SkipTestException(message);
}

inline void initTests(int argc, char** argv, const char* subfolder)
{
    ::testing::InitGoogleTest(&argc, argv);
    dataSubfolder() = subfolder;
}

}  // namespace cvtest

namespace opencv_test
{
using namespace cv;
using namespace cvtest;
using std::string;
using std::vector;
}  // namespace opencv_test

// As in OpenCV: every test starts with the same random state, and a SkipTestException is a skip, not a failure.
#define LTRP_TS_BODY_(name)                                  \
    void TestBody() override                                 \
    {                                                        \
        cv::theRNG().state = 0x12345678;                     \
        try                                                  \
        {                                                    \
            Body();                                          \
        }                                                    \
        catch (const cvtest::SkipTestException& e)           \
        {                                                    \
            GTEST_SKIP() << e.what();                        \
        }                                                    \
    }

#undef TEST
#define TEST(suite, name)                                    \
    class suite##_##name##_LtrpBase : public ::testing::Test \
    {                                                        \
    protected:                                               \
        LTRP_TS_BODY_(name)                                  \
        virtual void Body() = 0;                             \
    };                                                       \
    class suite##_##name##_Ltrp : public suite##_##name##_LtrpBase \
    {                                                        \
        void Body() override;                                \
        static const ::testing::TestInfo* const info_;       \
    };                                                       \
    const ::testing::TestInfo* const suite##_##name##_Ltrp::info_ = ::testing::RegisterTest( \
        #suite, #name, nullptr, nullptr, __FILE__, __LINE__, \
        []() -> ::testing::Test* { return new suite##_##name##_Ltrp; }); \
    void suite##_##name##_Ltrp::Body()

#define CV_TEST_MAIN(subfolder, ...)                         \
    int main(int argc, char** argv)                          \
    {                                                        \
        cvtest::initTests(argc, argv, subfolder);            \
        return RUN_ALL_TESTS();                              \
    }

#define CV_PERF_TEST_MAIN(module, ...)                       \
    int main(int argc, char** argv)                          \
    {                                                        \
        cvtest::initTests(argc, argv, "");                   \
        return RUN_ALL_TESTS();                              \
    }

namespace perf
{

const cv::Size szVGA(640, 480), sz1080p(1920, 1080);

/// Base of performance tests: runs the cycle at least ten times or for one second and prints the median.
class TestBase : public ::testing::Test
{
protected:
    bool next()
    {
        const Clock::time_point now = Clock::now();
        if (times_.empty() && !running_)
            begun_ = now;
        else
            times_.push_back(std::chrono::duration<double, std::milli>(now - start_).count());
        running_ = true;
        start_ = Clock::now();
        return times_.size() < 10 || (times_.size() < 1000 && now - begun_ < std::chrono::seconds(1));
    }
    void TearDown() override
    {
        if (times_.empty())
            return;
        std::nth_element(times_.begin(), times_.begin() + times_.size() / 2, times_.end());
        std::printf("[   PERF   ] median %.3f ms of %zu runs\n", times_[times_.size() / 2], times_.size());
    }

private:
    typedef std::chrono::steady_clock Clock;
    Clock::time_point begun_, start_;
    std::vector<double> times_;
    bool running_ = false;
};

template <typename T>
class TestBaseWithParam : public TestBase, public ::testing::WithParamInterface<T>
{
};

}  // namespace perf

#define PERF_TEST(suite, name)                               \
    class suite##_##name##_Perf : public perf::TestBase      \
    {                                                        \
        void TestBody() override;                            \
        static const ::testing::TestInfo* const info_;       \
    };                                                       \
    const ::testing::TestInfo* const suite##_##name##_Perf::info_ = ::testing::RegisterTest( \
        #suite, #name, nullptr, nullptr, __FILE__, __LINE__, \
        []() -> ::testing::Test* { return new suite##_##name##_Perf; }); \
    void suite##_##name##_Perf::TestBody()

#define PERF_TEST_P(fixture, name, params)                   \
    class fixture##_##name : public fixture                  \
    {                                                        \
    protected:                                               \
        void PerfTestBody();                                 \
    };                                                       \
    TEST_P(fixture##_##name, name)                           \
    {                                                        \
        cv::theRNG().state = 0x12345678;                     \
        try                                                  \
        {                                                    \
            PerfTestBody();                                  \
        }                                                    \
        catch (const cvtest::SkipTestException& e)           \
        {                                                    \
            GTEST_SKIP() << e.what();                        \
        }                                                    \
    }                                                        \
    INSTANTIATE_TEST_SUITE_P(, fixture##_##name, params);    \
    void fixture##_##name::PerfTestBody()

#define TEST_CYCLE() while (next())
#define SANITY_CHECK_NOTHING() (void)0

#endif
