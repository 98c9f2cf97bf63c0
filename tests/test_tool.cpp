// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include "../modules/ltrp/src/io/model_file.hpp"

#include <opencv2/dnn.hpp>
#include <opencv2/ltrp/types.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <cmath>
#include <numeric>

namespace
{

using Json = nlohmann::json;

/// Patch numbers in the expected order of the JSON: best score first, equal ones in raster order.
std::vector<int> sortedByScore(const std::vector<float>& scores)
{
    std::vector<int> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    return order;
}

double largestDifference(const std::vector<float>& a, const std::vector<float>& b)
{
    BOOST_REQUIRE_EQUAL(a.size(), b.size());
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i)
        largest = std::max(largest, std::abs(double(a[i]) - b[i]));
    return largest;
}

/// Makes a ranker with a token head from one with a class head, using the latter's first row.
void tokenRanker(const std::string& from, const std::string& to)
{
    using namespace cv::ltrp;
    const io::Model ofClass = io::loadModel(from);
    io::Model model = ofClass;
    model.ranker.head = vit::Head::Token;
    model.params = vit::ParamArena(vit::rankerLayout(model.ranker));
    for (const vit::ParamInfo& info : model.params.layout.tensors())
        std::copy_n(ofClass.params.at(info.name), info.count, model.params.at(info.name));
    io::saveModel(to, model);
}

/// A square photo; with 224 pixels the tiny models use it without resizing.
cv::Mat squarePhoto(const std::string& path, int side)
{
    cv::Mat image;
    cv::resize(cv::imread(path), image, cv::Size(side, side), 0, 0, cv::INTER_AREA);
    return image;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool, ToolFixture)

BOOST_AUTO_TEST_CASE(help_version_and_unknown_commands)
{
    const std::string help = expectOk({"--help"});
    for (const char* command : {"rank", "score", "pretrain", "train", "eval", "convert", "info", "golden"})
    {
        BOOST_TEST(help.find(std::string("\n  ") + command) != std::string::npos, command << " is not listed");
        const std::string own = expectOk({"help", command});
        BOOST_TEST(own.find(std::string("Usage: ltrp ") + command) == 0u);
        BOOST_TEST(own == expectOk({command, "--help"}));
    }
    BOOST_TEST(help.find("Examples:") != std::string::npos);
    BOOST_TEST(expectOk({"--version"}).find("ltrp " LTRP_VERSION) == 0u);

    const auto unknown = tool({"rnak", "x.jpg"});
    BOOST_TEST(unknown.status == 2);
    BOOST_TEST(unknown.err.find("unknown command 'rnak'; did you mean 'rank'?") != std::string::npos);
    BOOST_TEST(tool({"evil"}).err.find("'eval'") != std::string::npos);
    BOOST_TEST(tool({}).status == 2);
}

BOOST_AUTO_TEST_CASE(rank_writes_scores_order_and_kept_patches)
{
    const std::string json = folder.file("ranks.json");
    for (const double keep : {0.1, 0.25, 1.0})
    {
        expectOk({"rank", photoFolder(), "--model", models().ranker, "--keep", std::to_string(keep), "--json", json});
        const Json list = Json::parse(testing_tools::readText(json));
        BOOST_REQUIRE_EQUAL(list.size(), photos().size());
        for (size_t i = 0; i < list.size(); ++i)
        {
            const cv::Mat photo = cv::imread(photos()[i]);
            BOOST_TEST(list[i]["image"] == photos()[i]);
            BOOST_TEST(list[i]["width"] == photo.cols);
            BOOST_TEST(list[i]["height"] == photo.rows);
            BOOST_TEST(list[i]["grid"] == Json::parse("[14, 14]"));
            const auto scores = list[i]["scores"].get<std::vector<float>>();
            const auto order = list[i]["order"].get<std::vector<int>>();
            BOOST_REQUIRE_EQUAL(scores.size(), 196u);
            BOOST_TEST(order == sortedByScore(scores), boost::test_tools::per_element());
            std::vector<int> best(order.begin(), order.begin() + int(196 * keep));
            std::sort(best.begin(), best.end());
            BOOST_TEST(list[i]["keep"].get<std::vector<int>>() == best, boost::test_tools::per_element());
        }
        BOOST_TEST(list[0]["scores"] != list[1]["scores"]);
    }
    BOOST_TEST(namesIn(folder.path().string()) == std::vector<std::string>{"ranks.json"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(rank_does_not_depend_on_batch_and_threads)
{
    const Json a = expectJson({"rank", photoFolder(), "--model", models().ranker, "--json", "-", "--batch", "1"});
    const Json b = expectJson({"rank", photoFolder(), "--model", models().ranker, "--json", "-", "--batch", "3",
                               "--threads", "1"});
    BOOST_REQUIRE_EQUAL(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
        BOOST_TEST(largestDifference(a[i]["scores"].get<std::vector<float>>(),
                                     b[i]["scores"].get<std::vector<float>>()) < 1e-4);
}

BOOST_AUTO_TEST_CASE(rank_cluster_keeps_the_best_and_others_beside_them)
{
    const std::vector<std::string> command = {"rank", photos()[0], "--model", models().ranker, "--json", "-",
                                              "--select", "cluster", "--keep", "0.5", "--seed", "3"};
    const Json entry = expectJson(command)[0];
    const auto order = entry["order"].get<std::vector<int>>();
    const auto keep = entry["keep"].get<std::vector<int>>();
    BOOST_TEST(keep.size() == 98u);
    BOOST_TEST((std::adjacent_find(keep.begin(), keep.end(), std::greater_equal<int>()) == keep.end()));
    for (int i = 0; i < int(98 * 0.7); ++i)
        BOOST_TEST(std::binary_search(keep.begin(), keep.end(), order[i]), "patch " << order[i] << " of place " << i);
    std::vector<int> best(order.begin(), order.begin() + 98);
    std::sort(best.begin(), best.end());
    BOOST_TEST(keep != best);
    BOOST_TEST(expectJson(command)[0] == entry);
}

BOOST_AUTO_TEST_CASE(rank_overlay_shows_kept_patches_as_they_are)
{
    const std::string square = folder.file("square.png"), overlay = folder.file("overlay.png");
    const int side = 48;   // of a patch: the overlay shows images of this size without scaling
    const cv::Mat photo = squarePhoto(photos()[0], 14 * side);
    cv::imwrite(square, photo);
    const Json entry = expectJson({"rank", square, "--model", models().ranker, "--overlay", overlay, "--json", "-"})[0];
    const cv::Mat picture = cv::imread(overlay);
    BOOST_REQUIRE(picture.cols > 2 * photo.cols);
    BOOST_REQUIRE(picture.rows >= photo.rows);

    // The photo with dimmed dropped patches is somewhere on the left; inside their borders the kept ones must be
    // unchanged. It is located by the kept patch with most contrast.
    const auto inner = [&](int patch)
    { return cv::Rect(patch % 14 * side + 3, patch / 14 * side + 3, side - 6, side - 6); };
    const auto contrast = [&](int patch)
    {
        cv::Scalar mean, deviation;
        cv::meanStdDev(photo(inner(patch)), mean, deviation);
        return deviation[0];
    };
    const auto keep = entry["keep"].get<std::vector<int>>();
    const int clearest =
        *std::max_element(keep.begin(), keep.end(), [&](int a, int b) { return contrast(a) < contrast(b); });
    cv::Mat match;
    cv::matchTemplate(picture.colRange(0, picture.cols / 2), photo(inner(clearest)), match, cv::TM_SQDIFF);
    cv::Point place;
    cv::minMaxLoc(match, nullptr, nullptr, &place);
    const cv::Point corner = place - inner(clearest).tl();
    BOOST_REQUIRE((corner.x >= 0 && corner.y >= 0 && corner.y + photo.rows <= picture.rows));
    for (int patch = 0; patch < 196; ++patch)
    {
        const cv::Mat original = photo(inner(patch)), shown = picture(inner(patch) + corner);
        const double before = cv::sum(cv::mean(original))[0], after = cv::sum(cv::mean(shown))[0];
        if (std::binary_search(keep.begin(), keep.end(), patch))
            BOOST_TEST(cv::norm(original, shown, cv::NORM_INF) == 0, "kept patch " << patch << " was changed");
        else
            BOOST_TEST(after < 0.5 * before + 3, "dropped patch " << patch << " is not dimmed");
    }
}

BOOST_AUTO_TEST_CASE(overlays_of_several_images_have_names_of_their_own)
{
    std::filesystem::create_directories(folder.path() / "a");
    std::filesystem::create_directories(folder.path() / "b");
    for (const char* name : {"a/x.jpg", "b/x.jpg", "a/y.jpg"})
        std::filesystem::copy_file(photos()[0], folder.path() / name);
    const std::string overlays = folder.file("new/overlays");
    expectOk({"rank", folder.file("a"), folder.file("b"), "--model", models().ranker, "--overlay", overlays});
    const std::vector<std::string> expected = {"x_2_rank.jpg", "x_rank.jpg", "y_rank.jpg"};
    BOOST_TEST(namesIn(overlays) == expected, boost::test_tools::per_element());
    for (const std::string& name : expected)
        BOOST_TEST(!cv::imread(overlays + "/" + name).empty());

    // A second run on the whole tree does not rank the overlays of the first.
    const Json list =
        expectJson({"rank", folder.path().string(), "--model", models().ranker, "--overlay", overlays, "--json", "-"});
    BOOST_TEST(list.size() == 3u);
}

BOOST_AUTO_TEST_CASE(rank_prints_a_line_per_image_when_nothing_is_written)
{
    const std::string out = expectOk({"rank", photos()[0], photos()[1], "--model", models().ranker});
    BOOST_TEST(std::count(out.begin(), out.end(), '\n') == 2);
    const Json entry = expectJson({"rank", photos()[0], "--model", models().ranker, "--json", "-"})[0];
    const int best = entry["order"][0];
    const std::string place = "(" + std::to_string(best / 14) + ", " + std::to_string(best % 14) + ")";
    BOOST_TEST(out.find(photos()[0] + ": ") == 0u);
    BOOST_TEST(out.find("keep 49, best (row, column): " + place) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(score_averages_masks)
{
    const std::string json = folder.file("scores.json");
    expectOk({"score", photos()[0], photos()[1], "--mae", models().mae, "--masks", "12", "--json", json,
              "--overlay", folder.file("overlays")});
    const Json list = Json::parse(testing_tools::readText(json));
    BOOST_REQUIRE_EQUAL(list.size(), 2u);
    for (size_t i = 0; i < 2; ++i)
    {
        BOOST_TEST(list[i]["image"] == photos()[i]);
        BOOST_TEST(list[i]["grid"] == Json::parse("[14, 14]"));
        BOOST_TEST(list[i]["mask_ratio"] == 0.9);
        BOOST_TEST(list[i]["removal"] == "decoder");
        BOOST_TEST(list[i]["metric"] == "l1");
        BOOST_TEST(list[i]["masks"] == 12);
        BOOST_TEST(list[i]["seed"] == 0);
        const auto scores = list[i]["scores"].get<std::vector<float>>();
        BOOST_REQUIRE_EQUAL(scores.size(), 196u);
        BOOST_TEST(*std::min_element(scores.begin(), scores.end()) > 0);
    }
    BOOST_TEST(namesIn(folder.file("overlays")).size() == 2u);

    const auto run = [&](const std::vector<std::string>& more)
    {
        std::vector<std::string> words = {"score", photos()[0], "--mae", models().mae, "--masks", "12", "--json", "-"};
        words.insert(words.end(), more.begin(), more.end());
        return expectJson(words);
    };
    BOOST_TEST(run({})[0] == list[0]);
    BOOST_TEST(run({"--seed", "5"})[0]["scores"] != list[0]["scores"]);
    BOOST_TEST(run({"--removal", "encoder"})[0]["scores"] != list[0]["scores"]);
    BOOST_TEST(run({"--metric", "l2"})[0]["scores"] != list[0]["scores"]);
    BOOST_TEST(run({"--space", "pixel"})[0]["scores"] != list[0]["scores"]);
    const auto ranks = run({"--average", "rank"})[0]["scores"].get<std::vector<float>>();
    BOOST_TEST(*std::min_element(ranks.begin(), ranks.end()) >= 0);
    BOOST_TEST(*std::max_element(ranks.begin(), ranks.end()) <= 1);
}

BOOST_AUTO_TEST_CASE(score_of_one_mask_has_visible_patches_only)
{
    for (const char* metric : {"l1", "ssim", "psnr"})
    {
        const Json entry =
            expectJson({"score", photos()[0], "--mae", models().mae, "--masks", "1", "--mask-ratio", "0.75", "--metric",
                        metric, "--json", "-", "--overlay", folder.file("o.png")})[0];
        const auto visible = entry["visible"].get<std::vector<int>>();
        BOOST_TEST(visible.size() == 49u);
        BOOST_TEST((std::adjacent_find(visible.begin(), visible.end(), std::greater_equal<int>()) == visible.end()));
        BOOST_REQUIRE_EQUAL(entry["scores"].size(), 196u);
        for (int patch = 0; patch < 196; ++patch)
        {
            const auto at = std::lower_bound(visible.begin(), visible.end(), patch);
            if (at == visible.end() || *at != patch)
                BOOST_TEST(entry["scores"][patch].is_null());
            else
                BOOST_TEST(entry["scores"][patch] == entry["visible_scores"][at - visible.begin()]);
        }
        BOOST_TEST(!cv::imread(folder.file("o.png")).empty());
    }
}

BOOST_AUTO_TEST_CASE(precision_changes_the_scores_a_little_or_says_why_not)
{
    const auto scores = [&](const std::string& precision)
    {
        return expectJson({"rank", photos()[0], "--model", models().ranker, "--precision", precision, "--json", "-"})[0]
            ["scores"].get<std::vector<float>>();
    };
    const std::vector<float> exact = scores("fp32");
    for (const std::string name : {"bf16", "int8"})
    {
        const cv::String missing = cv::ltrp::missingForTarget(name == "bf16" ? cv::ltrp::TARGET_CPU_BF16
                                                                             : cv::ltrp::TARGET_CPU_INT8);
        if (missing.empty())
        {
            BOOST_TEST(largestDifference(exact, scores(name)) > 0);
            BOOST_TEST(largestDifference(exact, scores(name)) < 0.3);
            continue;
        }
        const auto result = tool({"rank", photos()[0], "--model", models().ranker, "--precision", name, "--json", "-"});
        BOOST_TEST(result.status == 0);
        BOOST_TEST(result.err.find(std::string(missing) + "; computing in fp32") != std::string::npos);
    }
    expectError({"rank", photos()[0], "--model", models().ranker, "--precision", "fp8"}, 2, {"fp8", "fp32, bf16, int8"});
}

BOOST_AUTO_TEST_CASE(a_device_that_is_not_there_is_an_error_that_says_why)
{
    const std::vector<std::string> rank = {"rank", photos()[0], "--model", models().ranker};
    const auto with = [&](std::vector<std::string> more)
    {
        more.insert(more.begin(), rank.begin(), rank.end());
        return more;
    };
    expectError(with({"--device", "tpu"}), 2, {"tpu", "cpu, cuda"});
    expectError(with({"--device", "cuda", "--precision", "int8"}), 2, {"int8", "fp32, tf32, bf16, fp16"});
    expectError({"pretrain", photos()[0], "--out", folder.file("never"), "--precision", "fp16"}, 2, {"fp16", "fp32, bf16, int8"});
    expectError({"pretrain", photos()[0], "--out", folder.file("never"), "--device", "gpu"}, 2, {"gpu", "cpu, cuda"});
    const cv::String missing = cv::ltrp::missingForTarget(cv::ltrp::TARGET_CUDA);
    if (!missing.empty())
    {
        expectError(with({"--device", "cuda"}), 2, {std::string(missing)});
        expectError({"score", photos()[0], "--mae", models().mae, "--device", "cuda", "--precision", "bf16"}, 2,
                    {std::string(missing)});
        expectError({"pretrain", photos()[0], "--out", folder.file("never"), "--device", "cuda", "--precision", "tf32"}, 2,
                    {"--device cuda", std::string(missing)});
        expectError({"train", photos()[0], "--mae", models().mae, "--out", folder.file("never"), "--device", "cuda"}, 2,
                    {"--device cuda", std::string(missing)});
        BOOST_TEST(!std::filesystem::exists(folder.file("never")));
        for (const char* precision : {"fp32", "tf32"})
            expectError({"golden", std::string(LTRP_SOURCE_DIR) + "/tests/data/golden", "--device", "cuda", "--precision", precision},
                        2, {std::string(missing)});
    }
    expectError({"golden", std::string(LTRP_SOURCE_DIR), "--precision", "tf32"}, 2, {"tf32", "tolerances are for fp32"});
    expectError({"golden", std::string(LTRP_SOURCE_DIR), "--device", "cuda", "--precision", "bf16"}, 2,
                {"bf16", "tolerances are for fp32 and tf32"});
}

BOOST_AUTO_TEST_CASE(convert_to_half_precision_and_back_keeps_the_ranking)
{
    const std::string half = folder.file("half.safetensors"), full = folder.file("full.safetensors");
    expectOk({"convert", models().ranker, half, "--dtype", "f16"});
    expectOk({"convert", half, full});
    BOOST_TEST(std::filesystem::file_size(half) < 0.6 * double(std::filesystem::file_size(models().ranker)));
    BOOST_TEST(expectOk({"info", half}).find("F16") != std::string::npos);
    const auto scores = [&](const std::string& model)
    {
        return expectJson({"rank", photos()[0], "--model", model, "--json", "-"})[0]["scores"]
            .get<std::vector<float>>();
    };
    const std::vector<float> wanted = scores(models().ranker), rounded = scores(half);
    BOOST_TEST(largestDifference(wanted, rounded) > 0);
    BOOST_TEST(largestDifference(wanted, rounded) < 0.02);
    BOOST_TEST(largestDifference(rounded, scores(full)) == 0);
}

BOOST_AUTO_TEST_CASE(rank_takes_any_size_with_a_token_head)
{
    // The golden ranker's weights with one row of its head: not a good ranker, but one for every grid.
    const std::string token = folder.file("token.safetensors"), onnx = folder.file("token.onnx");
    tokenRanker(models().ranker, token);
    BOOST_TEST(expectOk({"info", token}).find("head        token") != std::string::npos);
    BOOST_TEST(expectOk({"info", models().ranker}).find("head        class") != std::string::npos);
    const std::string json = folder.file("r.json"), overlay = folder.file("o.png");
    expectOk({"rank", photos()[0], photos()[1], "--model", token, "--size", "96x160", "--json", json});
    for (const Json& entry : Json::parse(testing_tools::readText(json)))
    {
        BOOST_TEST(entry["grid"] == Json({10, 6}));
        BOOST_TEST(entry["scores"].size() == 60u);
        BOOST_TEST(entry["order"].size() == 60u);
        BOOST_TEST(entry["keep"].size() == 15u);
    }
    // One pass for photos of different shapes, each with the grid that fits it.
    const std::string wide = folder.file("wide.png"), tall = folder.file("tall.png");
    const cv::Mat photo = cv::imread(photos()[0]);
    cv::Mat resized;
    cv::resize(photo, resized, cv::Size(300, 150));
    cv::imwrite(wide, resized);
    cv::resize(photo, resized, cv::Size(150, 300));
    cv::imwrite(tall, resized);
    const Json both = expectJson({"rank", wide, tall, wide, "--model", token, "--size", "auto", "--json", "-"});
    BOOST_TEST(both[0]["grid"] == Json({10, 20}));
    BOOST_TEST(both[1]["grid"] == Json({20, 10}));
    BOOST_TEST(both[2]["scores"] == both[0]["scores"]);
    const Json fine = expectJson({"rank", wide, "--model", token, "--size", "auto:800", "--json", "-"});
    BOOST_TEST(fine[0]["grid"] == Json({20, 40}));
    expectOk({"rank", wide, "--model", token, "--size", "auto", "--overlay", overlay});
    BOOST_TEST(!cv::imread(overlay).empty());

    expectOk({"convert", token, onnx, "--size", "320x160"});
    BOOST_TEST(expectOk({"info", onnx}).find("320 x 160 pixels, 20 x 10 patches") != std::string::npos);
    const Json imported = expectJson({"rank", wide, "--model", onnx, "--json", "-"});
    BOOST_TEST(imported[0]["grid"] == Json({10, 20}));
    BOOST_TEST(largestDifference(imported[0]["scores"].get<std::vector<float>>(), both[0]["scores"].get<std::vector<float>>()) < 1e-3);

    for (const char* wrong : {"96", "96x", "x96", "0x96", "96x96x96", "autos", "auto:", "auto:0", "auto:70000", "1e2x16"})
        expectError({"rank", wide, "--model", token, "--size", wrong}, 2, {"--size", wrong});
    expectError({"rank", wide, "--model", token, "--size", "100x96"}, 1, {token, "100 x 96", "multiples of the patch size 16"});
    expectError({"rank", wide, "--model", models().ranker, "--size", "96x96"}, 1, {models().ranker, "class head", "224 x 224"});
    expectError({"rank", wide, "--model", models().ranker, "--size", "auto"}, 1, {models().ranker, "class head"});
    expectError({"rank", photos()[0], "--model", onnx, "--size", "auto"}, 1, {onnx, "convert --size"});
    expectError({"convert", models().ranker, folder.file("x.onnx"), "--size", "96x96"}, 1, {"--size", "class head"});
    expectError({"convert", models().mae, folder.file("x.onnx"), "--size", "96x96"}, 2, {"--size", "autoencoder"});
    expectError({"convert", token, folder.file("x.safetensors"), "--size", "96x96"}, 2, {"--size", ".onnx"});
    expectError({"convert", token, folder.file("x.safetensors"), "--head", "both"}, 2, {"--head", "both"});
}

BOOST_AUTO_TEST_CASE(convert_to_onnx_gives_the_same_scores_in_plain_dnn)
{
    const std::string onnx = folder.file("ranker.onnx"), square = folder.file("square.png");
    expectOk({"convert", models().ranker, onnx});
    BOOST_TEST(expectOk({"info", onnx}).find("14 x 14 patches of 16 x 16") != std::string::npos);
    const cv::Mat photo = squarePhoto(photos()[1], 224);
    cv::imwrite(square, photo);
    const auto wanted =
        expectJson({"rank", square, "--model", models().ranker, "--json", "-"})[0]["scores"].get<std::vector<float>>();

    cv::Mat blob = cv::dnn::blobFromImage(photo, 1 / 255.0, cv::Size(), cv::Scalar(), true);
    const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
    for (int channel = 0; channel < 3; ++channel)
    {
        cv::Mat plane(224, 224, CV_32F, blob.ptr<float>(0, channel));
        plane.convertTo(plane, CV_32F, 1 / deviation[channel], -mean[channel] / deviation[channel]);
    }
    cv::dnn::Net net = cv::dnn::readNetFromONNX(cv::String(onnx));
    net.setInput(blob);
    const cv::Mat scores = net.forward();
    BOOST_TEST(largestDifference(wanted, std::vector<float>(scores.begin<float>(), scores.end<float>())) < 1e-4);
    const auto run = expectJson({"rank", square, "--model", onnx, "--json", "-"})[0]["scores"].get<std::vector<float>>();
    BOOST_TEST(largestDifference(wanted, run) < 1e-4);
}

BOOST_AUTO_TEST_CASE(convert_makes_two_onnx_files_of_an_autoencoder)
{
    const std::string said = expectOk({"convert", models().mae, folder.file("mae.onnx"), "--mask-ratio", "0.75"});
    for (const char* name : {"mae-encoder.onnx", "mae-decoder.onnx"})
        BOOST_TEST(said.find(folder.file(name)) != std::string::npos, said);
    BOOST_TEST(!std::filesystem::exists(folder.file("mae.onnx")));
    const int imageShape[] = {1, 3, 224, 224};
    cv::Mat visible(1, 49, CV_32S), image(4, imageShape, CV_32F, cv::Scalar(0.5));
    for (int i = 0; i < visible.cols; i++)
        visible.at<int>(i) = 4 * i;
    cv::dnn::Net encoder = cv::dnn::readNetFromONNX(cv::String(folder.file("mae-encoder.onnx")));
    encoder.setInput(image, "image");
    encoder.setInput(visible, "visible");
    const cv::Mat latent = encoder.forward("latent").clone();
    BOOST_REQUIRE(latent.dims == 3);
    BOOST_TEST(latent.size[1] == 50);
    cv::dnn::Net decoder = cv::dnn::readNetFromONNX(cv::String(folder.file("mae-decoder.onnx")));
    decoder.setInput(latent, "latent");
    decoder.setInput(visible, "visible");
    const cv::Mat pred = decoder.forward("pred");
    BOOST_REQUIRE(pred.dims == 3);
    BOOST_TEST(pred.size[1] == 196);
    BOOST_TEST(pred.size[2] == 768);
    BOOST_TEST(cv::checkRange(pred.reshape(1, 196)));
}

BOOST_AUTO_TEST_CASE(info_describes_models)
{
    const std::string ranker = expectOk({"info", models().ranker}), mae = expectOk({"info", models().mae, "--tensors"});
    for (const char* part : {"ranker", "224", "16", "48"})
        BOOST_TEST(ranker.find(part) != std::string::npos, "'" << part << "' is not in: " << ranker);
    for (const char* part : {"mae", "decoder_blocks.1.attn.qkv.weight"})
        BOOST_TEST(mae.find(part) != std::string::npos, "'" << part << "' is not in: " << mae);
    BOOST_TEST(ranker.find("attn.qkv.weight") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(models_are_found_where_the_environment_says)
{
    const std::string named = folder.file("models");
    std::filesystem::create_directories(named);
    auto outcome = tool({"rank", photos()[0]}, {{"LTRP_MODELS", named}});
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("no *rank*.safetensors in " + named) != std::string::npos);

    std::filesystem::copy_file(models().ranker, named + "/my-ranker.safetensors");
    std::filesystem::copy_file(models().mae, named + "/my-mae.safetensors");
    outcome = tool({"rank", photos()[0], "--json", "-"}, {{"LTRP_MODELS", named}});
    BOOST_TEST(outcome.status == 0);
    BOOST_TEST(Json::parse(outcome.out) ==
               expectJson({"rank", photos()[0], "--model", models().ranker, "--json", "-"}));
    BOOST_TEST(tool({"score", photos()[0], "--masks", "2"}, {{"LTRP_MODELS", named}}).status == 0);

    std::filesystem::copy_file(models().ranker, named + "/other-ranker.safetensors");
    outcome = tool({"rank", photos()[0]}, {{"LTRP_MODELS", named}});
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("name one with --model") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(models_are_found_beside_a_tool_that_path_finds)
{
    const std::filesystem::path root = std::filesystem::path(folder.file("installed")), tool = LTRP_TOOL;
    std::filesystem::create_directories(root / "bin");
    std::filesystem::create_directories(root / "share/ltrp");
    std::filesystem::copy_file(tool, root / "bin/ltrp");
    std::filesystem::copy_file(models().ranker, root / "share/ltrp/my-ranker.safetensors");
    const std::string command = "unset LTRP_MODELS; cd /; PATH='" + (root / "bin").string() + "':$PATH; ltrp rank '"
                                + photos()[0] + "' --json -";
    const auto outcome = testing_tools::runProcess({"/bin/sh", "-c", command}, {});
    BOOST_TEST(outcome.status == 0);
    BOOST_TEST(Json::parse(outcome.out) ==
               expectJson({"rank", photos()[0], "--model", models().ranker, "--json", "-"}));
}

BOOST_AUTO_TEST_SUITE_END()
