// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/opencv_modules.hpp>


namespace
{

using Json = nlohmann::json;
using testing_tools::readText;

/// A data set of two photos whose foreground is known.
struct CoverageFixture : ToolFixture
{
    CoverageFixture()
    {
        std::filesystem::create_directories(folder.path() / "images");
        std::filesystem::create_directories(folder.path() / "foreground");
        for (const char* name : {"a", "b"})
        {
            cv::Mat image(224, 224, CV_8UC3);
            cv::randu(image, cv::Scalar::all(0), cv::Scalar::all(255));
            cv::imwrite(folder.file(std::string("images/") + name + ".png"), image);
        }
    }
    void mask(const std::string& name, const cv::Mat& pixels) const
    {
        cv::imwrite(folder.file("foreground/" + name + ".png"), pixels);
    }
    Json coverage(const std::vector<std::string>& more = {}) const
    {
        std::vector<std::string> command = {"eval", "coverage", folder.path().string(), "--json", "-"};
        command.insert(command.end(), more.begin(), more.end());
        return expectJson(command);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_eval, CoverageFixture)

BOOST_AUTO_TEST_CASE(everything_foreground_keeps_the_share_of_patches)
{
    for (const char* name : {"a", "b"})
        mask(name, cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    const Json result = coverage({"--model", models().ranker});
    BOOST_TEST(result["keep"] == Json::parse("[0.1, 0.25, 0.5, 0.75]"));
    std::vector<std::string> methods = {"centre", "gradient", "gradient_smooth", "tiny-ranker", "random"};
#ifdef HAVE_OPENCV_SALIENCY
    methods.insert(methods.end(), {"fine_grained", "spectral_residual", "spectral_smooth", "spectral_centre_0.3",
                                     "spectral_centre_0.6"});
#endif
    for (const std::string& method : methods)
    {
        BOOST_REQUIRE(result["methods"].contains(method));
        for (size_t i = 0; i < 4; ++i)
        {
            const double keep = result["keep"][i], share = result["methods"][method][i];
            BOOST_TEST(std::abs(share - int(196 * keep) / 196.0) < 1e-12,
                       method << " keeps " << share << " at " << keep);
        }
    }
}

BOOST_AUTO_TEST_CASE(shares_are_the_kept_foreground_of_the_ranking_averaged_over_images)
{
    // Foreground: in image a the 20 best patches of the ranker, in b the 100 worst ones.
    const Json ranks = expectJson({"rank", folder.file("images"), "--model", models().ranker, "--json", "-"});
    for (size_t image = 0; image < 2; ++image)
    {
        cv::Mat pixels(224, 224, CV_8U, cv::Scalar(0));
        const auto order = ranks[image]["order"].get<std::vector<int>>();
        for (size_t place = image == 0 ? 0 : 96; place < (image == 0 ? 20u : 196u); ++place)
            pixels(cv::Rect(order[place] % 14 * 16, order[place] / 14 * 16, 16, 16)).setTo(255);
        mask(image == 0 ? "a" : "b", pixels);
    }
    const auto shares = coverage({"--model", models().ranker})["methods"]["tiny-ranker"].get<std::vector<double>>();
    const std::vector<double> a = {19 / 20.0, 1, 1, 1}, b = {0, 0, 2 / 100.0, 51 / 100.0};
    for (size_t i = 0; i < 4; ++i)
        BOOST_TEST(shares[i] == (a[i] + b[i]) / 2, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(centre_keeps_a_central_square_and_no_corner)
{
    cv::Mat centre(224, 224, CV_8U, cv::Scalar(0)), corner = centre.clone();
    centre(cv::Rect(96, 96, 32, 32)).setTo(255);
    corner(cv::Rect(0, 0, 16, 16)).setTo(255);
    mask("a", centre);
    mask("b", corner);
    const Json shares = coverage({"--model", models().ranker})["methods"]["centre"];
    BOOST_TEST(shares == Json::parse("[0.5, 0.5, 0.5, 0.5]"));
}

BOOST_AUTO_TEST_CASE(autoencoder_score_maps_take_the_rankers_place)
{
    cv::Mat half(224, 224, CV_8U, cv::Scalar(0));
    half.rowRange(0, 100).setTo(255);
    mask("a", half);
    mask("b", half);
    const std::vector<std::string> options = {"--mask-ratio", "0.5", "--masks", "2"};
    std::vector<std::string> command = {"--mae", models().mae};
    command.insert(command.end(), options.begin(), options.end());
    const auto shares = coverage(command)["methods"]["tiny-mae"].get<std::vector<double>>();

    std::vector<double> expected(4, 0);
    for (const char* name : {"a", "b"})
    {
        std::vector<std::string> score = {
            "score", folder.file(std::string("images/") + name + ".png"), "--mae", models().mae, "--json", "-"};
        score.insert(score.end(), options.begin(), options.end());
        const auto scores = expectJson(score)[0]["scores"].get<std::vector<float>>();
        std::vector<int> order(196);
        for (int patch = 0; patch < 196; ++patch)
            order[patch] = patch;
        std::stable_sort(order.begin(), order.end(), [&](int x, int y) { return scores[x] > scores[y]; });
        const double ratios[] = {0.1, 0.25, 0.5, 0.75};
        for (int i = 0; i < 4; ++i)
            for (int place = 0; place < int(196 * ratios[i]); ++place)
                expected[i] += std::min(16, std::max(0, 100 - order[place] / 14 * 16)) * 16 / (100.0 * 224) / 2;
    }
    for (size_t i = 0; i < 4; ++i)
        BOOST_TEST(shares[i] == expected[i], boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(files_without_a_partner_and_bad_masks_are_named)
{
    const std::string root = folder.path().string(), json = folder.file("c.json");
    const std::vector<std::string> command = {"eval", "coverage", root, "--model", models().ranker, "--json", json};
    mask("a", cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    auto outcome = tool(command);
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find(folder.file("images/b.png") + ": has no mask") != std::string::npos);
    BOOST_TEST(Json::parse(readText(json))["methods"].contains("tiny-ranker"));

    mask("b", cv::Mat(100, 224, CV_8U, cv::Scalar(255)));
    mask("c", cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    outcome = tool(command);
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("foreground/c.png: has no image") != std::string::npos);
    BOOST_TEST(outcome.err.find("foreground/b.png: the mask is 224x100 pixels, its image") !=
               std::string::npos);

    std::filesystem::remove(json);
    mask("a", cv::Mat(224, 224, CV_8U, cv::Scalar(0)));
    outcome = tool(command);
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("foreground/a.png: the mask has no foreground pixel") != std::string::npos);
    BOOST_TEST(outcome.err.find("no image could be measured") != std::string::npos);
    BOOST_TEST(!std::filesystem::exists(json));

    expectError({"eval", "coverage", folder.file("images"), "--model", models().ranker}, 1,
                {folder.file("images"), "has no folder images"});
    expectError({"eval", "coverage", folder.file("none"), "--model", models().ranker}, 1,
                {folder.file("none"), "not a folder"});
}

BOOST_AUTO_TEST_SUITE_END()
