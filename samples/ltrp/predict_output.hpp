// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_PREDICT_OUTPUT_HPP
#define LTRP_TOOL_PREDICT_OUTPUT_HPP

#include "classifier_run.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/train/dataset.hpp"

namespace tool
{

/// The names of a task's measures, with which the JSON of `predict --report` and of the cells of `eval downstream` begin:
/// NAME is the value, NAME_error its standard error over the images.
struct Measure
{
    const char* name;
    const char* title;   ///< of a column
};
const std::vector<Measure>& measuresOf(cv::ltrp::vit::Task task);

/// What a network says of one image.
struct Answer
{
    size_t index;                             ///< of the image in the data
    std::string path;
    cv::Size size;                            ///< of the photo
    const ClassifierRun::Prepared& image;
    cv::Mat values;                           ///< this image's rows of ClassifierRun::run()
    cv::Mat truth;                            ///< of PredictOutput::truth()
};

struct PredictSetup
{
    const ClassifierRun& run;
    const cv::ltrp::train::Dataset& data;
    bool labelled;
    size_t top;            ///< classes to name; 0: the task's own number
    std::string masks;     ///< folder of index images, of Task::Segment; empty: none
    std::string root;      ///< folder whose images have their folders there, too; empty: none have
    JsonOutput& json;
};

/// Says what a network answers, as lines or JSON, and measures it where there are labels.
class PredictOutput
{
public:
    virtual ~PredictOutput() = default;
    /// What an image's answer will be compared with, where that is read from a file. @throws cv::Exception
    virtual cv::Mat truth(size_t, cv::Size) const { return cv::Mat(); }
    virtual void add(const Answer& answer) = 0;
    /// Images with a label and an answer.
    virtual size_t measured() const = 0;
    /// The measures in JSON: of measuresOf(), each with its error, and of each class. measured() is not 0.
    virtual void addMeasures(Json& report) const = 0;
    virtual std::string text() const = 0;
};

std::unique_ptr<PredictOutput> classOutput(const PredictSetup& setup);
std::unique_ptr<PredictOutput> labelsOutput(const PredictSetup& setup);
std::unique_ptr<PredictOutput> segmentOutput(const PredictSetup& setup);
/// The one of the network's task. @throws UsageError for masks of another task than Task::Segment
std::unique_ptr<PredictOutput> makeOutput(const PredictSetup& setup);

/// {"image", "width", "height"}
Json imageJson(const Answer& answer);
/// Adds "grid" and "keep".
void addKept(Json& entry, const Answer& answer, cv::Size grid);

}  // namespace tool

#endif
