// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Masks in common formats are read correctly by the printed rule, or rejected with the file's name.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include "teach/baselines.hpp"
#include "eval/coverage.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace
{

namespace fs = std::filesystem;

const std::string data = std::string(LTRP_SOURCE_DIR) + "/tests/data/masks/";
const int SIDE = 224;

struct MaskFixture : ToolFixture
{
    void put(const std::string& name, const cv::Mat& pixels) const
    {
        fs::create_directories(fs::path(folder.file(name)).parent_path());
        BOOST_REQUIRE(cv::imwrite(folder.file(name), pixels));
    }
    /// A photo with any content for each name.
    void photos(const std::vector<std::string>& names) const
    {
        for (const std::string& name : names)
        {
            cv::Mat photo(SIDE, SIDE, CV_8UC3);
            cv::randu(photo, cv::Scalar::all(0), cv::Scalar::all(255));
            put("images/" + name, photo);
        }
    }
    std::vector<std::string> command(const std::vector<std::string>& more = {}) const
    {
        std::vector<std::string> words = {"eval", "coverage", folder.path().string(), "--model", models().ranker};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    /// The values of `centre`, which does not depend on pixels, for each image.
    std::map<std::string, std::vector<double>> centre(const std::vector<std::string>& more = {}) const
    {
        std::vector<std::string> words = command(more);
        words.insert(words.end(), {"--json", "-"});
        std::map<std::string, std::vector<double>> shares;
        const Json result = expectJson(words);
        for (const Json& image : result["sets"][0]["per_image"])
            shares[image["image"]] = image["shares"]["centre"].get<std::vector<double>>();
        return shares;
    }
    /// Expected values of `centre` for a foreground.
    static std::vector<double> expected(const cv::Mat& foreground)
    {
        const cv::ltrp::PatchRanking ranking =
            cv::ltrp::teach::BaselineRanker(foreground, {14, 14}).rank(cv::ltrp::teach::Baseline::Centre);
        return cv::ltrp::eval::Coverage(foreground, {14, 14}).kept(ranking, {0.1, 0.25, 0.5, 0.75});
    }
    void refused(const std::vector<std::string>& parts, const std::vector<std::string>& more = {}) const
    {
        expectError(command(more), 1, parts);
    }
};

/// An asymmetric foreground: a rectangle right of the centre.
cv::Mat object(int type, const cv::Scalar& value, cv::Rect place = {100, 60, 80, 50})
{
    cv::Mat mask(SIDE, SIDE, type, cv::Scalar::all(0));
    mask(place).setTo(value);
    return mask;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_eval_masks, MaskFixture)

BOOST_AUTO_TEST_CASE(one_mask_in_every_form_gives_the_same_figures)
{
    fs::copy(data + "images", folder.path() / "images");
    std::map<std::string, std::vector<double>> want;
    for (const char* name : {"cat", "coffee"})
        want[std::string(name) + ".jpg"] =
            expected(cv::imread(data + "ok/" + name + ".png", cv::IMREAD_GRAYSCALE) > 127);
    for (const char* form :
         {"ok", "zero_one", "palette_red255", "rgb_red", "rgba_alpha", "rgba_cutout", "named_jpgpng"})
        BOOST_TEST_CONTEXT(form)
        {
            fs::remove_all(folder.path() / "foreground");
            fs::copy(data + form, folder.path() / "foreground");
            BOOST_TEST((centre() == want));
        }
}

BOOST_AUTO_TEST_CASE(images_and_masks_pair_by_relative_path)
{
    photos({"a/1.png", "b/1.png"});
    put("foreground/a/1.png", object(CV_8U, 255, {0, 0, 16, 16}));
    put("foreground/b/1.png", object(CV_8U, 255, {96, 96, 32, 32}));
    const auto shares = centre();
    BOOST_TEST(shares.at("a/1.png")[2] == 0);   // a corner
    BOOST_TEST(shares.at("b/1.png")[0] == 1);   // the middle

    put("foreground/1.png", object(CV_8U, 255));
    const auto outcome = tool(command());
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("foreground/1.png: has no image of its own") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(pairs_that_are_not_clear_are_named)
{
    photos({"a.png", "a.jpg", "b.png", "c.png"});
    put("foreground/a.png", object(CV_8U, 255));
    put("foreground/b.png", object(CV_8U, 255));
    put("foreground/b.bmp", object(CV_8U, 255));
    put("foreground/c.png", object(CV_8U, 255));
    const auto outcome = tool(command());
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("images/a.png: shares the mask") != std::string::npos);
    BOOST_TEST(outcome.err.find("images/a.jpg: shares the mask") != std::string::npos);
    BOOST_TEST(outcome.err.find("images/b.png: has two masks") != std::string::npos);
    BOOST_TEST(outcome.err.find("the means are over the 1 others") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(values_of_any_depth_are_read)
{
    photos({"a.png"});
    const std::vector<double> want = expected(object(CV_8U, 255));
    for (const cv::Mat& mask : {object(CV_8U, 1), object(CV_8U, 38), object(CV_16U, 1), object(CV_16U, 65535),
                                object(CV_8UC3, {0, 128, 0}), object(CV_16UC3, {0, 0, 300})})
    {
        put("foreground/a.png", mask);
        BOOST_TEST((centre().at("a.png") == want));
    }
    fs::remove(folder.file("foreground/a.png"));
    put("foreground/a.tif", object(CV_32F, 1));
    const auto outcome = tool(command());
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("foreground/a.tif: the mask is of type CV_32FC1, expected 8 or 16 bits") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(class_labels_want_a_rule)
{
    // Two classes, a border of void around the first.
    cv::Mat labels = object(CV_8U, 255, {90, 50, 100, 70});
    object(CV_8U, 7).copyTo(labels, object(CV_8U, 255));
    labels(cv::Rect(10, 10, 20, 20)).setTo(12);
    cv::Mat classes = object(CV_8U, 255), all = object(CV_8U, 255, {90, 50, 100, 70});
    for (cv::Mat* mask : {&classes, &all})
        (*mask)(cv::Rect(10, 10, 20, 20)).setTo(255);

    photos({"a.png"});
    put("foreground/a.png", labels);
    const std::string json = folder.file("c.json");
    refused({"foreground/a.png", "0, 7, 12, 255", "--foreground labels"}, {"--json", json});
    BOOST_TEST(!fs::exists(json));
    BOOST_TEST((centre({"--foreground", "labels"}).at("a.png") == expected(classes)));
    BOOST_TEST((centre({"--foreground", "nonzero"}).at("a.png") == expected(all)));

    // The same in colours, with void as in Pascal VOC.
    cv::Mat colours(SIDE, SIDE, CV_8UC3, cv::Scalar::all(0));
    colours.setTo(cv::Scalar(192, 224, 224), labels == 255);
    colours.setTo(cv::Scalar(0, 0, 128), labels == 7);
    colours.setTo(cv::Scalar(0, 128, 128), labels == 12);
    put("foreground/a.png", colours);
    refused({"foreground/a.png", "RGB(128,0,0)", "--foreground labels"});
    BOOST_TEST((centre({"--foreground", "labels"}).at("a.png") == expected(classes)));

    expectError(command({"--foreground", "classes"}), 2, {"--foreground", "'classes' is none of"});
}

BOOST_AUTO_TEST_CASE(the_rule_is_one_for_all_masks_of_a_set)
{
    // 255 is the object in one, or void next to label 1 in the other: ambiguous.
    photos({"a.png", "b.png"});
    put("foreground/a.png", object(CV_8U, 1));
    put("foreground/b.png", object(CV_8U, 255));
    refused({"foreground/b.png", "0, 1, 255"});
    // No black: it is ambiguous which of two values is background.
    put("foreground/a.png", object(CV_8U, 1) + 1);
    put("foreground/b.png", object(CV_8U, 1) + 1);
    refused({"foreground/a.png", "1, 2"});
}

BOOST_AUTO_TEST_CASE(soft_edges_are_cut_in_the_middle)
{
    photos({"a.png"});
    cv::Mat mask = object(CV_8U, 255, {60, 50, 110, 90});
    cv::GaussianBlur(mask, mask, cv::Size(), 1.5);
    const std::vector<double> want = expected(mask > 127);
    put("foreground/a.png", mask);
    BOOST_TEST((centre().at("a.png") == want));
    BOOST_TEST(expectOk(command()).find("above half of white") != std::string::npos);
    fs::remove(folder.file("foreground/a.png"));
    // JPEG leaves values near 0 and 255 around every edge.
    put("foreground/a.jpg", mask);
    const cv::Mat stored = cv::imread(folder.file("foreground/a.jpg"), cv::IMREAD_GRAYSCALE);
    BOOST_TEST((centre().at("a.png") == expected(stored > 127)));
}

BOOST_AUTO_TEST_CASE(opacity_is_the_mask_where_there_is_any)
{
    photos({"a.png", "b.png"});
    const cv::Mat shape = object(CV_8U, 255);
    const auto with = [&](const cv::Mat& colour, const cv::Mat& alpha)
    {
        cv::Mat mask;
        cv::merge(std::vector<cv::Mat>{colour, colour, colour, alpha}, mask);
        return mask;
    };
    const cv::Mat white(SIDE, SIDE, CV_8U, cv::Scalar(255)), other = object(CV_8U, 255, {0, 0, 50, 50});
    // Opaque everywhere: the colours count.
    put("foreground/a.png", with(shape, white));
    put("foreground/b.png", shape);
    BOOST_TEST((centre().at("a.png") == expected(shape)));
    // Colours and opacity agree, or contradict each other.
    put("foreground/a.png", with(shape, shape));
    put("foreground/b.png", with(white, other));
    BOOST_TEST((centre().at("a.png") == expected(shape)));
    BOOST_TEST((centre().at("b.png") == expected(other)));
    put("foreground/a.png", with(shape, other));
    const auto outcome = tool(command());
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("foreground/a.png: the mask's colours and its opacity show two") != std::string::npos);
    // One of a set of cut-outs has no transparency.
    put("foreground/a.png", shape);
    refused({"foreground/a.png: the mask has no transparent pixel, but", "foreground/b.png"});
    put("foreground/a.png", with(white, shape));
    refused({"foreground/a.png", "--foreground alpha"}, {"--foreground", "nonzero"});
    BOOST_TEST((centre({"--foreground", "alpha"}).at("a.png") == expected(shape)));
}

BOOST_AUTO_TEST_SUITE_END()
