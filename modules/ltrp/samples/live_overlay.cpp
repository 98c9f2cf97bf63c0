// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Ranks the patches of a video or camera image while it runs, and keeps the choice steady from frame to frame.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/filesystem.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/tracker.hpp>
#include <opencv2/opencv_modules.hpp>
#ifdef HAVE_OPENCV_VIDEOIO
#include <opencv2/videoio.hpp>
#endif
#ifdef HAVE_OPENCV_HIGHGUI
#include <opencv2/highgui.hpp>
#endif

#include "sample_tools.hpp"

static const char* keys =
    "{ help h usage ? |      | print this message }"
    "{ @input         |      | video file, number of a camera, photo, or folder of photos; photos become a clip: a "
    "slow pan "
    "and zoom over each, with a hand's tremor and noise }"
    "{ model m        |      | ranker's weights (.safetensors or .pth); the shipped ones unless told }"
    "{ keep k         | 0.25 | share of patches to keep, in (0, 1] }"
    "{ memory         | 0.7  | weight of the past in the smoothed scores, in [0, 1); 0: every frame by itself }"
    "{ margin         | 0.2  | by how many standard deviations of the scores a patch must beat a kept one to take its "
    "place, "
    ">= 0 }"
    "{ cut            | 0.5  | a frame whose colours differ more than this from the one before begins anew, in [0, 1] }"
    "{ raw            |      | draw the choice of each frame by itself }"
    "{ frames         | 0    | stop after so many frames; 0: at the end }"
    "{ shot           | 60   | frames per photo, when photos become a clip }"
    "{ noise          | 4    | noise of such a clip, grey levels }"
    "{ output o       |      | video to write (.avi, .mp4), or a folder for frames as PNG }"
    "{ sheet          |      | picture to write: four frames in a row, each by itself above and steady below; what was "
    "not "
    "kept one frame before is framed in red }"
    "{ sheet-frame    | 30   | the first of the four }"
    "{ headless       |      | no window, even where there is a display }";

/// Patches of `now` that are not in `before`; both ascending.
static std::vector<int> newPatches(const std::vector<int>& now, const std::vector<int>& before)
{
    std::vector<int> fresh;
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(fresh));
    return fresh;
}

/// Source of frames.
class Source
{
public:
    virtual ~Source() {}
    virtual bool read(cv::Mat& frame) = 0;
    virtual int count() const = 0;   //!< total number of frames; 0: unknown
    virtual double rate() const = 0;
};

/// Simulated camera that moves over photos, one after the other: pan, zoom, tremor and noise; deterministic.
class PhotoClip : public Source
{
public:
    PhotoClip(const std::vector<cv::String>& paths, int shot, double noise) : shot_(shot), noise_(noise)
    {
        for (const cv::String& path : paths)
        {
            const cv::Mat photo = sample::readImage(path);
            const double scale = 1.5 * std::max(double(SIZE.width) / photo.cols, double(SIZE.height) / photo.rows);
            photos_.push_back(cv::Mat());
            cv::resize(photo, photos_.back(), cv::Size(), scale, scale, scale < 1 ? cv::INTER_AREA : cv::INTER_CUBIC);
        }
    }

    bool read(cv::Mat& frame) CV_OVERRIDE
    {
        if (next_ >= count())
            return false;
        const cv::Mat& photo = photos_[static_cast<size_t>(next_ / shot_)];
        const double t = double(next_ % shot_) / std::max(1, shot_ - 1), side = (next_ / shot_) % 2 ? -1 : 1;
        // The window shrinks from the largest that fits to two thirds of it and moves sideways within the photo.
        const double fits = std::min(double(photo.cols) / SIZE.width, double(photo.rows) / SIZE.height);
        const double scale = fits * (0.95 - 0.28 * t);
        const double roomX = (photo.cols - scale * SIZE.width) / 2, roomY = (photo.rows - scale * SIZE.height) / 2;
        const double x = photo.cols / 2. + roomX * side * 0.7 * std::cos(CV_PI * t) + 1.5 * std::sin(1.9 * next_);
        const double y = photo.rows / 2. + roomY * 0.5 * std::sin(CV_PI * t) + 1.5 * std::sin(2.7 * next_ + 1);
        const cv::Matx23d toPhoto(scale, 0, x - scale * SIZE.width / 2, 0, scale, y - scale * SIZE.height / 2);
        cv::warpAffine(photo, frame, toPhoto, SIZE, cv::INTER_LINEAR | cv::WARP_INVERSE_MAP, cv::BORDER_REFLECT);
        if (noise_ > 0)
        {
            cv::Mat noise(SIZE, CV_16SC3);
            random_.fill(noise, cv::RNG::NORMAL, cv::Scalar::all(0), cv::Scalar::all(noise_));
            cv::add(frame, noise, frame, cv::noArray(), CV_8U);
        }
        next_++;
        return true;
    }

    int count() const CV_OVERRIDE { return shot_ * static_cast<int>(photos_.size()); }
    double rate() const CV_OVERRIDE { return 25; }

private:
    const cv::Size SIZE = cv::Size(640, 480);
    std::vector<cv::Mat> photos_;
    int shot_, next_ = 0;
    double noise_;
    cv::RNG random_;
};

#ifdef HAVE_OPENCV_VIDEOIO
class Video : public Source
{
public:
    explicit Video(const cv::String& input)
    {
        const bool camera = input.find_first_not_of("0123456789") == cv::String::npos;
        if (!(camera ? capture_.open(std::atoi(input.c_str())) : capture_.open(input)))
            CV_Error(cv::Error::StsError,
                     (camera ? "camera " : "") + input + ": cannot be opened" + (camera ? "" : " as a video"));
        count_ = camera ? 0 : std::max(0, static_cast<int>(capture_.get(cv::CAP_PROP_FRAME_COUNT)));
        const double told = capture_.get(cv::CAP_PROP_FPS);
        rate_ = told >= 1 && told <= 240 ? told : 25;
    }
    bool read(cv::Mat& frame) CV_OVERRIDE { return capture_.read(frame); }
    int count() const CV_OVERRIDE { return count_; }
    double rate() const CV_OVERRIDE { return rate_; }

private:
    cv::VideoCapture capture_;
    int count_;
    double rate_;
};
#endif

static cv::Ptr<Source> openSource(const cv::String& input, int shot, double noise)
{
    if (cv::utils::fs::isDirectory(input))
    {
        std::vector<cv::String> files, photos;
        cv::glob(input, files);   // sorted
        for (const cv::String& file : files)
            if (cv::haveImageReader(file))
                photos.push_back(file);
        if (photos.empty())
            CV_Error(cv::Error::StsError, input + ": no photo in this folder");
        return cv::makePtr<PhotoClip>(photos, shot, noise);
    }
    if (cv::haveImageReader(input))
        return cv::makePtr<PhotoClip>(std::vector<cv::String>(1, input), shot, noise);
#ifdef HAVE_OPENCV_VIDEOIO
    return cv::makePtr<Video>(input);
#else
    CV_Error(cv::Error::StsNotImplemented,
             input + ": is no photo, and this OpenCV has no videoio module to read videos with");
#endif
}

/// A video file that gets its name when it is complete, or a folder of PNG files.
class Sink
{
public:
    Sink(const cv::String& path, double rate) : path_(path), rate_(rate)
    {
        const size_t dot = path.find_last_of('.');
        const cv::String ending = dot == cv::String::npos ? cv::String() : path.substr(dot + 1);
        video_ = ending == "avi" || ending == "mp4" || ending == "mkv" || ending == "mov";
        fourcc_ = ending == "avi" ? "MJPG" : "mp4v";
#ifndef HAVE_OPENCV_VIDEOIO
        if (video_)
            CV_Error(cv::Error::StsNotImplemented,
                     path + ": this OpenCV has no videoio module; name a folder for PNG files");
#endif
        if (!path.empty() && !video_ && !cv::utils::fs::createDirectories(path))
            CV_Error(cv::Error::StsError, path + ": this folder cannot be made");
    }
    ~Sink()
    {
        if (video_)
            std::remove(sample::partName(path_).c_str());   // exists only if finish() was not reached
    }

    void write(const cv::Mat& frame)
    {
        if (path_.empty())
            return;
        if (!video_)
        {
            sample::writeImage(cv::utils::fs::join(path_, cv::format("%05d.png", written_)), frame);
        }
#ifdef HAVE_OPENCV_VIDEOIO
        else
        {
            if (!writer_.isOpened() &&
                !writer_.open(sample::partName(path_),
                              cv::VideoWriter::fourcc(fourcc_[0], fourcc_[1], fourcc_[2], fourcc_[3]), rate_,
                              frame.size()))
                CV_Error(cv::Error::StsError, path_ + ": cannot be written as a video");
            writer_.write(frame);
        }
#endif
        written_++;
    }

    void finish()
    {
        if (path_.empty() || written_ == 0)
            return;
        if (video_)
        {
#ifdef HAVE_OPENCV_VIDEOIO
            writer_.release();
            sample::finishFile(path_);
#endif
        }
        std::cout << path_ << ": " << written_ << " frames\n";
    }

private:
    cv::String path_, fourcc_;
    double rate_;
    bool video_;
    int written_ = 0;
#ifdef HAVE_OPENCV_VIDEOIO
    cv::VideoWriter writer_;
#endif
};

/// Qt ends the whole program if there is no display, so this must be checked first.
static bool haveDisplay()
{
#if defined(_WIN32) || defined(__APPLE__)
    return true;
#else
    return std::getenv("DISPLAY") || std::getenv("WAYLAND_DISPLAY");
#endif
}

static void drawFrames(cv::Mat& picture, const cv::ltrp::PatchRanking& ranking, const std::vector<int>& patches,
                       const cv::Scalar& colour)
{
    for (int patch : patches)
        cv::rectangle(picture, ranking.rect(patch), colour, 2);
}

/// The dimmed frame with a small heat map of the scores in its corner and a line of figures at the top.
static cv::Mat drawView(const cv::Mat& frame, const cv::ltrp::PatchRanking& ranking, const cv::Mat& scores,
                        const std::vector<int>& kept, const cv::String& line)
{
    cv::Mat view, heat;
    cv::ltrp::drawKept(frame, ranking.grid(), kept, view, 0.3);
    cv::ltrp::drawHeatMap(frame, scores, heat, 0.7);
    cv::resize(heat, heat, cv::Size(), 0.25, 0.25, cv::INTER_AREA);
    if (heat.cols < view.cols && heat.rows < view.rows)
    {
        const cv::Rect corner(view.cols - heat.cols, view.rows - heat.rows, heat.cols, heat.rows);
        heat.copyTo(view(corner));
        cv::rectangle(view, corner, cv::Scalar::all(255));
    }
    const double size = std::max(0.3, view.cols / 1280.);
    const int height = cvRound(44 * size);
    cv::Mat whole(view.rows + height, view.cols, CV_8UC3, cv::Scalar::all(24));
    view.copyTo(whole.rowRange(height, whole.rows));
    cv::putText(whole, line, cv::Point(cvRound(12 * size), cvRound(30 * size)), cv::FONT_HERSHEY_SIMPLEX, size,
                cv::Scalar::all(235), std::max(1, cvRound(size * 1.5)), cv::LINE_AA);
    return whole;
}

/// Frames side by side below a line of text.
static cv::Mat drawRow(const std::vector<cv::Mat>& frames, const cv::String& title)
{
    cv::Mat row, text(28, 1280, CV_8UC3, cv::Scalar::all(24)), whole;
    cv::hconcat(frames, row);
    cv::resize(row, row, cv::Size(text.cols, text.cols * row.rows / row.cols), 0, 0, cv::INTER_AREA);
    cv::putText(text, title, cv::Point(8, 19), cv::FONT_HERSHEY_SIMPLEX, 0.55, cv::Scalar::all(235), 1, cv::LINE_AA);
    cv::vconcat(text, row, whole);
    return whole;
}

/// Statistics over the frames.
struct Figures
{
    int frames = 0, cuts = 0, compared = 0;
    double rawChange = 0, steadyChange = 0, common = 0, rankSeconds = 0;

    void print(double seconds) const
    {
        std::cout << cv::format("%d frames, %d cuts, %.1f frames/s, %.1f ms of each to rank\n", frames, cuts,
                                frames / seconds, 1000 * rankSeconds / frames);
        if (compared > 0)
            std::cout << cv::format(
                             "kept patches that change per frame: %.1f %% each frame by itself, %.1f %% steady\n",
                             100 * rawChange / compared, 100 * steadyChange / compared)
                      << cv::format("of each frame's own choice the steady one holds %.1f %%\n",
                                    100 * common / compared);
    }
};

int main(int argc, char** argv)
{
    cv::CommandLineParser parser(argc, argv, keys);
    parser.about("Ranks the patches of a running video, steadily from frame to frame; q, Esc or Ctrl-C end it.");
    if (parser.has("help"))
    {
        parser.printMessage();
        return 0;
    }
    const cv::String input = parser.get<cv::String>("@input"), model = parser.get<cv::String>("model");
    const cv::String sheetPath = parser.get<cv::String>("sheet");
    const double memory = parser.get<double>("memory"), margin = parser.get<double>("margin"),
                 cut = parser.get<double>("cut");
    const double noise = parser.get<double>("noise");
    const int limit = parser.get<int>("frames"), shot = parser.get<int>("shot"),
              sheetFrame = parser.get<int>("sheet-frame");
    const bool drawRaw = parser.has("raw");
    cv::ltrp::SelectParams select;
    select.keepRatio = parser.get<double>("keep");
    if (!parser.check() || input.empty())
    {
        parser.printErrors();
        std::cerr << "A video, camera or photo is needed; --help says more." << std::endl;
        return 1;
    }
    if (!(noise >= 0 && noise <= 255) || limit < 0 || shot < 1 || sheetFrame < 1)
    {
        std::cerr << "An option is outside its range; --help says more." << std::endl;
        return 1;
    }

    try
    {
        cv::Ptr<cv::ltrp::Ranker> ranker =
            model.empty() ? cv::ltrp::Ranker::create() : cv::ltrp::Ranker::create(model);
        cv::Ptr<cv::ltrp::RankingTracker> steady =   // before anything is opened: this checks the arguments
            cv::ltrp::RankingTracker::create(select, memory, margin, cut);
        cv::Ptr<Source> source = openSource(input, shot, noise);
        Sink sink(parser.get<cv::String>("output"), source->rate());
#ifdef HAVE_OPENCV_HIGHGUI
        const bool window = !parser.has("headless") && haveDisplay();
#else
        const bool window = false;
#endif
        if (!window)
            std::cerr << "no window: "
                      << (parser.has("headless") ? "headless"
                          : haveDisplay()        ? "no highgui module"
                                                 : "no display")
                      << std::endl;
        sample::catchInterrupt();

        Figures figures;
        std::vector<int> rawBefore, steadyBefore;
        std::vector<cv::Mat> rawSheet, steadySheet;
        sample::Progress progress("frame", limit > 0 ? (source->count() > 0 ? std::min(limit, source->count()) : limit)
                                                     : source->count());
        cv::TickMeter all, lap;
        double lapSeconds = 0, rankSeconds = 0;   // smoothed, for display
        all.start();
        lap.start();
        cv::Mat frame;
        while (!sample::interrupted() && (limit == 0 || figures.frames < limit) && source->read(frame))
        {
            const int64 before = cv::getTickCount();
            const cv::ltrp::PatchRanking ranking = ranker->rank(frame);
            const double took = static_cast<double>(cv::getTickCount() - before) / cv::getTickFrequency();
            const bool begins = steady->update(frame, ranking);
            const std::vector<int> raw = cv::ltrp::selectPatches(ranking, select), kept = steady->getKept();

            figures.frames++;
            figures.rankSeconds += took;
            const std::vector<int> rawNew = newPatches(raw, rawBefore), steadyNew = newPatches(kept, steadyBefore);
            const double patches = static_cast<double>(kept.size());
            if (begins)
                figures.cuts += figures.frames > 1;
            else
            {
                figures.compared++;
                figures.rawChange += static_cast<double>(rawNew.size()) / patches;
                figures.steadyChange += static_cast<double>(steadyNew.size()) / patches;
                figures.common += 1 - static_cast<double>(newPatches(raw, kept).size()) / patches;
            }

            lap.stop();
            lapSeconds = figures.frames == 1 ? lap.getTimeSec() : 0.9 * lapSeconds + 0.1 * lap.getTimeSec();
            rankSeconds = figures.frames == 1 ? took : 0.9 * rankSeconds + 0.1 * took;
            lap.reset();
            lap.start();
            const cv::String line =
                cv::format("%5.1f frames/s   ranked in %.1f ms   %d of %d patches   new: %.0f %%%s", 1 / lapSeconds,
                           1000 * rankSeconds, static_cast<int>(kept.size()), ranking.grid().area(),
                           100 * static_cast<double>((drawRaw ? rawNew : steadyNew).size()) / patches,
                           begins && figures.frames > 1 ? "   new scene" : "");
            const cv::Mat view =
                drawView(frame, ranking, drawRaw ? ranking.scores : steady->getRanking().scores, drawRaw ? raw : kept, line);
            sink.write(view);
            if (!sheetPath.empty() && figures.frames >= sheetFrame && rawSheet.size() < 4)
            {
                rawSheet.push_back(cv::Mat());
                steadySheet.push_back(cv::Mat());
                cv::ltrp::drawKept(frame, ranking.grid(), raw, rawSheet.back(), 0.3);
                cv::ltrp::drawKept(frame, ranking.grid(), kept, steadySheet.back(), 0.3);
                drawFrames(rawSheet.back(), ranking, rawNew, cv::Scalar(40, 40, 255));
                drawFrames(steadySheet.back(), ranking, steadyNew, cv::Scalar(40, 40, 255));
            }
            rawBefore = raw;
            steadyBefore = kept;
#ifdef HAVE_OPENCV_HIGHGUI
            if (window)
            {
                cv::imshow("ltrp", view);
                const int key = cv::waitKey(1) & 0xff;
                if (key == 27 || key == 'q')
                    break;
            }
#endif
            progress.step(figures.frames);
        }
        all.stop();
        if (figures.frames == 0)
            CV_Error(cv::Error::StsError, input + ": no frame could be read");
        if (!sheetPath.empty())
        {
            if (rawSheet.size() < 4)
                CV_Error(cv::Error::StsError, sheetPath + ": not written, the four frames for it were not reached");
            cv::Mat sheet;
            cv::vconcat(drawRow(rawSheet, "each frame by itself"), drawRow(steadySheet, "steady"), sheet);
            sample::writeImage(sheetPath, sheet);
        }
        sink.finish();
        figures.print(all.getTimeSec());
    }
    catch (const cv::Exception& e)
    {
        std::cerr << e.err << std::endl;
        return 1;
    }
    return sample::interrupted() ? sample::INTERRUPTED : 0;
}
