// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_PROMPT_WRITER_HPP
#define LTRP_TOOL_PROMPT_WRITER_HPP

#include "ranking_run.hpp"

#include <opencv2/ltrp/prompts.hpp>

namespace tool
{

/// Writes the points or regions of photos as JSON in the project's own format, COCO's (one file for all) or labelme's
/// (one file per photo).
class PromptWriter
{
public:
    /// --json, --format and --overwrite.
    static void addOptions(po::options_description& options);

    /// Checks --json and --format; for labelme and several photos --json is a folder. @throws UsageError or
    /// std::runtime_error
    PromptWriter(const po::variables_map& values, const std::vector<std::string>& inputs);
    bool wanted() const { return !path_.empty(); }

    void addPoints(const RankedPhoto& photo, const std::vector<cv::Point>& points);
    void addRegions(const RankedPhoto& photo, const std::vector<cv::ltrp::PatchRegion>& regions);
    /// Writes the remaining output. To be called after all photos have been added.
    void finish();

private:
    enum Format { Plain, Coco, Labelme };   // in the order of --format's words

    void add(const RankedPhoto& photo, const char* name, const Json& own);
    size_t addImage(const RankedPhoto& photo);
    void addAnnotation(size_t image, Json annotation);
    void writeLabelme(const RankedPhoto& photo, const Json& shapes);

    Format format_ = Plain;
    std::string path_;
    std::vector<std::string> files_;   ///< labelme: one per input
    std::vector<Json> entries_;        ///< plain
    Json images_ = Json::array(), annotations_ = Json::array(), keypoints_ = Json::array();   ///< COCO
};

/// The photo as CV_8UC3 for drawing, from any depth and channels.
cv::Mat drawable(const cv::Mat& photo);

}  // namespace tool

#endif
