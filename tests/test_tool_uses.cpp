// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// ltrp rank with a number of patches that depends on the scores, ltrp tokens, ltrp points, ltrp regions.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/prompts.hpp>
#include <opencv2/ltrp/tokens.hpp>

namespace
{

using Json = nlohmann::json;
using namespace cv::ltrp;

struct UsesFixture : ToolFixture
{
    std::vector<std::string> command(const std::string& name, const std::vector<std::string>& more) const
    {
        std::vector<std::string> all = {name, "--model", models().ranker};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Json json(const std::string& name, std::vector<std::string> more) const
    {
        more.insert(more.end(), {"--json", "-"});
        return expectJson(command(name, more));
    }
    void refusedUsage(const std::string& name, const std::vector<std::string>& more, const std::string& words) const
    {
        expectError(command(name, more), 2, {words});
    }

    /// The ranking of the first sample photo, from the JSON of ltrp rank.
    PatchRanking ranking() const
    {
        const Json entry = json("rank", {photos()[0]})[0];
        PatchRanking result;
        result.imageSize = cv::Size(entry["width"], entry["height"]);
        result.scores = cv::Mat(entry["scores"].get<std::vector<float>>(), true).reshape(1, 14);
        return result;
    }
};

std::vector<int> ints(const Json& list)
{
    return list.get<std::vector<int>>();
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_uses, UsesFixture)

BOOST_AUTO_TEST_CASE(rank_by_mass_and_threshold)
{
    const std::string photo = photos()[0];
    const PatchRanking scores = ranking();
    SelectParams params;
    params.method = SELECT_MASS;
    params.mass = 0.6;
    params.temperature = 0.5;
    BOOST_TEST(ints(json("rank", {photo, "--select", "mass", "--mass", "0.6", "--temperature", "0.5"})[0]["keep"]) ==
               selectPatches(scores, params), boost::test_tools::per_element());
    BOOST_TEST(json("rank", {photo, "--select", "mass", "--min-keep", "0.9"})[0]["keep"].size() == 176u);
    BOOST_TEST(json("rank", {photo, "--select", "mass", "--max-keep", "0.01"})[0]["keep"].size() == 1u);
    params.method = SELECT_THRESHOLD;
    params.threshold = 0.25;
    BOOST_TEST(ints(json("rank", {photo, "--select", "threshold", "--threshold", "0.25"})[0]["keep"]) ==
               selectPatches(scores, params), boost::test_tools::per_element());

    for (const char* mass : {"0", "1.5", "nan"})
        refusedUsage("rank", {photo, "--select", "mass", "--mass", mass}, "is outside (0, 1]");
    refusedUsage("rank", {photo, "--select", "mass", "--temperature", "0"}, "--temperature: 0 is outside");
    refusedUsage("rank", {photo, "--select", "mass", "--min-keep", "0.5", "--max-keep", "0.2"},
                 "--min-keep: 0.5 is above --max-keep, 0.2");
    refusedUsage("rank", {photo, "--select", "threshold"}, "--select threshold needs --threshold");
    refusedUsage("rank", {photo, "--select", "threshold", "--threshold", "inf"}, "is outside the finite numbers");
    refusedUsage("rank", {photo, "--mass", "0.5"}, "--mass goes with --select mass");
    refusedUsage("rank", {photo, "--temperature", "0.5"}, "--temperature goes with --select mass and --select sample");
    refusedUsage("rank", {photo, "--threshold", "0.5"}, "--threshold goes with --select threshold");
    refusedUsage("rank", {photo, "--max-keep", "0.5"}, "--max-keep goes with");
    refusedUsage("rank", {photo, "--select", "mass", "--keep", "0.5"}, "--keep goes with");
}

BOOST_AUTO_TEST_CASE(patches_and_tokens_are_drawn)
{
    const std::string photo = photos()[0];
    SelectParams params;
    params.method = SELECT_SAMPLE;
    params.temperature = 0.7;
    params.seed = 5;
    params.keepRatio = 0.5;
    const std::vector<std::string> options = {photo, "--select", "sample", "--temperature", "0.7", "--seed", "5"};
    const auto with = [](std::vector<std::string> all, const std::vector<std::string>& more)
    {
        all.insert(all.end(), more.begin(), more.end());
        return all;
    };
    const std::vector<int> kept = selectPatches(ranking(), params);
    BOOST_TEST(ints(json("rank", with(options, {"--keep", "0.5"}))[0]["keep"]) == kept, boost::test_tools::per_element());
    std::vector<int> found;   // the regions are those of the same draw
    const Json regions = json("regions", with(options, {"--keep", "0.5"}))[0]["regions"];
    for (const Json& region : regions)
        for (int patch : ints(region["patches"]))
            found.push_back(patch);
    std::sort(found.begin(), found.end());
    BOOST_TEST(found == kept, boost::test_tools::per_element());
    BOOST_TEST(ints(json("tokens", with(options, {"--grid", "10x10", "--budget", "0.5"}))[0]["indices"]) ==
               selectTokens(ranking(), cv::Size(10, 10), params).indices, boost::test_tools::per_element());
    params.count = 40;
    BOOST_TEST(ints(json("tokens", with(options, {"--grid", "10x10", "--budget", "40", "--merge", "2"}))[0]["indices"]) ==
               selectTokens(ranking(), cv::Size(10, 10), params, 2).indices, boost::test_tools::per_element());

    for (const char* temperature : {"0", "-1", "inf", "nan"})
        for (const char* name : {"rank", "regions"})
            refusedUsage(name, {photo, "--select", "sample", "--temperature", temperature}, "is outside (0, infinity)");
    refusedUsage("rank", {photo, "--select", "sample", "--seed", "-1"}, "--seed: -1 is negative");
    for (const char* option : {"--mass", "--threshold", "--min-keep"})
        refusedUsage("rank", {photo, "--select", "sample", option, "0.5"}, std::string(option) + " goes with");
    const auto tokens = [&](const std::vector<std::string>& more, const std::string& words)
    { refusedUsage("tokens", with({photo, "--grid", "10x10"}, more), words); };
    tokens({"--select", "sample", "--temperature", "0"}, "--temperature: 0 is outside (0, infinity)");
    tokens({"--select", "mass"}, "--select: 'mass' is none of topk, sample");
    tokens({"--temperature", "2"}, "--temperature goes with --budget auto and --select sample");
    tokens({"--seed", "2"}, "--seed goes with --select sample");
    tokens({"--budget", "auto", "--select", "sample"}, "--select goes with a --budget that is a number or a share");
    tokens({"--budget", "auto", "--seed", "1"}, "--seed goes with a --budget that is a number or a share");
    tokens({"--select", "sample", "--mass", "0.5"}, "--mass goes with --budget auto");
}

BOOST_AUTO_TEST_CASE(tokens_of_a_grid)
{
    const std::string photo = photos()[0];
    const Json entry = json("tokens", {photo, "--grid", "12x16", "--merge", "2", "--order", "windows", "--budget", "50"})[0];
    SelectParams params;
    params.count = 50;
    const TokenSelection want = selectTokens(ranking(), cv::Size(16, 12), params, 2, TOKEN_ORDER_WINDOWS);
    BOOST_TEST(entry["image"] == photo);
    BOOST_TEST(entry["grid"] == Json::parse("[12, 16]"));
    BOOST_TEST(entry["merge"] == 2);
    BOOST_TEST(entry["order"] == "windows");
    BOOST_TEST(ints(entry["indices"]) == want.indices, boost::test_tools::per_element());
    BOOST_TEST(ints(entry["merged"]) == want.merged, boost::test_tools::per_element());
    BOOST_REQUIRE_EQUAL(entry["positions"].size(), want.indices.size());
    for (size_t i = 0; i < want.indices.size(); ++i)
        BOOST_TEST(entry["positions"][i] == Json({want.rows[i], want.columns[i]}));

    BOOST_TEST(json("tokens", {photo, "--grid", "10x10", "--budget", "0.5"})[0]["indices"].size() == 50u);
    BOOST_TEST(json("tokens", {photo, "--grid", "10x10", "--budget", "1"})[0]["indices"].size() == 1u);
    params.method = SELECT_MASS;
    params.mass = 0.4;
    params.maxRatio = 0.6;
    BOOST_TEST(ints(json("tokens", {photo, "--grid", "10x10", "--budget", "auto", "--mass", "0.4", "--max-keep",
                                    "0.6"})[0]["indices"]) == selectTokens(ranking(), cv::Size(10, 10), params).indices,
               boost::test_tools::per_element());
    BOOST_TEST(expectOk(command("tokens", {photo, "--grid", "10x10"})).find("10x10 tokens, keep 25 in 25 windows of 1x1") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(tokens_at_native_resolution)
{
    const Json list = json("tokens", {photoFolder(), "--patch", "14", "--merge", "2", "--budget", "100000"});
    BOOST_REQUIRE_EQUAL(list.size(), photos().size());
    for (size_t i = 0; i < list.size(); ++i)
    {
        const cv::Mat photo = cv::imread(photos()[i]);
        const cv::Size grid = tokenGrid(photo.size(), 14, 2);
        BOOST_TEST(list[i]["grid"] == Json({grid.height, grid.width}));
        BOOST_TEST(list[i]["indices"].size() == static_cast<size_t>(grid.area()));   // a budget above all tokens
    }
}

BOOST_AUTO_TEST_CASE(bad_tokens)
{
    const std::string photo = photos()[0];
    refusedUsage("tokens", {photo}, "one of --grid and --patch is needed");
    refusedUsage("tokens", {photo, "--grid", "8x8", "--patch", "14"}, "one of --grid and --patch is needed");
    for (const char* grid : {"8", "8x", "0x8", "8x-1", "8x8x8"})
        refusedUsage("tokens", {photo, "--grid", grid}, "is no grid of rows and columns as 24x32");
    refusedUsage("tokens", {photo, "--grid", "5000x1"}, "has a side above 4096");
    refusedUsage("tokens", {photo, "--grid", "9x8", "--merge", "2"}, "no multiples of --merge 2");
    refusedUsage("tokens", {photo, "--patch", "0"}, "--patch: 0 is outside 1 to 4096");
    refusedUsage("tokens", {photo, "--patch", "14", "--merge", "0"}, "--merge: 0 is outside 1 to 64");
    refusedUsage("tokens", {photo, "--patch", "14", "--order", "spiral"}, "--order: 'spiral' is none of raster, windows");
    for (const char* budget : {"0", "-1", "1.5", "0.0", "nan", "all", "10%", "999999999999"})
        refusedUsage("tokens", {photo, "--patch", "14", "--budget", budget}, "--budget: ");
    refusedUsage("tokens", {photo, "--grid", "8x8", "--budget", "65"}, "is more than the 64 tokens of --grid");
    refusedUsage("tokens", {photo, "--grid", "8x8", "--merge", "2", "--budget", "3"}, "less than one window");
    refusedUsage("tokens", {photo, "--grid", "8x8", "--mass", "0.5"}, "--mass goes with --budget auto");
}

BOOST_AUTO_TEST_CASE(points_in_all_formats)
{
    const std::string photo = photos()[0];
    const PatchRanking scores = ranking();
    const std::vector<cv::Point> points = selectPoints(scores, 9, 0.7);
    const std::vector<std::string> options = {"--count", "9", "--spread", "0.7"};
    const auto with = [&](std::vector<std::string> more)
    {
        more.insert(more.end(), options.begin(), options.end());
        return more;
    };
    const Json plain = json("points", with({photo}))[0];
    BOOST_TEST(plain["width"] == scores.imageSize.width);
    BOOST_REQUIRE_EQUAL(plain["points"].size(), 9u);
    const Json coco = json("points", with({photo, photos()[1], "--format", "coco"}));
    BOOST_REQUIRE_EQUAL(coco["annotations"].size(), 2u);
    BOOST_TEST(coco["images"][0]["file_name"] == photo);
    BOOST_TEST(coco["images"][1]["id"] == coco["annotations"][1]["image_id"]);
    BOOST_TEST(coco["annotations"][0]["id"] != coco["annotations"][1]["id"]);
    BOOST_TEST(coco["annotations"][0]["num_keypoints"] == 9);
    BOOST_TEST(coco["annotations"][0]["category_id"] == coco["categories"][0]["id"]);
    BOOST_TEST(coco["categories"][0]["keypoints"].size() == 9u);
    const Json labelme = json("points", with({photo, "--format", "labelme"}));
    BOOST_TEST(labelme["imageHeight"] == scores.imageSize.height);
    for (int i = 0; i < 9; ++i)
    {
        const cv::Point want = points[static_cast<size_t>(i)];
        BOOST_TEST(plain["points"][i]["point"] == Json({want.x, want.y}));
        int patch = 0;
        while (!scores.rect(patch).contains(want))
            ++patch;
        BOOST_TEST(plain["points"][i]["score"].get<float>() == scores.scores.at<float>(patch / 14, patch % 14));
        for (int k = 0; k < 3; ++k)
            BOOST_TEST(coco["annotations"][0]["keypoints"][3 * i + k] == (k == 0 ? want.x : k == 1 ? want.y : 2));
        BOOST_TEST(labelme["shapes"][i]["points"] == Json::array({Json({want.x, want.y})}));
        BOOST_TEST(labelme["shapes"][i]["shape_type"] == "point");
    }
    const std::string overlay = folder.file("points.png");
    expectOk(command("points", with({photo, "--overlay", overlay})));
    const cv::Mat picture = cv::imread(overlay);
    BOOST_REQUIRE(picture.size() == scores.imageSize);
    for (const cv::Point& point : points)
        BOOST_CHECK(picture.at<cv::Vec3b>(point) == cv::Vec3b(40, 40, 220));
    BOOST_TEST(expectOk(command("points", {photo})).find(", 16 points (x, y): (") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(labelme_files_find_their_images)
{
    const std::string target = folder.file("labels/");
    expectOk(command("points", {photoFolder(), "--format", "labelme", "--json", target}));
    const std::vector<std::string> names = namesIn(target);
    BOOST_REQUIRE_EQUAL(names.size(), photos().size());
    for (const std::string& name : names)
    {
        const Json document = Json::parse(testing_tools::readText(target + name));
        BOOST_TEST(!cv::imread(target + document["imagePath"].get<std::string>()).empty());
        BOOST_TEST(document["shapes"].size() == 16u);
    }
    // Files that may contain annotations are not replaced without --overwrite.
    testing_tools::writeText(target + names[0], "by hand");
    std::vector<std::string> again = command("points", {photoFolder(), "--format", "labelme", "--json", target});
    expectError(again, 1, {"exists and may hold annotations", "--overwrite"});
    BOOST_TEST(testing_tools::readText(target + names[0]) == "by hand");
    again.push_back("--overwrite");
    expectOk(again);
    BOOST_TEST(Json::parse(testing_tools::readText(target + names[0]))["shapes"].size() == 16u);
}

BOOST_AUTO_TEST_CASE(regions_in_all_formats)
{
    const std::string photo = photos()[0];
    const PatchRanking scores = ranking();
    SelectParams params;
    params.keepRatio = 0.3;
    std::vector<PatchRegion> regions = keptRegions(scores, selectPatches(scores, params));
    while (regions.back().patches.size() < 2)
        regions.pop_back();
    const std::vector<std::string> options = {"--keep", "0.3", "--min-patches", "2"};
    const auto with = [&](std::vector<std::string> more)
    {
        more.insert(more.end(), options.begin(), options.end());
        return more;
    };
    const Json plain = json("regions", with({photo}))[0]["regions"];
    const Json coco = json("regions", with({photo, "--format", "coco"}));
    const Json labelme = json("regions", with({photo, "--format", "labelme"}));
    BOOST_REQUIRE_EQUAL(plain.size(), regions.size());
    BOOST_REQUIRE_EQUAL(coco["annotations"].size(), regions.size());
    BOOST_REQUIRE_EQUAL(labelme["shapes"].size(), regions.size());
    BOOST_TEST(!coco["categories"][0].contains("keypoints"));
    for (size_t i = 0; i < regions.size(); ++i)
    {
        const PatchRegion& want = regions[i];
        Json pairs = Json::array(), flat = Json::array();
        for (const cv::Point& corner : want.outline)
        {
            pairs.push_back(Json({corner.x, corner.y}));
            flat.push_back(corner.x);
            flat.push_back(corner.y);
        }
        const Json box = {want.box.x, want.box.y, want.box.width, want.box.height};
        int64_t area = 0;
        for (int patch : want.patches)
            area += scores.rect(patch).area();
        BOOST_TEST(plain[i]["box"] == box);
        BOOST_TEST(plain[i]["polygon"] == pairs);
        BOOST_TEST(plain[i]["holes"].size() == want.holes.size());
        BOOST_TEST(plain[i]["area"] == area);
        BOOST_TEST(ints(plain[i]["patches"]) == want.patches, boost::test_tools::per_element());
        BOOST_TEST(coco["annotations"][i]["bbox"] == box);
        BOOST_TEST(coco["annotations"][i]["segmentation"] == Json::array({flat}));
        if (want.holes.empty())
            BOOST_TEST(coco["annotations"][i]["area"].get<double>() == static_cast<double>(area));
        BOOST_TEST(labelme["shapes"][i]["points"] == pairs);
        BOOST_TEST(labelme["shapes"][i]["shape_type"] == "polygon");
    }
    const std::string overlay = folder.file("regions.png");
    expectOk(command("regions", with({photo, "--overlay", overlay})));
    BOOST_CHECK(cv::imread(overlay).size() == scores.imageSize);
    BOOST_TEST(expectOk(command("regions", {photo})).find("regions (x, y, width, height): (") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(bad_points_and_regions)
{
    const std::string photo = photos()[0], file = folder.file("out.json");
    refusedUsage("points", {photo, "--count", "0"}, "--count: 0 is outside 1 to 1024");
    refusedUsage("points", {photo, "--spread", "1.5"}, "--spread: 1.5 is outside [0, 1]");
    refusedUsage("points", {photo, "--format", "yolo", "--json", file}, "--format: 'yolo' is none of plain, coco, labelme");
    refusedUsage("points", {photo, "--format", "coco"}, "--format goes with --json");
    refusedUsage("points", {photoFolder(), "--format", "labelme", "--json", file}, "name a folder");
    refusedUsage("regions", {photo, "--min-patches", "0"}, "--min-patches: 0 is below 1");
    refusedUsage("regions", {photo, "--keep", "0"}, "--keep: 0 is outside (0, 1]");
    refusedUsage("regions", {photo, "--select", "best"}, "--select: 'best' is none of");
    BOOST_TEST(namesIn(folder.path().string()).empty());
}

BOOST_AUTO_TEST_CASE(all_kinds_of_images)
{
    const cv::Mat photo = cv::imread(photos()[0]);
    cv::Mat grey, alpha, deep, odd = photo(cv::Rect(0, 0, 37, 101)).clone();
    cv::cvtColor(photo, grey, cv::COLOR_BGR2GRAY);
    cv::cvtColor(photo, alpha, cv::COLOR_BGR2BGRA);
    photo.convertTo(deep, CV_16U, 257);
    cv::imwrite(folder.file("in_alpha.png"), alpha);
    cv::imwrite(folder.file("in_deep.png"), deep);
    cv::imwrite(folder.file("in_grey.png"), grey);
    cv::imwrite(folder.file("in_odd.png"), odd);
    cv::imwrite(folder.file("pixel.png"), photo(cv::Rect(0, 0, 1, 1)));
    testing_tools::writeText(folder.file("broken.png"), "no image");
    const std::vector<std::string> good = {folder.file("in_alpha.png"), folder.file("in_deep.png"), folder.file("in_grey.png"),
                                           folder.file("in_odd.png")};
    std::vector<std::string> all = good;
    all.insert(all.begin() + 1, {folder.file("pixel.png"), folder.file("broken.png")});
    for (const std::vector<std::string>& own : {std::vector<std::string>{"tokens", "--patch", "14"}, {"points"}, {"regions"}})
        BOOST_TEST_CONTEXT(own[0])
        {
            const std::string result = folder.file("out/" + own[0] + ".json"), pictures = folder.file("out/pictures/");
            std::vector<std::string> args = command(own[0], {own.begin() + 1, own.end()});
            args.insert(args.end(), {"--json", result});
            if (own[0] != "tokens")
                args.insert(args.end(), {"--overlay", pictures});
            std::vector<std::string> some = args;
            some.insert(some.end(), all.begin(), all.end());
            const testing_tools::Outcome outcome = tool(some);
            BOOST_TEST(outcome.status == 1);
            BOOST_TEST(outcome.err.find("pixel.png: ") != std::string::npos);
            BOOST_TEST(outcome.err.find("broken.png: ") != std::string::npos);
            BOOST_TEST(outcome.err.find("2 of 6 images failed") != std::string::npos);
            const Json list = Json::parse(testing_tools::readText(result));
            BOOST_REQUIRE_EQUAL(list.size(), good.size());
            for (size_t i = 0; i < good.size(); ++i)
                BOOST_TEST(list[i]["image"] == good[i]);
            if (own[0] != "tokens")
                BOOST_TEST(namesIn(pictures).size() == good.size());
            std::filesystem::remove_all(folder.path() / "out");
            // All images fail: nothing is written.
            args.push_back(folder.file("pixel.png"));
            BOOST_TEST(tool(args).status == 1);
            BOOST_TEST(!std::filesystem::exists(folder.path() / "out"));
        }
}

BOOST_AUTO_TEST_SUITE_END()
