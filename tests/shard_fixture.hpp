// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_SHARD_FIXTURE_HPP
#define LTRP_TESTS_SHARD_FIXTURE_HPP

#include "train_fixture.hpp"
#include "train/dataset.hpp"

#include <boost/test/unit_test.hpp>

/// Images, and the contents of a shard of them.
struct ShardFixture : TrainFixture
{
    static std::string must(std::vector<std::string> command)
    {
        if (command[0][0] != '/')
            command.insert(command.begin(), "/usr/bin/env");
        const testing_tools::Outcome outcome = testing_tools::runProcess(command);
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, command[0] << ": " << outcome.err);
        return outcome.out;
    }
    static std::string contents(const cv::ltrp::train::Dataset& dataset, size_t i)
    {
        const std::vector<uchar> bytes = cv::ltrp::image::readPhotoBytes(dataset.paths[i], dataset.place(static_cast<int>(i)), dataset.shards);
        return std::string(bytes.begin(), bytes.end());
    }
    static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
};

#endif
