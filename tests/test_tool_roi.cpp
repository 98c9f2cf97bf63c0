// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// `ltrp roi`: its maps against the csv form, and in a real encoder.

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <fstream>
#include <iterator>
#include <set>

namespace {

using testing_tools::Outcome;
using testing_tools::runProcess;

std::string readAll(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Path of the program, empty if it is missing.
const std::string& ffmpegPath()
{
    static const std::string path = []()
    {
        const std::string found = runProcess({"/bin/sh", "-c", "command -v ffmpeg"}).out;
        return found.substr(0, found.find('\n'));
    }();
    return path;
}

bool haveFfmpeg()
{
    if (ffmpegPath().empty())
        BOOST_TEST_MESSAGE("no ffmpeg on this machine (apt-get install ffmpeg): the encoder is not run");
    return !ffmpegPath().empty();
}

bool haveSvtAv1()
{
    static const bool have =
        runProcess({"/bin/sh", "-c", "SvtAv1EncApp --help | grep -q roi-map-file"}).status == 0;
    if (!have)
        BOOST_TEST_MESSAGE("no SvtAv1EncApp with --roi-map-file on this machine (Debian 13: apt-get install svt-av1): "
                           "the encoder is not run");
    return have;
}

void ffmpeg(std::vector<std::string> args)
{
    args.insert(args.begin(), {ffmpegPath(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"});
    const Outcome outcome = runProcess(args);
    BOOST_TEST(outcome.status == 0);
    BOOST_TEST(outcome.err == "");
}

struct RoiFixture : ToolFixture
{
    /// A pan over two photos, `shot` frames each.
    std::string makeFrames(cv::Size size, int shot)
    {
        const std::string path = folder.file("frames");
        std::filesystem::create_directory(path);
        int number = 0;
        for (const char* name : {"cat.jpg", "rocket.jpg"})
        {
            cv::Mat photo = cv::imread(photoFolder() + "/" + name), frame;
            const double scale = 1.2 * std::max(double(size.width) / photo.cols, double(size.height) / photo.rows);
            cv::resize(photo, photo, cv::Size(), scale, scale, cv::INTER_AREA);
            for (int i = 0; i < shot; ++i)
                cv::imwrite(cv::format("%s/%05d.png", path.c_str(), number++), photo(cv::Rect(cv::Point(i, 0), size)));
        }
        return path;
    }

    std::string roi(const std::string& input, const std::string& format, std::vector<std::string> more = {})
    {
        more.insert(more.begin(), {"roi", input, "--format", format, "--out", "-"});
        return expectOk(more);
    }

    /// The offsets of all frames: frame, then patches in raster order.
    std::vector<cv::Mat> csv(const std::string& input, std::vector<std::string> more = {})
    {
        std::istringstream lines(roi(input, "csv", std::move(more)));
        std::string line;
        std::getline(lines, line);
        BOOST_TEST(line == "frame,row,column,delta");
        std::vector<cv::Mat> frames;
        while (std::getline(lines, line))
        {
            int frame = 0, row = 0, column = 0;
            double delta = 0;
            BOOST_REQUIRE(std::sscanf(line.c_str(), "%d,%d,%d,%lf", &frame, &row, &column, &delta) == 4);
            if (static_cast<size_t>(frame) == frames.size())
                frames.push_back(cv::Mat(14, 14, CV_64F, cv::Scalar(1e9)));
            frames.at(static_cast<size_t>(frame)).at<double>(row, column) = delta;
        }
        return frames;
    }

    /// Offsets of blocks of 64 x 64 pixels, pixel by pixel.
    static cv::Mat blocks(const cv::Mat& patches, cv::Size size, double strength)
    {
        cv::Mat sums = cv::Mat::zeros((size.height + 63) / 64, (size.width + 63) / 64, CV_64F), counts = sums.clone();
        for (int y = 0; y < size.height; ++y)
            for (int x = 0; x < size.width; ++x)
            {
                const bool kept = patches.at<double>(y * 14 / size.height, x * 14 / size.width) < 0;
                sums.at<double>(y / 64, x / 64) += kept;
                counts.at<double>(y / 64, x / 64) += 1;
            }
        const cv::Mat share = sums / counts;
        return strength * (cv::mean(share)[0] - share);
    }

};

/// PSNR of frame `number` of a video against its source, inside and outside of the kept patches.
std::pair<double, double> quality(const std::string& decoded, const std::string& source, int number,
                                  const cv::Mat& patches)
{
    const cv::Mat a = cv::imread(cv::format("%s/%05d.png", decoded.c_str(), number)),
                  b = cv::imread(cv::format("%s/%05d.png", source.c_str(), number));
    BOOST_REQUIRE((!a.empty() && a.size() == b.size()));
    cv::Mat mask, outside;
    cv::resize(cv::Mat(patches < 0), mask, a.size(), 0, 0, cv::INTER_NEAREST);
    cv::bitwise_not(mask, outside);
    const auto psnr = [&](const cv::Mat& where)
    {
        const double square = std::pow(cv::norm(a, b, cv::NORM_L2, where), 2) / (3 * cv::countNonZero(where));
        return 10 * std::log10(255. * 255 / square);
    };
    return {psnr(mask), psnr(outside)};
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_roi, RoiFixture)

BOOST_AUTO_TEST_CASE(csv_keeps_a_quarter_and_changes_nothing_on_the_whole)
{
    const std::string frames = makeFrames(cv::Size(280, 196), 5);
    const std::vector<cv::Mat> maps = csv(frames, {"--strength", "8"});
    BOOST_REQUIRE(maps.size() == 10u);
    for (const cv::Mat& map : maps)
    {
        BOOST_TEST(cv::countNonZero(map < 0) == 49);
        double lowest = 0, highest = 0;
        cv::minMaxLoc(map, &lowest, &highest);
        BOOST_TEST(std::abs(highest - lowest - 8) < 0.02);
        BOOST_TEST(std::abs(cv::mean(map)[0]) < 0.01);
    }
    // Within a scene the selection is steady, at the cut it is not.
    const auto changed = [&](int i) { return cv::countNonZero((maps[i] < 0) != (maps[i - 1] < 0)) / 2; };
    for (int i : {1, 2, 3, 4, 6, 7, 8, 9})
        BOOST_TEST(changed(i) <= 6);
    BOOST_TEST(changed(5) > 10);
    // The selection is that of the ranker.
    const Json ranked = expectJson({"rank", frames + "/00005.png", "--json", "-"});
    std::set<int> kept = ranked.at(0).at("keep");
    for (int p = 0; p < 196; ++p)
        BOOST_TEST((maps[5].ptr<double>()[p] < 0) == (kept.count(p) > 0));
    // Every third frame is ranked.
    const std::vector<cv::Mat> third = csv(frames, {"--every", "3"});
    BOOST_REQUIRE(third.size() == 10u);
    for (size_t i = 0; i < third.size(); ++i)
        BOOST_TEST(cv::norm(third[i], third[i / 3 * 3], cv::NORM_INF) == 0);
    // All kept: no differences.
    for (const cv::Mat& map : csv(frames, {"--keep", "1"}))
        BOOST_TEST(cv::norm(map, cv::NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(encoders_of_blocks)
{
    for (const cv::Size& size : {cv::Size(280, 196), cv::Size(301, 131)})
        BOOST_TEST_CONTEXT(size)
        {
            std::filesystem::remove_all(folder.file("frames"));
            const std::string frames = makeFrames(size, 3);
            const std::vector<cv::Mat> maps = csv(frames);
            // Pixels that belong to two patches make the shares differ a little.
            const double tolerance = size.width % 14 ? 0.9 : 0.51;
            std::vector<int> values;
            std::istringstream text(roi(frames, "kvazaar"));
            for (const cv::Mat& map : maps)
            {
                const cv::Mat expected = blocks(map, size, 6);
                int width = 0, height = 0, value = 0;
                text >> width >> height;
                BOOST_REQUIRE((width == expected.cols && height == expected.rows));
                for (int i = 0; i < width * height; ++i)
                {
                    text >> value;
                    BOOST_TEST(std::abs(value - expected.ptr<double>()[i]) < tolerance);
                    values.push_back(value);
                }
            }
            BOOST_TEST(!text.fail());
            std::string word;
            BOOST_TEST(!(text >> word));

            // The binary form has the same content.
            const std::string file = folder.file("roi.bin");
            expectOk({"roi", frames, "--format", "kvazaar", "--out", file});
            const std::string bytes = readAll(file);
            size_t at = 0, next = 0;
            const int perFrame = static_cast<int>(values.size() / maps.size());
            BOOST_REQUIRE(bytes.size() == maps.size() * static_cast<size_t>(8 + perFrame));
            for (size_t frame = 0; frame < maps.size(); ++frame)
            {
                int32_t side[2];
                std::memcpy(side, bytes.data() + at, 8);
                BOOST_TEST(side[0] == (size.width + 63) / 64);
                BOOST_TEST(side[1] == (size.height + 63) / 64);
                at += 8;
                for (int i = 0; i < perFrame; ++i)
                    BOOST_TEST(static_cast<int8_t>(bytes[at++]) == values[next++]);
            }

            // SVT-AV1: a line wherever the map changes, four steps per QP, at most eight different ones.
            std::istringstream lines(roi(frames, "svt-av1"));
            std::map<int, std::vector<int>> events;
            for (std::string line; std::getline(lines, line);)
            {
                std::istringstream numbers(line);
                int frame = -1, value = 0;
                numbers >> frame;
                while (numbers >> value)
                    events[frame].push_back(value);
                const std::vector<int>& event = events[frame];
                BOOST_TEST(event.size() == static_cast<size_t>(perFrame));
                BOOST_TEST(std::set<int>(event.begin(), event.end()).size() <= 8u);
            }
            BOOST_REQUIRE(events.count(0));
            for (size_t frame = 0; frame < maps.size(); ++frame)
            {
                const std::vector<int>& event = std::prev(events.upper_bound(static_cast<int>(frame)))->second;
                const cv::Mat expected = blocks(maps[frame], size, 24);
                for (int i = 0; i < perFrame; ++i)   // levels are 24 / 7 apart; their mean may be off by half of that
                    BOOST_TEST(std::abs(event[static_cast<size_t>(i)] - expected.ptr<double>()[i]) < 24 / 7. + 1);
            }
        }
}

BOOST_AUTO_TEST_CASE(boxes_of_ffmpeg_cover_the_kept_patches)
{
    const std::string frames = makeFrames(cv::Size(280, 196), 4), one = folder.file("one");
    std::filesystem::create_directory(one);
    std::filesystem::copy_file(frames + "/00000.png", one + "/00000.png");
    const std::string script = roi(one, "ffmpeg");
    BOOST_TEST(script.find("sendcmd") == std::string::npos);
    const cv::Mat map = csv(one).at(0);
    cv::Mat covered = cv::Mat::zeros(14, 14, CV_32S);
    const std::regex box("addroi=x=iw\\*([0-9]+)/14:y=ih\\*([0-9]+)/14:w=iw\\*([0-9]+)/14:h=ih\\*([0-9]+)/14"
                         ":qoffset=(-[0-9.]+)");
    int count = 0;
    for (std::sregex_iterator it(script.begin(), script.end(), box), end; it != end; ++it, ++count)
    {
        const cv::Rect rect(std::stoi((*it)[1]), std::stoi((*it)[2]), std::stoi((*it)[3]), std::stoi((*it)[4]));
        covered(rect) += 1;
        BOOST_TEST(std::abs(std::stod((*it)[5]) + 4.5 / 51) < 1e-3);
    }
    for (int p = 0; p < 196; ++p)
        BOOST_TEST(covered.ptr<int>()[p] == (map.ptr<double>()[p] < 0 ? 1 : 0));
    BOOST_TEST(count < 25);
    BOOST_TEST(script.find("addroi=x=0:y=0:w=iw:h=ih:qoffset=0.0294") != std::string::npos);
    // Two scenes: switched half a frame before the second one begins.
    BOOST_TEST(roi(frames, "ffmpeg").find("sendcmd=c='0.140000 streamselect@roi map 1'") == 0u);
    BOOST_TEST(roi(frames, "ffmpeg", {"--fps", "10"}).find("sendcmd=c='0.350000 streamselect@roi map 1'") == 0u);
}

BOOST_AUTO_TEST_CASE(ffmpeg_encodes_by_the_script)
{
    if (!haveFfmpeg())
        return;
    const std::string frames = makeFrames(cv::Size(320, 240), 8), script = folder.file("roi.txt");
    expectOk({"roi", frames, "--format", "ffmpeg", "--out", script, "--strength", "12"});
    const std::vector<cv::Mat> maps = csv(frames);
    for (const char* name : {"plain", "roi"})
    {
        std::vector<std::string> args = {"-framerate", "25", "-i", frames + "/%05d.png"};
        if (name == std::string("roi"))
            args.insert(args.end(), {"-filter:v", testing_tools::readText(script)});   // FFmpeg 7: other option
        args.insert(args.end(), {"-c:v", "libx264", "-pix_fmt", "yuv420p", "-threads", "1", "-preset", "veryfast",
                                 "-crf", "32", folder.file(name) + ".mkv"});
        ffmpeg(args);
        std::filesystem::create_directory(folder.file(name));
        ffmpeg({"-i", folder.file(name) + ".mkv", "-fps_mode", "passthrough", "-start_number", "0",
                folder.file(name) + "/%05d.png"});
        BOOST_TEST(namesIn(folder.file(name)).size() == 16u);
    }
    double others = 0;   // other patches of a frame may gain bits that later frames take from better ones
    for (int i : {0, 5, 8, 13})   // from both scenes, which have different regions
        BOOST_TEST_CONTEXT("frame " << i)
        {
            const auto plain = quality(folder.file("plain"), frames, i, maps[static_cast<size_t>(i)]),
                       regions = quality(folder.file("roi"), frames, i, maps[static_cast<size_t>(i)]);
            BOOST_TEST(regions.first > plain.first + 1);
            BOOST_TEST(regions.second - plain.second < regions.first - plain.first - 1);
            others += regions.second - plain.second;
        }
    BOOST_TEST(others < 0);
}

BOOST_AUTO_TEST_CASE(svt_av1_encodes_by_the_map)
{
    if (!haveSvtAv1())
        return;
    const cv::Size size(320, 224), blocks(5, 4);   // the last row of blocks is half outside
    const size_t count = 16, luma = static_cast<size_t>(size.area()), whole = luma * 3 / 2;
    const std::string frames = makeFrames(size, 8), map = folder.file("roi.txt"), clip = folder.file("clip.y4m");
    std::string source, video = "YUV4MPEG2 W320 H224 F25:1 Ip A1:1 C420jpeg\n";
    for (size_t i = 0; i < count; ++i)
    {
        cv::Mat planes;
        cv::cvtColor(cv::imread(cv::format("%s/%05d.png", frames.c_str(), static_cast<int>(i))), planes,
                     cv::COLOR_BGR2YUV_I420);
        source.append(reinterpret_cast<const char*>(planes.data), whole);
        video += "FRAME\n" + source.substr(i * whole);
    }
    std::ofstream(clip, std::ios::binary) << video;
    expectOk({"roi", frames, "--format", "svt-av1", "--out", map, "--strength", "20"});
    std::map<std::string, std::string> decoded;
    for (const char* name : {"plain", "roi"})
    {
        const std::string out = folder.file(name);
        const std::string command = "SvtAv1EncApp -i " + clip + " --preset 8 --crf 40 -b " + out + ".ivf -o " + out +
                                    ".yuv" + (name == std::string("roi") ? " --roi-map-file " + map : "");
        const Outcome outcome = runProcess({"/bin/sh", "-c", command});
        BOOST_TEST(outcome.status == 0, outcome.err);
        decoded[name] = readAll(out + ".yuv");
        BOOST_REQUIRE(decoded[name].size() == count * whole);
    }

    std::map<size_t, std::vector<int>> events;
    std::istringstream lines(readAll(map));
    for (std::string line; std::getline(lines, line);)
    {
        std::istringstream numbers(line);
        size_t frame = 0;
        numbers >> frame;
        events[frame].assign(std::istream_iterator<int>(numbers), {});
    }
    for (size_t i : {0, 5, 8, 13})   // of both scenes, the second one's map is another
        BOOST_TEST_CONTEXT("frame " << i)
        {
            const std::vector<int>& offsets = std::prev(events.upper_bound(i))->second;
            BOOST_REQUIRE(offsets.size() == static_cast<size_t>(blocks.area()));
            double gain[2] = {0, 0};   // in dB, of the blocks with negative and of those with positive offsets
            for (int sign = 0; sign < 2; ++sign)
            {
                double error[2] = {0, 0};
                for (int y = 0; y < size.height; ++y)
                    for (int x = 0; x < size.width; ++x)
                    {
                        const int offset = offsets[static_cast<size_t>(y / 64 * blocks.width + x / 64)];
                        const size_t at = i * whole + static_cast<size_t>(y * size.width + x);
                        if (offset != 0 && (offset > 0) == (sign == 1))
                            for (int coded = 0; coded < 2; ++coded)
                                error[coded] += std::pow(static_cast<uchar>(source[at]) -
                                                         static_cast<uchar>(decoded[coded ? "roi" : "plain"][at]), 2);
                    }
                gain[sign] = 10 * std::log10(error[0] / error[1]);
            }
            BOOST_TEST(gain[0] > gain[1] + 0.5);
        }
}

#ifdef LTRP_HAVE_VIDEOIO
BOOST_AUTO_TEST_CASE(videos)
{
    if (!haveFfmpeg())
        return;
    const std::string frames = makeFrames(cv::Size(322, 242), 4), clip = folder.file("clip.mkv");
    // Frames shown for 1, and from the fifth on for 3 twenty-fifths of a second.
    ffmpeg({"-framerate", "25", "-i", frames + "/%05d.png", "-vf", "setpts='if(lt(N,4),N,N*3)/25/TB'", "-fps_mode",
            "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "8", clip});
    BOOST_TEST(csv(clip).size() == 8u);
    const std::string script = roi(clip, "ffmpeg");
    const std::regex command("sendcmd=c='([0-9.]+) streamselect@roi map 1'");
    std::smatch found;
    BOOST_REQUIRE(std::regex_search(script, found, command));
    BOOST_TEST(std::abs(std::stod(found[1]) - (0.12 + 0.48) / 2) < 0.01);

    // In OpenCV 4.6 no frame of a short stream has a timestamp.
    const std::string brief = folder.file("brief.mkv");
    ffmpeg({"-framerate", "2", "-i", frames + "/%05d.png", "-frames:v", "3", "-c:v", "libx264", "-pix_fmt", "yuv420p", brief});
    BOOST_TEST(roi(brief, "ffmpeg").find("addroi=") != std::string::npos);

    // A truncated file is reported, not silently treated as a shorter one.
    const std::string slow = folder.file("slow.mkv");
    ffmpeg({"-framerate", "2", "-i", frames + "/%05d.png", "-c:v", "libx264", "-g", "1", "-pix_fmt", "yuv420p", slow});
    std::filesystem::resize_file(slow, std::filesystem::file_size(slow) * 6 / 10);
    const Outcome cut = tool({"roi", slow, "--format", "csv", "--out", folder.file("cut.csv"), "--model", models().ranker});
    BOOST_TEST(cut.err.find("slow.mkv: frames could be read up to") != std::string::npos, cut.err);

    testing_tools::writeText(folder.file("broken.mp4"), "no video");
    expectError({"roi", folder.file("broken.mp4"), "--format", "csv", "--out", folder.file("x.csv")}, 1,
                {"broken.mp4", "cannot be opened as a video"});
    BOOST_TEST(!std::filesystem::exists(folder.file("x.csv")));
}
#endif

BOOST_AUTO_TEST_CASE(mistakes)
{
    const std::string frames = makeFrames(cv::Size(280, 196), 1), out = folder.file("out.txt");
    const auto refused = [&](std::vector<std::string> args, int status, const std::vector<std::string>& parts)
    {
        args.insert(args.begin(), "roi");
        expectError(args, status, parts);
        BOOST_TEST(!std::filesystem::exists(out));
    };
    refused({frames, "--format", "x264", "--out", out}, 2, {"x264", "ffmpeg", "kvazaar", "svt-av1", "csv"});
    refused({frames, "--out", out}, 2, {"--format"});
    refused({frames, "--format", "csv"}, 2, {"--out"});
    refused({"--format", "csv", "--out", out}, 2, {"VIDEO or FOLDER"});
    for (const char* strength : {"-1", "41", "nan"})
        refused({frames, "--format", "csv", "--out", out, "--strength", strength}, 2, {"--strength"});
    refused({frames, "--format", "csv", "--out", out, "--keep", "0"}, 2, {"--keep"});
    refused({frames, "--format", "csv", "--out", out, "--every", "0"}, 2, {"--every"});
    refused({frames, "--format", "csv", "--out", out, "--fps", "0"}, 2, {"--fps"});
    refused({folder.file("absent.mp4"), "--format", "csv", "--out", out}, 1,
            {"absent.mp4", "neither a video file nor a folder"});
    refused({frames + "/00000.png", "--format", "csv", "--out", out}, 1, {"is an image", "folder"});
    std::filesystem::create_directory(folder.file("empty"));
    refused({folder.file("empty"), "--format", "csv", "--out", out}, 1, {"empty"});
    expectError({"roi", frames, "--format", "csv", "--out", frames + "/00000.png"}, 1, {"00000.png", "overwritten"});

    // A frame of another size, a damaged one, grey ones and ones with alpha.
    cv::imwrite(frames + "/00002.png", cv::Mat(100, 100, CV_8UC3, cv::Scalar(0)));
    refused({frames, "--format", "csv", "--out", out}, 1, {"frame 2 is 100 x 100", "280 x 196"});
    testing_tools::writeText(frames + "/00002.png", "no image");
    refused({frames, "--format", "csv", "--out", out}, 1, {"00002.png"});
    cv::imwrite(frames + "/00002.png", cv::Mat(196, 280, CV_8UC1, cv::Scalar(77)));
    cv::imwrite(frames + "/00003.png", cv::Mat(196, 280, CV_8UC4, cv::Scalar(7, 8, 9, 200)));
    BOOST_TEST(csv(frames).size() == 4u);
}

BOOST_AUTO_TEST_SUITE_END()
