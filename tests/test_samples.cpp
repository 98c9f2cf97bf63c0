// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The module's samples, run as by a user, on the shipped photos and with the shipped ranker.

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <csignal>
#include <thread>

namespace
{

using testing_tools::Outcome;
using testing_tools::Process;

struct SampleFixture : ToolFixture
{
    static std::string program(const std::string& name)
    {
        return std::string(LTRP_BINARY_DIR) + "/bin/example_ltrp_" + name;
    }
    static std::string model()
    {
        return std::string(LTRP_SOURCE_DIR) + "/modules/ltrp/models/ltrp-rank-tiny.safetensors";
    }
    static std::string photo(const std::string& name) { return photoFolder() + "/" + name; }

    static Outcome run(const std::string& name, std::vector<std::string> args)
    {
        args.insert(args.begin(), program(name));
        Outcome outcome = testing_tools::runProcess(args, {{"OMP_WAIT_POLICY", "passive"}});
        BOOST_TEST_MESSAGE(outcome.out << outcome.err);
        return outcome;
    }

    static std::string expectOk(const std::string& name, const std::vector<std::string>& args)
    {
        const Outcome outcome = run(name, args);
        BOOST_TEST(outcome.status == 0, name << " ended with " << outcome.status << ": " << outcome.err);
        return outcome.out;
    }

    /// Expects failure, nothing on stdout, and the words on stderr.
    static void expectError(const std::string& name, const std::vector<std::string>& args, const std::string& words)
    {
        const Outcome outcome = run(name, args);
        BOOST_TEST(outcome.status == 1);
        BOOST_TEST(outcome.out == "");
        BOOST_TEST(outcome.err.find(words) != std::string::npos, "'" << words << "' is not in: " << outcome.err);
    }

    /// The numbers matched by the pattern's groups.
    static std::vector<double> numbers(const std::string& text, const std::string& pattern)
    {
        std::smatch match;
        if (!std::regex_search(text, match, std::regex(pattern)))
            throw std::runtime_error("'" + pattern + "' is not in: " + text);
        std::vector<double> found;
        for (size_t i = 1; i < match.size(); i++)
            found.push_back(std::stod(match[i]));
        return found;
    }
};

const char* SIZES = "quality +([0-9]+): +([0-9]+) bytes, PSNR ([0-9.]+) dB inside the kept patches, ([0-9.]+) outside";

}   // namespace

BOOST_FIXTURE_TEST_SUITE(samples, SampleFixture)

BOOST_AUTO_TEST_CASE(help_and_mistakes)
{
    for (const char* name : {"rank_patches", "score_patches", "live_overlay", "roi_jpeg", "fewer_tokens"})
        BOOST_TEST_CONTEXT(name)
        {
            const std::string help = expectOk(name, {"--help"});
            BOOST_TEST(help.find("Usage: ") != std::string::npos);
            BOOST_TEST(run(name, {}).status == 1);
        }
    for (const char* name : {"rank_patches", "live_overlay", "roi_jpeg"})
    {
        expectError(name, {photo("cat.jpg"), "--model=absent.safetensors"}, "absent.safetensors");
        expectError(name, {photo("cat.jpg"), "--model=" + model(), "--keep=1.5"}, "keep ratio");
    }
    expectError("roi_jpeg", {photo("README.md"), "--model=" + model()}, "cannot be read as an image");
    expectError("roi_jpeg", {photo("cat.jpg"), "--model=" + model(), "--output=" + folder.file("no/where.jpg")},
                "where.jpg");
}

BOOST_AUTO_TEST_CASE(rank_patches)
{
    const std::string overlay = folder.file("overlay.png");
    const std::string out =
        expectOk("rank_patches", {photo("cat.jpg"), "--keep=0.5", "--output=" + overlay});
    BOOST_TEST(out.find("kept: 98 of 196 patches") != std::string::npos);
    // The tool gives the same result for the same photo.
    const Json ranked = expectJson({"rank", photo("cat.jpg"), "--model", model(), "--json", "-"});
    const int best = ranked.at(0).at("order").at(0);
    BOOST_TEST(numbers(out, "rank 1: patch ([0-9]+) at").at(0) == best);
    BOOST_TEST(!cv::imread(overlay).empty());
}

BOOST_AUTO_TEST_CASE(roi_jpeg)
{
    for (const char* name : {"cat.jpg", "photographer.jpg"})   // one of them is grey
        BOOST_TEST_CONTEXT(name)
        {
            const std::string roi = folder.file("roi.jpg"), plain = folder.file("plain.jpg"),
                              side = folder.file("side.png");
            const std::string out = expectOk("roi_jpeg", {photo(name), "--model=" + model(), "--output=" + roi,
                                                          "--plain=" + plain, "--picture=" + side});
            const std::vector<double> was = numbers(out, std::string("plain +") + SIZES),
                                      is = numbers(out, std::string("roi +") + SIZES);
            BOOST_TEST(is[0] > was[0]);
            BOOST_TEST(is[1] <= was[1]);
            BOOST_TEST(is[1] > 0.97 * was[1]);   // the byte budget is used
            BOOST_TEST(is[2] > was[2] + 0.5);   // in highly ranked regions
            BOOST_TEST(is[3] < was[3]);
            // The printed sizes are those of the files.
            BOOST_TEST(static_cast<double>(std::filesystem::file_size(roi)) == is[1]);
            BOOST_TEST(static_cast<double>(std::filesystem::file_size(plain)) == was[1]);
            const cv::Mat photograph = cv::imread(photo(name)), decoded = cv::imread(roi);
            BOOST_REQUIRE(decoded.size() == photograph.size());
            const double whole = numbers(out, "roi .*outside, ([0-9.]+) in all").at(0);
            BOOST_TEST(std::abs(cv::PSNR(photograph, decoded) - whole) < 0.01);
            BOOST_TEST(cv::imread(side).cols == 960);
            BOOST_TEST(namesIn(folder.path().string()).size() == 3u);   // no incomplete files are left
        }
}

BOOST_AUTO_TEST_CASE(roi_jpeg_where_the_size_does_not_allow_the_boost)
{
    const std::string out =
        expectOk("roi_jpeg", {photo("cat.jpg"), "--model=" + model(), "--keep=0.5", "--quality=40", "--boost=58"});
    const std::vector<double> was = numbers(out, std::string("plain +") + SIZES),
                              is = numbers(out, std::string("roi +") + SIZES);
    BOOST_TEST(is[0] > was[0]);
    BOOST_TEST(is[0] < 90);
    BOOST_TEST(is[1] <= was[1]);
    expectError("roi_jpeg", {photo("cat.jpg"), "--model=" + model(), "--keep=1"}, "keep fewer");
}

BOOST_AUTO_TEST_CASE(fewer_tokens)
{
    // The random network of `vit_to_onnx.py random`.
    const std::string classifier = std::string(LTRP_SOURCE_DIR) + "/tests/data/vit-random.onnx";
    std::filesystem::create_directories(folder.path() / "photos" / "2");
    for (const char* name : {"cat.jpg", "coffee.jpg"})
        std::filesystem::copy_file(photo(name), folder.path() / "photos" / "2" / name);
    const std::string picture = folder.file("sheet.png");
    const std::string out = expectOk("fewer_tokens", {folder.file("photos"), "--classifier=" + classifier,
                                                      "--keep=0.5,0.125", "--picture=" + picture});
    BOOST_TEST(out.find("2 photos, 4 x 4 patches, 5 classes") != std::string::npos, out);
    const auto row = [&](const std::string& name)
    { return numbers(out, "\n *" + name + " +([0-9]+) +([0-9.]+) +([0-9.]+)x +([0-9.]+) % +([0-9.]+) %"); };
    BOOST_TEST(row("all")[0] == 17);   // the class token and every patch
    BOOST_TEST(row("50 %")[0] == 9);
    BOOST_TEST(row("12 %")[0] == 3);
    BOOST_TEST(row("all")[2] == 1);
    BOOST_TEST(row("all")[3] == 100);
    BOOST_TEST(row("all")[4] == 0);   // by its folder's name each photo is a 2, and classified as 1
    // With ONNX Runtime the two patches in the middle of the second row still make the cat a 1, but the coffee a 2.
    const std::vector<double> centre = numbers(out, "\n *12 % .*  ([0-9.]+) % +([0-9.]+) %\n");
    BOOST_TEST(centre[0] == 50);
    BOOST_TEST(centre[1] == 50);
    // Results of ONNX Runtime for the same photos and network.
    const char* ANSWER = " all: ([0-9]) ([0-9.]+) %, 50 %: ([0-9]) ([0-9.]+) %, 12 %: ([0-9]) ([0-9.]+) %\n";
    const std::vector<double> cat = numbers(out, std::string("cat.jpg:") + ANSWER),
                              coffee = numbers(out, std::string("coffee.jpg:") + ANSWER);
    BOOST_TEST(cat[0] == 1);
    BOOST_TEST(std::abs(cat[1] - 71.36) < 0.3);
    BOOST_TEST(coffee[0] == 1);
    BOOST_TEST(std::abs(coffee[1] - 71.24) < 0.3);
    BOOST_TEST(cat[3] != cat[1]);   // it did use other patches
    BOOST_TEST(cv::imread(picture).size() == cv::Size(3 * 240, 2 * 208));

    // Diverse patches differ from the best, and are as many.
    const std::string varied = expectOk("fewer_tokens", {folder.file("photos"), "--classifier=" + classifier,
                                                         "--keep=0.5,0.125", "--cluster"});
    const std::vector<double> cat2 = numbers(varied, std::string("cat.jpg:") + ANSWER);
    BOOST_TEST(varied.find("50 %       9 ") != std::string::npos, varied);
    BOOST_TEST(cat2[1] == cat[1]);
    BOOST_TEST((cat2[3] != cat[3] || cat2[5] != cat[5]));

    // Sampled patches: near temperature 0 the best ones, at 1 others; draws are averaged.
    const auto sampled = [&](const std::vector<std::string>& more)
    {
        std::vector<std::string> all = {folder.file("photos"), "--classifier=" + classifier, "--keep=0.5,0.125",
                                        "--sample"};
        all.insert(all.end(), more.begin(), more.end());
        return expectOk("fewer_tokens", all);
    };
    BOOST_TEST(numbers(sampled({"--temperature=1e-9"}), std::string("cat.jpg:") + ANSWER) == cat);
    const std::string drawn = sampled({"--draws=8"});
    BOOST_TEST(numbers(drawn, std::string("cat.jpg:") + ANSWER) != cat);
    BOOST_TEST(std::regex_search(drawn, std::regex("sampled: same +right +best: same +right +random: same +right "
                                                   "+uniform: same +right +centre: same +right\n")), drawn);
    // The differences are those of the columns, inside their intervals.
    const std::string RIGHT = "[^%]*% +([0-9.]+) %";
    const std::vector<double> shares = numbers(drawn, "\n *50 % " + RIGHT + RIGHT + RIGHT + RIGHT + RIGHT + "\n");
    const std::string PAIR = " ([+-][0-9.]+) \\[([+-][0-9.]+), ([+-][0-9.]+)\\]";
    const std::vector<double> apart =
        numbers(drawn, "\n *50 %  sampled - best" + PAIR + ", - random" + PAIR + ", - uniform" + PAIR + ", - centre" + PAIR +
                           ", - all" + PAIR);
    for (size_t i = 0; i < 5; i++)
    {
        const double other = i < 4 ? shares[i + 1] : 0;   // with all patches none is right
        BOOST_TEST(std::abs(apart[3 * i] - (shares[0] - other)) < 0.11);
        BOOST_TEST(std::abs(apart[3 * i] - apart[3 * i + 1] - (apart[3 * i + 2] - apart[3 * i])) < 0.21);
    }

    const auto mistake = [&](const std::vector<std::string>& more, const std::string& words)
    {
        std::vector<std::string> all = {photo("cat.jpg"), "--classifier=" + classifier};
        all.insert(all.end(), more.begin(), more.end());
        expectError("fewer_tokens", all, words);
    };
    mistake({"--sample", "--cluster"}, "--cluster and --sample exclude each other");
    mistake({"--temperature=0.5"}, "--temperature goes with --sample");
    mistake({"--sample", "--temperature=0"}, "--temperature: 0, expected a number above 0");
    mistake({"--draws=0"}, "--draws: 0, expected 1 or more");
    expectError("fewer_tokens", {photo("cat.jpg"), "--classifier=" + classifier, "--keep=0.5,1.5"}, "1.5");
    expectError("fewer_tokens", {photo("cat.jpg"), "--classifier=absent.onnx"}, "absent.yml");
}

BOOST_AUTO_TEST_CASE(live_overlay)
{
    std::filesystem::create_directory(folder.path() / "photos");
    for (const char* name : {"cat.jpg", "rocket.jpg"})
        std::filesystem::copy_file(photo(name), folder.path() / "photos" / name);
    const std::string frames = folder.file("frames"), sheet = folder.file("sheet.png");
    const std::string out =
        expectOk("live_overlay", {folder.file("photos"), "--model=" + model(), "--shot=15", "--headless",
                                  "--output=" + frames, "--sheet=" + sheet, "--sheet-frame=4"});
    const std::vector<double> counts = numbers(out, "([0-9]+) frames, ([0-9]+) cuts, ([0-9.]+) frames/s");
    BOOST_TEST(counts[0] == 30);
    BOOST_TEST(counts[1] == 1);   // where the second photo begins
    BOOST_TEST(counts[2] > 0);
    const std::vector<double> change = numbers(out, "per frame: ([0-9.]+) % each frame by itself, ([0-9.]+) % steady");
    BOOST_TEST(change[0] > 2);
    BOOST_TEST(change[1] < change[0] / 2);
    BOOST_TEST(numbers(out, "the steady one holds ([0-9.]+) %").at(0) > 70);
    BOOST_TEST(namesIn(frames).size() == 30u);
    const cv::Mat last = cv::imread(frames + "/00029.png");
    BOOST_TEST(last.cols == 640);
    BOOST_TEST(last.rows > 480);   // the line of figures is above the frame
    BOOST_TEST(cv::imread(sheet).cols == 1280);

    // Without memory and margin nothing is smoothed.
    const std::string raw = expectOk("live_overlay", {folder.file("photos"), "--model=" + model(), "--shot=15",
                                                      "--headless", "--memory=0", "--margin=0"});
    const std::vector<double> same = numbers(raw, "per frame: ([0-9.]+) % each frame by itself, ([0-9.]+) % steady");
    BOOST_TEST(same[0] == change[0]);
    BOOST_TEST(same[1] == same[0]);
}

#ifdef LTRP_HAVE_VIDEOIO
BOOST_AUTO_TEST_CASE(live_overlay_reads_and_writes_videos)
{
    const std::string first = folder.file("first.avi"), second = folder.file("second.avi");
    expectOk("live_overlay", {photo("cat.jpg"), "--model=" + model(), "--frames=7", "--headless", "--output=" + first});
    const std::string out = expectOk("live_overlay", {first, "--model=" + model(), "--headless", "--output=" + second});
    BOOST_TEST(out.find("7 frames, 0 cuts") != std::string::npos, out);
    BOOST_TEST(namesIn(folder.path().string()).size() == 2u);
    testing_tools::writeText(folder.file("broken.avi"), "no video");
    expectError("live_overlay", {folder.file("broken.avi"), "--model=" + model(), "--headless"}, "broken.avi");
}
#endif

BOOST_AUTO_TEST_CASE(interrupt_leaves_whole_frames)
{
    const std::string frames = folder.file("frames");
    Process process({program("live_overlay"), photo("cat.jpg"), "--model=" + model(), "--shot=100000", "--headless",
                     "--output=" + frames});
    while (process.running() && !std::filesystem::exists(frames + "/00002.png"))
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    process.signal(SIGINT);
    const Outcome outcome = process.wait();
    BOOST_TEST(outcome.status == 130);
    const size_t count = namesIn(frames).size();
    BOOST_TEST(count >= 3u);
    BOOST_TEST(numbers(outcome.out, "([0-9]+) frames, 0 cuts").at(0) == static_cast<double>(count));
    for (const std::string& name : namesIn(frames))
        BOOST_TEST(cv::imread(frames + "/" + name).cols == 640, name);
}

BOOST_AUTO_TEST_SUITE_END()
