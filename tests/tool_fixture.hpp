// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_TOOL_FIXTURE_HPP
#define LTRP_TESTS_TOOL_FIXTURE_HPP

#include "process.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <regex>
#include <sstream>

/// Shared by the tests of the `ltrp` tool: photos, small models in the module's own format (the golden ones, converted
/// by the tool itself) and a folder per test.
struct ToolFixture
{
    using Json = nlohmann::json;

    struct Models
    {
        testing_tools::TemporaryFolder folder;
        std::string ranker = folder.file("tiny-ranker.safetensors"), mae = folder.file("tiny-mae.safetensors");

        Models()
        {
            const std::string golden = std::string(LTRP_SOURCE_DIR) + "/tests/data/golden/";
            must({LTRP_TOOL, "convert", golden + "ranker_tiny/ranker_timm.safetensors", ranker, "--heads", "3"});
            must({LTRP_TOOL, "convert", golden + "mae_tiny/mae_fb.safetensors", mae, "--heads", "3", "--decoder-heads",
                  "4"});
        }
        static void must(const std::vector<std::string>& command)
        {
            const testing_tools::Outcome outcome = testing_tools::runProcess(command);
            if (outcome.status != 0)
                throw std::runtime_error(command[1] + " failed: " + outcome.err);
        }
    };

    /// Created once for all tests.
    static const Models& models()
    {
        static const Models made;
        return made;
    }

    /// The shipped sample photos, sorted.
    static const std::vector<std::string>& photos()
    {
        static const std::vector<std::string> found = []()
        {
            std::vector<std::string> list;
            for (const auto& entry : std::filesystem::directory_iterator(photoFolder()))
                if (entry.path().extension() == ".jpg" || entry.path().extension() == ".png")
                    list.push_back(entry.path().string());
            std::sort(list.begin(), list.end());
            if (list.size() < 2)
                throw std::runtime_error(photoFolder() + ": fewer than two photos");
            return list;
        }();
        return found;
    }
    static std::string photoFolder() { return std::string(LTRP_SOURCE_DIR) + "/samples/photos"; }

    static testing_tools::Outcome tool(std::vector<std::string> args,
                                       std::map<std::string, std::string> environment = {})
    {
        args.insert(args.begin(), LTRP_TOOL);
        environment.emplace("OMP_WAIT_POLICY", "passive");   // other tests run concurrently: no spinning in waits
        testing_tools::Outcome outcome = testing_tools::runProcess(args, environment);
        outcome.err = withoutProgress(outcome.err);
        return outcome;
    }

    /// On a slow machine the tool prints its progress now and then: "score: image 1/2 0:20 left mask 3/43".
    static std::string withoutProgress(const std::string& text)
    {
        static const std::regex progress(
            "^(rank|score|tokens|points|regions|roi|eval [a-z]+ .*): (image|frame) [0-9]+/[0-9]+.*");
        std::istringstream lines(text);
        std::string rest;
        for (std::string line; std::getline(lines, line);)
            if (!std::regex_match(line, progress))
                rest += line + "\n";
        return rest;
    }

    /// Runs the tool, expects success and an empty stderr, and returns its output.
    static std::string expectOk(const std::vector<std::string>& args)
    {
        const testing_tools::Outcome outcome = tool(args);
        BOOST_TEST(outcome.status == 0);
        BOOST_TEST(outcome.err == "");
        return outcome.out;
    }

    static Json expectJson(const std::vector<std::string>& args)
    {
        return Json::parse(expectOk(args));
    }

    /// Expects the exit status and exactly one line on stderr that begins with "ltrp COMMAND: " and contains all
    /// `parts`.
    static void expectError(const std::vector<std::string>& args, int status, const std::vector<std::string>& parts)
    {
        BOOST_TEST_CONTEXT("ltrp " << args[0] << " ... expecting '" << parts[0] << "'")
        {
            const testing_tools::Outcome outcome = tool(args);
            BOOST_TEST(outcome.status == status);
            BOOST_TEST(outcome.out == "");
            BOOST_TEST(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
            BOOST_TEST(outcome.err.find("ltrp " + args[0] + ": ") == 0u);
            for (const std::string& part : parts)
                BOOST_TEST(outcome.err.find(part) != std::string::npos, "'" << part << "' is not in: " << outcome.err);
        }
    }

    /// Names of everything in a folder, sorted.
    static std::vector<std::string> namesIn(const std::string& path)
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(path))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }

    testing_tools::TemporaryFolder folder;
};

#endif
