// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>

#include <chrono>
#include <csignal>
#include <limits>
#include <thread>

namespace
{

using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::writeText;

struct FaultFixture : ToolFixture
{
    /// Inputs are here, so that `out` contains only what a failed run has left.
    FaultFixture()
    {
        std::filesystem::create_directories(folder.path() / "in");
        std::filesystem::create_directories(folder.path() / "out");
    }

    std::string in(const std::string& name) const { return folder.file("in/" + name); }
    std::string out(const std::string& name) const { return folder.file("out/" + name); }
    std::vector<std::string> left() const { return namesIn(folder.file("out")); }

    /// `rank` and `score` of one bad image: one line with the file and the reason, and nothing written.
    void expectBadImage(const std::string& path, const std::string& reason) const
    {
        expectError({"rank", path, "--model", models().ranker, "--json", out("r.json"), "--overlay", out("r.png")}, 1,
                    {path + ": ", reason});
        expectError(
            {"score", path, "--mae", models().mae, "--masks", "2", "--json", out("s.json"), "--overlay", out("o/")}, 1,
            {path + ": ", reason});
        BOOST_TEST(left().empty());
    }

    /// Waits until a run has written its first overlay, so that it is certainly working, then stops it.
    Outcome stopAfterFirstOverlay(std::vector<std::string> args, const std::string& overlays, int signal) const
    {
        args.insert(args.begin(), LTRP_TOOL);
        Process process(args, {{"OMP_WAIT_POLICY", "passive"}});
        std::error_code error;
        const auto begun = [&]()
        { return std::filesystem::is_directory(overlays, error) && !std::filesystem::is_empty(overlays, error); };
        while (process.running() && !begun())
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        BOOST_TEST(process.running());
        process.signal(signal);
        Outcome outcome = process.wait();
        outcome.err = withoutProgress(outcome.err);
        return outcome;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_faults, FaultFixture)

BOOST_AUTO_TEST_CASE(bad_images)
{
    writeText(in("empty.jpg"), "");
    expectBadImage(in("empty.jpg"), "the file is empty");

    const std::string jpeg = readText(photos()[0]);
    for (const size_t size : {jpeg.size() - 1, jpeg.size() * 3 / 4, jpeg.size() / 10, size_t(2)})
    {
        writeText(in("truncated.jpg"), jpeg.substr(0, size));
        expectBadImage(in("truncated.jpg"), "truncated JPEG");
    }

    cv::Mat photo = cv::imread(photos()[0]);
    cv::imwrite(in("whole.png"), photo);
    const std::string png = readText(in("whole.png"));
    writeText(in("truncated.png"), png.substr(0, png.size() / 2));
    expectBadImage(in("truncated.png"), "not an image that can be decoded");

    writeText(in("text.png"), "not a picture\n");
    expectBadImage(in("text.png"), "not an image that can be decoded");
    expectBadImage(in("missing.png"), "no such file");

    cv::imwrite(in("one.png"), cv::Mat(1, 1, CV_8UC3, cv::Scalar(1, 2, 3)));
    expectBadImage(in("one.png"), "1x1 pixels: smaller than the model's 14x14 patches");
    cv::imwrite(in("strip.png"), cv::Mat(30, 20000, CV_8UC3, cv::Scalar(1, 2, 3)));
    expectBadImage(in("strip.png"), "20000x30 pixels: one side is 666 times the other");

    cv::Mat nan(64, 64, CV_32FC3, cv::Scalar::all(0.5));
    nan.at<cv::Vec3f>(5, 7)[1] = std::numeric_limits<float>::quiet_NaN();
    cv::imwrite(in("nan.tiff"), nan, {cv::IMWRITE_TIFF_COMPRESSION, 1});   // the default compression has no NaN
    expectBadImage(in("nan.tiff"), "nan at column 7, row 5");

    std::filesystem::create_directories(in("nothing"));
    expectBadImage(in("nothing"), "no images in this folder");
}

BOOST_AUTO_TEST_CASE(good_images_are_done_beside_bad_ones)
{
    std::filesystem::copy_file(photos()[0], in("a.jpg"));
    std::filesystem::copy_file(photos()[1], in("c.jpg"));
    writeText(in("b.jpg"), readText(photos()[0]).substr(0, 5000));
    const std::string folderIn = folder.file("in");
    const std::vector<std::vector<std::string>> commands = {
        {"rank", folderIn, "--model", models().ranker, "--json", out("list.json"), "--overlay", out("overlays")},
        {"score", folderIn, "--mae", models().mae, "--masks", "2", "--json", out("list.json"), "--overlay",
         out("overlays")}};
    for (const auto& command : commands)
    {
        const Outcome outcome = tool(command);
        BOOST_TEST(outcome.status == 1);
        BOOST_TEST(outcome.err == "ltrp " + command[0] + ": " + in("b.jpg") +
                                      ": truncated JPEG: the end marker is missing\n" + "ltrp " + command[0] +
                                      ": 1 of 3 images failed\n");
        const Json list = Json::parse(readText(out("list.json")));
        BOOST_REQUIRE_EQUAL(list.size(), 2u);
        BOOST_TEST(list[0]["image"] == in("a.jpg"));
        BOOST_TEST(list[1]["image"] == in("c.jpg"));
        const std::vector<std::string> names = {"a_" + command[0] + ".jpg", "c_" + command[0] + ".jpg"};
        BOOST_TEST(namesIn(out("overlays")) == names, boost::test_tools::per_element());
        std::filesystem::remove_all(folder.path() / "out");
        std::filesystem::create_directories(folder.path() / "out");
    }
}

BOOST_AUTO_TEST_CASE(bad_options)
{
    const std::string photo = photos()[0], ranker = models().ranker, mae = models().mae;
    for (const char* keep : {"0", "-0.5", "1.5", "nan", "much"})
        expectError({"rank", photo, "--model", ranker, "--keep", keep, "--json", out("r.json")}, 2, {"keep", keep});
    expectError({"rank", photo, "--model", ranker, "--batch", "0"}, 2, {"--batch: 0 is outside 1 to 1024"});
    expectError({"rank", photo, "--model", ranker, "--threads", "0"}, 2, {"--threads: 0 is outside"});
    expectError({"rank", photo, "--model", ranker, "--select", "best"}, 2,
                {"--select: 'best' is none of topk, cluster, mass, threshold, sample"});
    expectError({"rank", photo, "--model", ranker, "--seed", "-1"}, 2, {"--seed: -1 is negative"});
    expectError({"rank", photo, "--modell", ranker}, 2, {"modell"});
    expectError({"rank"}, 2, {"missing PATH"});
    expectError({"score", photo, "--mae", mae, "--metric", "l3"}, 2, {"--metric: 'l3' is none of l1, l2, ssim, psnr"});
    expectError({"score", photo, "--mae", mae, "--masks", "0"}, 2, {"--masks: 0 is outside"});
    for (const char* ratio : {"0", "1", "nan"})
        expectError({"score", photo, "--mae", mae, "--mask-ratio", ratio}, 2, {"--mask-ratio", "outside (0, 1)"});
    expectError({"score", photo, "--mae", mae, "--mask-ratio", "0.999"}, 2,
                {"leaves 0 of the model's 196 patches visible"});
    expectError({"convert", ranker}, 2, {"missing IN and OUT"});
    expectError({"convert", ranker, out("r.txt")}, 2, {out("r.txt"), ".safetensors or .onnx"});
    expectError({"convert", ranker, out("r.safetensors"), "--dtype", "f8"}, 2, {"--dtype: 'f8' is none of"});
    expectError({"eval", "beauty", "x"}, 2, {"'beauty'"});
    BOOST_TEST(left().empty());
}

BOOST_AUTO_TEST_CASE(bad_models)
{
    const std::string photo = photos()[0];
    expectError({"rank", photo, "--model", in("none.safetensors"), "--json", out("r.json")}, 1,
                {in("none.safetensors")});
    expectError({"rank", photo, "--model", models().mae, "--json", out("r.json")}, 1,
                {models().mae, "ranker is needed"});
    expectError({"score", photo, "--mae", models().ranker, "--json", out("s.json")}, 1,
                {models().ranker, "masked autoencoder is needed"});
    expectError({"rank", photo, "--model", photo}, 1, {photo});
    const std::string weights = readText(models().ranker);
    writeText(in("cut.safetensors"), weights.substr(0, weights.size() - 100));
    expectError({"rank", photo, "--model", in("cut.safetensors")}, 1, {in("cut.safetensors")});
    expectError({"info", in("cut.safetensors")}, 1, {in("cut.safetensors")});
    expectError({"convert", in("cut.safetensors"), out("r.safetensors")}, 1, {in("cut.safetensors")});
    expectError({"convert", models().mae, out("m.onnx"), "--mask-ratio", "0.999"}, 2, {"0.999", "0 of 196 patches"});
    expectError({"convert", models().mae, out("m.onnx"), "--mask-ratio", "1"}, 2, {"--mask-ratio: 1 is outside"});
    expectError({"convert", models().mae, out("m.safetensors"), "--mask-ratio", "0.5"}, 2, {"only .onnx"});
    expectError({"convert", models().ranker, out("r.onnx"), "--mask-ratio", "0.5"}, 2, {models().ranker, "is a ranker"});
    writeText(in("empty.safetensors"), "");
    expectError({"info", in("empty.safetensors")}, 1, {in("empty.safetensors")});
    BOOST_TEST(left().empty());
}

BOOST_AUTO_TEST_CASE(outputs_never_overwrite_inputs)
{
    std::filesystem::copy_file(photos()[0], in("x.png"));
    const std::string before = readText(in("x.png"));
    expectError({"rank", in("x.png"), "--model", models().ranker, "--overlay", in("x.png")}, 1,
                {in("x.png"), "is an input"});
    expectError({"rank", in("x.png"), "--model", models().ranker, "--json", in("../in/x.png")}, 1, {"is an input"});
    BOOST_TEST(readText(in("x.png")) == before);
    expectError({"rank", photos()[0], photos()[1], "--model", models().ranker, "--overlay", out("o.png")}, 2,
                {out("o.png"), "there are 2 images"});
    expectError(
        {"rank", photos()[0], "--model", models().ranker, "--overlay", out("o.xyz/"), "--json", in("x.png/r.json")}, 1,
        {in("x.png/r.json"), "is not a folder"});
    expectError({"convert", models().ranker, out("none/r.safetensors")}, 1,
                {out("none/r.safetensors"), "does not exist"});
    BOOST_TEST(left().empty());
}

BOOST_AUTO_TEST_CASE(interrupted_runs_leave_complete_files_only)
{
    for (const int signal : {SIGINT, SIGTERM})
    {
        std::vector<std::string> rank = {"rank", "--model", models().ranker,
                                         "--json", out("r.json"), "--overlay", out("r")};
        rank.insert(rank.end(), 5000, photos()[0]);
        std::vector<std::string> score = {"score", "--mae", models().mae, "--masks", "2", "--json", out("s.json"),
                                          "--overlay", out("s")};
        score.insert(score.end(), 5000, photos()[0]);
        const Outcome ranked = stopAfterFirstOverlay(rank, out("r"), signal);
        const Outcome scored = stopAfterFirstOverlay(score, out("s"), signal);
        BOOST_TEST(ranked.status == 128 + signal);
        BOOST_TEST(scored.status == 128 + signal);
        BOOST_TEST(ranked.err == "ltrp rank: interrupted\n");
        BOOST_TEST(scored.err == "ltrp score: interrupted\n");
        const std::vector<std::string> folders = {"r", "s"};
        BOOST_TEST(left() == folders, boost::test_tools::per_element());
        for (const std::string& overlays : folders)
            for (const std::string& name : namesIn(out(overlays)))
                BOOST_TEST(!cv::imread(out(overlays) + "/" + name).empty(), name << " is not whole");
        std::filesystem::remove_all(folder.path() / "out" / "r");
        std::filesystem::remove_all(folder.path() / "out" / "s");
    }
}

BOOST_AUTO_TEST_CASE(interrupt_within_one_image)
{
    // A million masks never finish in a test's time: the run must stop within the image.
    Process process(
        {LTRP_TOOL, "score", photos()[0], "--mae", models().mae, "--masks", "1000000", "--json", out("s.json")});
    while (process.running() && !process.catches(SIGINT))
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::seconds(1));   // usually enough to reach the masks; valid either way
    BOOST_TEST(process.running());
    process.signal(SIGINT);
    const Outcome outcome = process.wait();
    BOOST_TEST(outcome.status == 130);
    BOOST_TEST(withoutProgress(outcome.err) == "ltrp score: interrupted\n");
    BOOST_TEST(left().empty());
}

BOOST_AUTO_TEST_SUITE_END()
