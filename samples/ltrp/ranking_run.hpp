// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_RANKING_RUN_HPP
#define LTRP_TOOL_RANKING_RUN_HPP

#include "photos.hpp"

#include <opencv2/ltrp/types.hpp>

#include <functional>
#include <string>
#include <vector>

namespace cv { namespace ltrp { class Ranker; } }

namespace tool
{

/// One ranked photo, valid during the callback.
struct RankedPhoto
{
    size_t input;                             ///< its index in RankingRun::inputs()
    const std::string& path;
    const cv::Mat& pixels;
    const cv::ltrp::PatchRanking& ranking;
};

/// Ranks the photos of a command: options, reading ahead, batches of one input size, progress, and reports of failures.
/// Order of the calls: addRankingOptions() before the arguments are parsed; the constructor, which checks them; open(),
/// which finds photos and weights; then the command checks its outputs; rank().
class RankingRun
{
public:
    /// command: for the progress bar. @throws UsageError naming the option and its range
    RankingRun(const std::string& command, const po::variables_map& values);

    /// Finds the photos and the weights. skip: output folder, excluded from the search.
    void open(const std::vector<std::string>& paths, const std::string& skip = std::string());
    const std::vector<std::string>& inputs() const { return inputs_; }

    /// Ranks all photos in order and calls `use` with each. A photo that cannot be read or ranked, or for which `use`
    /// throws, is reported on stderr and skipped. @return number of photos used
    size_t rank(const std::function<void(const RankedPhoto&)>& use);

    /// To be called after rank() and the output: reports how many photos failed, if several did. @return the command's
    /// exit status
    int finish() const;

private:
    /// --size: the input's size, the same for all photos or fitted to each.
    struct InputSize
    {
        cv::Size fixed;
        bool fitted = false;
        int patches = 0;   ///< fitted: approximate number, 0: as many as in training

        cv::Size of(const cv::ltrp::Ranker& ranker, cv::Size image) const;
        static InputSize parse(const std::string& text);
    };
    struct Photo
    {
        size_t input = 0;
        cv::Mat pixels;
    };

    void fail(const std::string& message);
    void rankPhotos(cv::ltrp::Ranker& ranker, const std::vector<Photo>& photos);
    void rankAlike(const cv::ltrp::Ranker& ranker, const std::vector<Photo>& photos);

    std::string command_, model_, weights_;
    bool trusted_ = false, sized_ = false;
    InputSize size_;
    size_t batch_ = 0, unread_ = 0, good_ = 0, failed_ = 0;
    int target_ = 0;
    std::vector<std::string> inputs_;
    std::function<void(const RankedPhoto&)> use_;
};

/// The beginning of a photo's entry: "image", "width" and "height".
Json photoJson(const RankedPhoto& photo);

/// --model, --size, --trusted, --batch, --threads, --max-pixels, --precision, --device.
void addRankingOptions(po::options_description& options);

}  // namespace tool

#endif
