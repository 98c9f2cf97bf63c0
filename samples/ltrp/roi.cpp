// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "roi_maps.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/tracker.hpp>
#ifdef LTRP_HAVE_VIDEOIO
#include <opencv2/videoio.hpp>
#include <opencv2/videoio/registry.hpp>
#endif

#include <cstdlib>
#include <filesystem>
#include <memory>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp roi VIDEO|FOLDER --format NAME --out FILE [options]",
    "Writes a map for a video encoder, to spend more bits on the kept patches: a quantiser offset for each block of\n"
    "each frame, steady from frame to frame. A FOLDER contains the frames as images, ordered by name.\n"
    "\n"
    "  ffmpeg   a filter script of regions of interest, for libx264, libx265 and libvpx:\n"
    "           ffmpeg -i VIDEO -/filter:v FILE -c:v libx264 ...   (before FFmpeg 7: -filter_script:v FILE)\n"
    "  kvazaar  offsets of blocks of 64 x 64 pixels for --roi; binary where FILE ends in .bin, as kvazaar expects it\n"
    "  svt-av1  offsets of blocks of 64 x 64 pixels for SvtAv1EncApp's --roi-map-file, with --crf only\n"
    "  csv      frame,row,column,delta, a line a patch\n",
    "Offsets are negative for kept patches and positive for the others, with mean 0 over a frame.\n"
    "\n"
    "Examples:\n"
    "  ltrp roi video.mp4 --format ffmpeg --out roi.txt\n"
    "  ltrp roi video.mp4 --format kvazaar --out roi.bin --strength 8 --every 5\n"
    "  ltrp roi frames/ --format svt-av1 --out roi.txt\n"};

const char* const FORMATS[] = {"ffmpeg", "kvazaar", "svt-av1", "csv"};
enum Format
{
    FFMPEG, KVAZAAR, SVT_AV1, CSV
};

/// Source of frames.
class Frames
{
public:
    virtual ~Frames() = default;
    virtual bool read(cv::Mat& frame, double& seconds) = 0;
    virtual size_t count() const = 0;   ///< approximate, 0: unknown
    virtual double duration() const { return 0; }   ///< approximate, in seconds, 0: unknown
};

class Folder : public Frames
{
public:
    Folder(const std::string& path, double rate) : files_(expandImages({path})), rate_(rate) {}

    bool read(cv::Mat& frame, double& seconds) override
    {
        if (next_ == files_.size())
            return false;
        frame = readPhoto(files_[next_]);
        seconds = static_cast<double>(next_++) / rate_;
        return true;
    }
    size_t count() const override { return files_.size(); }

private:
    std::vector<std::string> files_;
    size_t next_ = 0;
    double rate_;
};

#ifdef LTRP_HAVE_VIDEOIO
class VideoFile : public Frames
{
public:
    explicit VideoFile(const std::string& path)
    {
        setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);   // so that only the tool's own line is printed
        // Where OpenCV has FFmpeg, no other backend is tried: GStreamer prints errors of its own about files it cannot open.
        const bool ffmpeg = cv::videoio_registry::hasBackend(cv::CAP_FFMPEG);
        if (!capture_.open(path, ffmpeg ? cv::CAP_FFMPEG : cv::CAP_ANY))
            throw std::runtime_error(path + ": cannot be opened as a video");
        count_ = capture_.get(cv::CAP_PROP_FRAME_COUNT);
        const double rate = capture_.get(cv::CAP_PROP_FPS);
        step_ = rate > 0 && rate < 10000 ? 1 / rate : 0;
        duration_ = count_ > 0 && count_ < 1e9 ? count_ * step_ : 0;
    }

    bool read(cv::Mat& frame, double& seconds) override
    {
        if (!capture_.read(frame))
            return false;
        // OpenCV 4.6 returns a value far below 0 instead of a timestamp for the last frames of a stream, and for all of
        // a short one: these continue at the same rate.
        seconds = capture_.get(cv::CAP_PROP_POS_MSEC) / 1000;
        if (!begun_)
            seconds = seconds > -1e6 ? seconds : 0;
        else if (!(seconds > last_))
            seconds = last_ + step_;
        else
            step_ = seconds - last_;
        last_ = seconds;
        begun_ = true;
        return true;
    }
    size_t count() const override { return count_ > 0 && count_ < 1e9 ? static_cast<size_t>(count_) : 0; }
    double duration() const override { return duration_; }

private:
    cv::VideoCapture capture_;
    double count_ = 0, duration_ = 0, last_ = 0, step_ = 0;
    bool begun_ = false;
};
#endif

std::unique_ptr<Frames> openFrames(const std::string& path, double rate)
{
    std::error_code error;
    if (fs::is_directory(path, error))
        return std::make_unique<Folder>(path, rate);
    if (!fs::is_regular_file(path, error))
        throw std::runtime_error(path + ": is neither a video file nor a folder of frames");
    if (cv::haveImageReader(path))
        throw std::runtime_error(path + ": is an image; name a video, or the folder that holds the frames");
#ifdef LTRP_HAVE_VIDEOIO
    return std::make_unique<VideoFile>(path);
#else
    throw std::runtime_error(path + ": this build reads no videos, because its OpenCV has no videoio module; extract "
                                    "the frames into a folder ('ffmpeg -i VIDEO folder/%06d.png') and name that");
#endif
}

RoiVideo readVideo(const std::string& path, Frames& source, const Ranker& ranker, RankingTracker& tracker, int every,
                   bool timed)
{
    RoiVideo video;
    Progress progress("roi: frame", source.count());
    cv::Mat frame;
    double seconds = 0, start = 0;
    while (source.read(frame, seconds))
    {
        checkInterrupt();
        const size_t number = video.frames.size();
        const std::string which = path + ": frame " + std::to_string(number);
        RoiFrame now{0, false, cv::Mat()};
        if (number == 0)
        {
            checkPhotoSize(path, frame.size(), ranker.getGrid());
            video.size = frame.size();
            start = seconds;
        }
        if (frame.size() != video.size)
            throw std::runtime_error(which + " is " + std::to_string(frame.cols) + " x " + std::to_string(frame.rows) +
                                     ", those before were " + std::to_string(video.size.width) + " x " +
                                     std::to_string(video.size.height) + "; an encoder takes one size");
        now.seconds = seconds - start;
        if (timed && number > 0 && !(now.seconds > video.frames.back().seconds))
            throw std::runtime_error(which + " is shown at " + plain(seconds) + " s, no later than the one before; "
                                     "extract the frames into a folder and name that");
        if (number % static_cast<size_t>(every) == 0)
        {
            const PatchRanking ranking = ranker.rank(frame);
            now.begins = tracker.update(frame, ranking);
            now.kept = cv::Mat::zeros(ranking.grid(), CV_8U);
            for (int patch : tracker.getKept())
                now.kept.ptr<uchar>()[patch] = 1;
        }
        else
            now.kept = video.frames.back().kept;
        video.frames.push_back(now);
        progress.update(number + 1);
    }
    if (video.frames.empty())
        throw std::runtime_error(path + ": no frame can be read");
    if (video.frames.back().seconds + 1 < 0.95 * source.duration())
        complain("warning: " + path + ": frames could be read up to " + plain(video.frames.back().seconds) + " s of about " +
                 plain(source.duration()) + " s, and the map ends there; is the video damaged?");
    return video;
}

}  // namespace

int runRoi(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string model, out;
    SelectParams select;
    double strength = 0, rate = 0;
    int every = 0;
    // clang-format off
    options.add_options()
        ("format", po::value<std::string>()->value_name("NAME"), "ffmpeg, kvazaar, svt-av1 or csv")
        ("out", po::value(&out)->value_name("FILE"), "the file to write; - is stdout")
        ("strength", po::value(&strength)->value_name("QP")->default_value(6, "6"),
            "by how many steps of the encoder's QP kept patches are finer than the others, 0 to 40")
        ("keep", po::value(&select.keepRatio)->value_name("R")->default_value(0.25, "0.25"),
            "share of patches to keep, above 0 and up to 1")
        ("every", po::value(&every)->value_name("N")->default_value(1),
            "rank only every Nth frame; those between use its map, 1 to 1000")
        ("fps", po::value(&rate)->value_name("R")->default_value(25, "25"),
            "frames per second of a folder, for --format ffmpeg, 0.001 to 1000")
        ("model", po::value(&model)->value_name("FILE"), "ranker's weight file (default: the installed one)")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addMaxPixels(options);
    addPrecision(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", 1, values))
        return 0;
    const std::string path = positionals(values, "path", 1, "VIDEO or FOLDER")[0];
    if (!values.count("format"))
        throw UsageError("missing --format: ffmpeg, kvazaar, svt-av1 or csv");
    const int format = wordOption(values, "format", FORMATS);
    if (!values.count("out"))
        throw UsageError("missing --out FILE");
    if (!(strength >= 0 && strength <= 40))
        throw UsageError("--strength: " + plain(strength) + " is outside 0 to 40");
    if (!(select.keepRatio > 0 && select.keepRatio <= 1))
        throw UsageError("--keep: " + plain(select.keepRatio) + " is outside (0, 1]");
    if (every < 1 || every > 1000)
        throw UsageError("--every: " + std::to_string(every) + " is outside 1 to 1000");
    if (!(rate >= 0.001 && rate <= 1000))
        throw UsageError("--fps: " + plain(rate) + " is outside 0.001 to 1000");
    applyThreads(values);
    applyMaxPixels(values);
    const int target = targetOption(values);

    const std::string weights = findModel(model, "rank", "--model");
    const std::unique_ptr<Frames> source = openFrames(path, rate);
    checkTextOutput(out, "--out");
    const cv::Ptr<Ranker> ranker = Ranker::create(weights);
    ranker->setPreferableTarget(target);
    const RoiVideo video =
        readVideo(path, *source, *ranker, *RankingTracker::create(select), every, format == FFMPEG);
    switch (format)
    {
    case FFMPEG: writeText(out, roiFfmpeg(video, strength)); break;
    case KVAZAAR: writeText(out, roiKvazaar(video, strength, fs::path(out).extension() == ".bin")); break;
    case SVT_AV1: writeText(out, roiSvtAv1(video, strength)); break;
    default: writeText(out, roiCsv(video, strength)); break;
    }
    return 0;
}

}  // namespace tool
