// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_MESSAGES_HPP
#define LTRP_TESTS_MESSAGES_HPP

#include <opencv2/core.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

/// The message of the cv::Exception that `call` throws; empty if it throws none.
template <typename Call> std::string messageOf(Call call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& e)
    {
        return e.err;
    }
    return "";
}

/// An error message of one line that contains all parts.
inline void checkMentions(const std::string& message, const std::vector<std::string>& parts)
{
    BOOST_TEST(!message.empty(), "an exception was expected");
    for (const std::string& part : parts)
        BOOST_TEST(message.find(part) != std::string::npos, "'" << part << "' is not in: " << message);
    BOOST_TEST(message.find('\n') == std::string::npos, "more than one line: " << message);
}

#endif
