// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"
#include "../modules/ltrp/src/io/model_file.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/opencv_modules.hpp>

#include <set>

namespace
{

using Json = nlohmann::json;
using testing_tools::readText;

/// A data set of two photos with known foreground.
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

std::vector<uchar> fromBase64(const std::string& text)
{
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<uchar> bytes;
    unsigned bits = 0;
    int count = 0;
    for (char c : text)
    {
        const size_t digit = digits.find(c);
        if (digit == std::string::npos)
            break;
        bits = bits << 6 | static_cast<unsigned>(digit);
        count += 6;
        if (count >= 8)
        {
            count -= 8;
            bytes.push_back(static_cast<uchar>(bits >> count & 0xff));
        }
    }
    return bytes;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_eval, CoverageFixture)

BOOST_AUTO_TEST_CASE(everything_foreground_keeps_the_share_of_patches)
{
    for (const char* name : {"a", "b"})
        mask(name, cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    const Json result = coverage({"--model", models().ranker});
    BOOST_TEST(result["keep"] == Json::parse("[0.1, 0.25, 0.5, 0.75]"));
    std::vector<std::string> methods = {"centre", "gradient", "gradient_smooth", "barrier", "barrier_smooth", "perfect", "tiny-ranker", "random", "uniform"};
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

BOOST_AUTO_TEST_CASE(images_are_drawn_independently)
{
    std::filesystem::copy_file(folder.file("images/a.png"), folder.file("images/b.png"), std::filesystem::copy_options::overwrite_existing);
    cv::Mat pixels(224, 224, CV_8U, cv::Scalar(0));
    pixels(cv::Rect(0, 0, 224, 112)).setTo(255);
    for (const char* name : {"a", "b"})
        mask(name, pixels);
    const Json images = coverage({"--model", models().ranker, "--selector", "ranker_sample"})["sets"][0]["per_image"];
    BOOST_REQUIRE(images.size() == 2u);
    BOOST_TEST((images[0]["shares"]["tiny-ranker"] == images[1]["shares"]["tiny-ranker"]));
    BOOST_TEST((images[0]["shares"]["ranker_sample"] != images[1]["shares"]["ranker_sample"]));
}

BOOST_AUTO_TEST_CASE(rivals_with_a_network_are_columns)
{
    cv::ltrp::io::Model network;
    network.kind = cv::ltrp::io::ModelKind::Classifier;
    network.classifier.input.imageSize = 32;
    network.classifier.input.patchSize = 8;
    network.classifier.encoder = {24, 2, 3, 40};
    network.classifier.classes = 2;
    network.classes = {"a", "b"};
    cv::ltrp::vit::initialiseParams(network.classifier, 3, network.params);
    const std::string classifier = folder.file("classifier.safetensors");
    cv::ltrp::io::saveModel(classifier, network);
    for (const char* name : {"a", "b"})
        mask(name, cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    const std::vector<std::string> names = {"class_attention", "grad_cam", "attention_rollout", "encoder_attention", "kmeans_features",
                                            "dpc_knn"};
    std::vector<std::string> options = {"--model", models().ranker, "--mae", models().mae, "--masks", "1", "--classifier", classifier};
    for (const std::string& name : names)
        options.insert(options.end(), {"--selector", name});
    const Json methods = coverage(options)["methods"];
    for (const std::string& name : names)
    {
        BOOST_REQUIRE(methods.contains(name));
        BOOST_TEST(std::abs(methods[name][1].get<double>() - 0.25) < 1e-12);
    }
    const std::string data = folder.path().string();
    expectError({"eval", "coverage", data, "--model", models().ranker, "--selector", "grad_cam"}, 2, {"grad_cam needs --classifier FILE"});
    expectError({"eval", "coverage", data, "--model", models().ranker, "--classifier", classifier}, 2, {"--classifier: no selector"});
    expectError({"eval", "coverage", data, "--model", models().ranker, "--selector", "centre"}, 2,
                {"'centre' is none of dpc_knn, own_error", "measured anyway"});
    expectError({"eval", "coverage", data, "--model", models().ranker, "--selector", "ranker_clusters"}, 2, {"no one order for all shares"});
    expectError({"eval", "points", data, "--classifier", classifier}, 2, {"--classifier goes with 'ltrp eval coverage'"});
}

BOOST_AUTO_TEST_CASE(rankers_are_measured_on_the_grid_of_size)
{
    const std::string shipped = std::string(LTRP_SOURCE_DIR) + "/modules/ltrp/models/ltrp-rank-tiny.safetensors";
    const Json ranks = expectJson({"rank", folder.file("images"), "--model", shipped, "--size", "56x56", "--json", "-"});
    for (size_t image = 0; image < 2; ++image)
    {
        cv::Mat pixels(224, 224, CV_8U, cv::Scalar(0));
        const auto order = ranks[image]["order"].get<std::vector<int>>();
        BOOST_REQUIRE(order.size() == 49u);
        for (size_t place = 0; place < 12; ++place)
            pixels(cv::Rect(order[place] % 7 * 32, order[place] / 7 * 32, 32, 32)).setTo(255);
        mask(image == 0 ? "a" : "b", pixels);
    }
    const Json methods = coverage({"--model", shipped, "--size", "56x56"})["methods"];
    for (const char* method : {"ltrp-rank-tiny", "perfect"})
        BOOST_TEST(methods[method][1] == 1.0);
    BOOST_TEST(methods["ltrp-rank-tiny"][0] < 1.0);
    expectError({"eval", "coverage", folder.path().string(), "--mae", models().mae, "--size", "56x56"}, 2, {"--size is of rankers"});
}

BOOST_AUTO_TEST_CASE(shares_are_the_kept_foreground_of_the_ranking_averaged_over_images)
{
    // Foreground: in image a the ranker's 20 best patches, in b the 100 worst ones.
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

BOOST_AUTO_TEST_CASE(comparisons_and_intervals_follow_from_the_images_own_shares)
{
    cv::Mat left(224, 224, CV_8U, cv::Scalar(0)), right = left.clone();
    left.colRange(0, 60).setTo(255);
    right.colRange(100, 224).setTo(255);
    mask("a", left);
    mask("b", right);
    const Json result = coverage({"--model", models().ranker});
    const Json& images = result["sets"][0]["per_image"];
    BOOST_REQUIRE_EQUAL(images.size(), 2u);
    for (size_t keep = 0; keep < 4; ++keep)
    {
        std::vector<double> model, centre;
        for (const Json& image : images)
        {
            model.push_back(image["shares"]["tiny-ranker"][keep]);
            centre.push_back(image["shares"]["centre"][keep]);
        }
        const auto close = boost::test_tools::tolerance(1e-12);
        BOOST_TEST(result["methods"]["tiny-ranker"][keep].get<double>() == (model[0] + model[1]) / 2, close);
        const Json& against = result["against"]["tiny-ranker"]["centre"][keep];
        const double differences[] = {model[0] - centre[0], model[1] - centre[1]};
        int wins = 0, losses = 0;
        for (double difference : differences)
        {
            wins += difference > 1e-12;
            losses += difference < -1e-12;
        }
        BOOST_TEST(against["wins"] == wins);
        BOOST_TEST(against["losses"] == losses);
        BOOST_TEST(against["ties"] == 2 - wins - losses);
        BOOST_TEST(against["difference"].get<double>() == (differences[0] + differences[1]) / 2, close);
        // With two images a quarter of all draws contain one of them twice: the interval reaches from one to the other.
        const Json& interval = result["intervals"]["tiny-ranker"][keep];
        BOOST_TEST(interval[0].get<double>() == std::min(model[0], model[1]), close);
        BOOST_TEST(interval[1].get<double>() == std::max(model[0], model[1]), close);
        BOOST_TEST(against["interval"][0].get<double>() == std::min(differences[0], differences[1]), close);
        BOOST_TEST(against["interval"][1].get<double>() == std::max(differences[0], differences[1]), close);
    }
}

BOOST_AUTO_TEST_CASE(several_sets_stand_side_by_side_and_pooled)
{
    cv::Mat half(224, 224, CV_8U, cv::Scalar(0));
    half.rowRange(0, 100).setTo(255);
    mask("a", half);
    mask("b", half);
    const std::filesystem::path other = folder.path() / "other set";
    for (const char* part : {"images", "foreground"})
        std::filesystem::create_directories(other / part);
    std::filesystem::copy(folder.file("images/a.png"), other / "images/c.png");
    cv::imwrite((other / "foreground/c.png").string(), 255 - half);

    const std::string root = folder.path().string();
    const Json one = coverage({"--model", models().ranker}),
               both = coverage({other.string(), "--model", models().ranker});
    BOOST_REQUIRE_EQUAL(both["sets"].size(), 2u);
    BOOST_TEST(both["images"] == 3);
    BOOST_TEST(both["sets"][1]["name"] == "other set");
    BOOST_TEST(both["sets"][0]["intervals"] == one["sets"][0]["intervals"]);   // draws do not depend on other sets
    for (size_t keep = 0; keep < 4; ++keep)
        for (const char* method : {"tiny-ranker", "random", "gradient_smooth"})
        {
            const double first = both["sets"][0]["methods"][method][keep],
                         second = both["sets"][1]["methods"][method][keep];
            BOOST_TEST(both["methods"][method][keep].get<double>() == (2 * first + second) / 3,
                       boost::test_tools::tolerance(1e-12));
        }
    std::istringstream lines(expectOk({"eval", "coverage", root, other.string(), "--model", models().ranker}));
    for (std::string line; std::getline(lines, line);)
        BOOST_TEST(line.size() <= 120u, line);
    expectError({"eval", "coverage", root, root + "/", "--model", models().ranker}, 2, {"named twice"});
}

BOOST_AUTO_TEST_CASE(several_models_are_columns_of_their_own)
{
    mask("a", cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    mask("b", cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    std::filesystem::create_directories(folder.path() / "run");
    std::filesystem::copy(models().ranker, folder.path() / "run/centre.safetensors");
    std::filesystem::copy(models().ranker, folder.path() / "run/tiny-ranker.safetensors");
    const Json result =
        coverage({"--model", models().ranker, "--model", folder.file("run/tiny-ranker.safetensors"), "--model",
                  folder.file("run/centre.safetensors"), "--mae", models().mae, "--masks", "1", "--mask-ratio", "0.5"});
    BOOST_REQUIRE_EQUAL(result["models"].size(), 4u);
    const std::string first = std::filesystem::path(models().ranker).parent_path().filename().string() + "/tiny-ranker";
    BOOST_TEST(result["models"][first]["file"] == models().ranker);
    BOOST_TEST(result["models"]["run/tiny-ranker"]["kind"] == "ranker");
    BOOST_TEST(result["models"]["run/centre"]["kind"] == "ranker");   // a baseline has that name
    BOOST_TEST(result["models"]["tiny-mae"]["kind"] == "autoencoder");
    BOOST_TEST(result["methods"][first] == result["methods"]["run/tiny-ranker"]);
    expectError({"eval", "coverage", folder.path().string(), "--model", models().ranker, "--model", models().ranker}, 2,
                {"named twice"});
}

BOOST_AUTO_TEST_CASE(halves_are_fixed_and_share_no_image)
{
    std::set<std::string> all;
    for (int i = 0; i < 40; ++i)
    {
        const std::string name = "photo" + std::to_string(i);
        std::filesystem::copy(folder.file("images/a.png"), folder.file("images/" + name + ".png"));
        mask(name, cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
        all.insert(name + ".png");
    }
    for (const char* name : {"a", "b"})
        std::filesystem::remove(folder.file("images/" + std::string(name) + ".png"));
    const auto names = [&](const std::string& half)
    {
        std::set<std::string> found;
        const Json result = coverage({"--model", models().ranker, "--half", half});
        for (const Json& image : result["sets"][0]["per_image"])
            found.insert(image["image"]);
        return found;
    };
    const std::set<std::string> select = names("select"), report = names("report");
    BOOST_TEST(select.size() + report.size() == all.size());
    std::set<std::string> together = select;
    together.insert(report.begin(), report.end());
    BOOST_TEST(together == all);
    BOOST_TEST(select.size() > 10u);
    BOOST_TEST(report.size() > 10u);
    // Only the names decide: further images do not change another's half, nor does another version of the tool.
    BOOST_TEST(select.count("photo2.png") == 1u);
    BOOST_TEST(report.count("photo0.png") == 1u);
    expectError({"eval", "coverage", folder.path().string(), "--half", "odd"}, 2, {"'odd' is none of"});
}

BOOST_AUTO_TEST_CASE(what_is_read_is_never_overwritten)
{
    for (const char* name : {"a", "b"})
        mask(name, cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    const std::string model = folder.file("m.safetensors");
    std::filesystem::copy(models().ranker, model);
    for (const std::string& input : {folder.file("images/a.png"), folder.file("foreground/b.png"), model})
        for (const char* option : {"--json", "--report"})
            for (const char* half : {"select", "report"})   // the images of the other half too
            {
                const std::string before = readText(input);
                expectError(
                    {"eval", "coverage", folder.path().string(), "--model", model, option, input, "--half", half}, 1,
                    {input, "input"});
                BOOST_TEST((readText(input) == before));
            }
}

BOOST_AUTO_TEST_CASE(the_report_is_a_page_of_its_own)
{
    // Names with markup characters; one photo without colours.
    std::filesystem::rename(folder.file("images/b.png"), folder.file("images/<i>&b.png"));
    cv::imwrite(folder.file("images/a.png"), cv::imread(folder.file("images/a.png"), cv::IMREAD_GRAYSCALE));
    cv::Mat half(224, 224, CV_8U, cv::Scalar(0));
    half.rowRange(0, 100).setTo(255);
    mask("a", half);
    mask("<i>&b", 255 - half);
    const std::string file = folder.file("report.html");
    const std::string printed =
        expectOk({"eval", "coverage", folder.path().string(), "--model", models().ranker, "--report", file});
    BOOST_TEST(printed.find("tiny-ranker") != std::string::npos);   // the tables are printed as well
    BOOST_TEST(expectOk({"eval", "coverage", folder.path().string(), "--model", models().ranker, "--report", file}) == printed);
    const std::string html = readText(file);
    BOOST_TEST(html.find("<i>&") == std::string::npos);
    BOOST_TEST(html.find("&lt;i&gt;&amp;b.png") != std::string::npos);
    BOOST_TEST(html.find("://") == std::string::npos);   // Base64 may hold "http"
    BOOST_TEST(html.find("<script") == std::string::npos);
    BOOST_TEST(html.find("<svg") != std::string::npos);

    // Each figure of the JSON file is in the tables.
    const Json result = coverage({"--model", models().ranker});
    for (const auto& method : result["methods"].items())
        for (const Json& share : method.value())
        {
            char text[16];
            std::snprintf(text, sizeof text, ">%.3f<", share.get<double>());
            BOOST_TEST(html.find(text) != std::string::npos, method.key() << " " << text);
        }
    // Both images: the photo, its foreground, and two images per method; each is a complete JPEG.
    const size_t methods = result["methods"].size();
    size_t pictures = 0;
    const std::string start = "src=\"data:image/jpeg;base64,";
    for (size_t at = html.find(start); at != std::string::npos; at = html.find(start, at + 1))
    {
        const size_t first = at + start.size();
        const cv::Mat picture =
            cv::imdecode(fromBase64(html.substr(first, html.find('"', first) - first)), cv::IMREAD_COLOR);
        BOOST_TEST(picture.cols == 180);
        ++pictures;
    }
    BOOST_TEST(pictures == 2 * 2 * (1 + methods));
}

BOOST_AUTO_TEST_CASE(points_hit_instances)
{
    // a: one square around a point of the 4 x 4 grid and one between its points; b: everything.
    cv::Mat squares = cv::Mat::zeros(224, 224, CV_8U);
    squares(cv::Rect(74, 74, 20, 20)).setTo(255);
    squares(cv::Rect(106, 106, 12, 12)).setTo(255);
    squares.at<uchar>(5, 5) = 255;   // too small for an instance
    mask("a", squares);
    mask("b", cv::Mat(224, 224, CV_8U, cv::Scalar(255)));
    const std::vector<std::string> command = {"eval", "points", folder.path().string(), "--model", models().ranker};
    std::vector<std::string> json = command;
    json.insert(json.end(), {"--count", "16", "--count", "1024", "--spread", "1", "--json", "-"});
    const Json result = expectJson(json);
    BOOST_TEST(result["counts"] == Json::parse("[16, 1024]"));
    BOOST_TEST(result["images"] == 2);
    BOOST_TEST(result["instances"] == 3);
    const Json grid = result["methods"]["grid"], ranker = result["methods"]["tiny-ranker"];
    BOOST_TEST(grid["recall"][0].get<double>() == 0.75);   // half of a's, all of b's
    BOOST_TEST(grid["on_foreground"][0].get<double>() == (1 / 16. + 1) / 2);
    BOOST_TEST(grid["recall"][1].get<double>() == 1.0);    // a point every seven pixels
    BOOST_TEST(ranker["recall"][1].get<double>() == 1.0);
    BOOST_TEST(ranker["recall"][0].get<double>() >= 0.5);
    const Json random = result["methods"]["random"];
    BOOST_TEST(random["recall"][0].get<double>() > 0.5);
    BOOST_TEST(random["recall"][0].get<double>() < 0.75);
    BOOST_TEST(random["on_foreground"][1].get<double>() > 0.5);
    BOOST_TEST(result["per_image"][0]["recall"]["grid"] == Json::parse("[0.5, 1.0]"));
    BOOST_TEST(expectOk(command).find("2 images, 3 instances") != std::string::npos);
    expectError({"eval", "points", folder.path().string(), "--count", "0"}, 2, {"--count: 0 is outside 1 to 1024"});
    expectError({"eval", "points", folder.path().string(), "--spread", "2"}, 2, {"--spread: 2 is outside [0, 1]"});
    expectError({"eval", "points", folder.path().string(), "--report", folder.file("r.html")}, 2, {"--report goes with"});
    expectError({"eval", "coverage", folder.path().string(), "--count", "3"}, 2, {"--count goes with 'ltrp eval points'"});
}

BOOST_AUTO_TEST_SUITE_END()
