// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "prompt_writer.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <iostream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp points PATH... [options]",
    "Puts points on what ranks highest in each image, as prompts of an interactive segmenter or as annotations: peaks\n"
    "of the score map, enlarged four times, the best first. Each is at least S * sqrt(width * height / K) pixels from\n"
    "those before it; if no place is left, that distance is reduced by a quarter. PATH is as for 'ltrp rank'.\n",
    "JSON, --format plain: a list of {\"image\", \"width\", \"height\",\n"
    "\"points\": [{\"point\": [x, y], \"score\": of its patch}, ...]}, the most important point first; x and y are\n"
    "pixels of the image as displayed, rotated by its EXIF orientation. coco: one annotation per image, its points as\n"
    "keypoints with visibility 2. labelme: shapes of the type point.\n"
    "\n"
    "Examples:\n"
    "  ltrp points photo.jpg --count 16 --overlay points.jpg\n"
    "  ltrp points photos/ --count 32 --json points.json --format coco\n"
    "  ltrp points photos/ --count 8 --json photos/ --format labelme\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

cv::Mat drawPoints(const cv::Mat& photo, const std::vector<cv::Point>& points)
{
    cv::Mat picture = drawable(photo);
    const int radius = std::max(2, std::max(picture.cols, picture.rows) / 120);
    for (size_t i = points.size(); i-- > 0;)   // the most important ones last, on top
    {
        cv::circle(picture, points[i], radius + std::max(1, radius / 3), cv::Scalar::all(255), cv::FILLED, cv::LINE_AA);
        cv::circle(picture, points[i], radius, cv::Scalar(40, 40, 220), cv::FILLED, cv::LINE_AA);
    }
    return picture;
}

}  // namespace

int runPoints(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string overlay;
    int count = 0;
    double spread = 0;
    // clang-format off
    options.add_options()
        ("count", po::value(&count)->value_name("K")->default_value(16), "points per image, 1 to 1024")
        ("spread", po::value(&spread)->value_name("S")->default_value(0.5, "0.5"),
            "distance between the points, 0 to 1: 0 takes the highest values wherever they are, 1 covers the "
            "image almost evenly");
    PromptWriter::addOptions(options);
    options.add_options()
        ("overlay", po::value(&overlay)->value_name("FILE|DIR"),
            "write a picture with the points: a file for one image, a folder for several");
    // clang-format on
    addRankingOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");
    if (count < 1 || count > 1024)
        throw UsageError("--count: " + std::to_string(count) + " is outside 1 to 1024");
    if (!(spread >= 0 && spread <= 1))
        throw UsageError("--spread: " + plain(spread) + " is outside [0, 1]");
    RankingRun run("points", values);
    run.open(paths, overlay);
    PromptWriter writer(values, run.inputs());
    OverlayTarget overlays;
    if (values.count("overlay"))
        overlays = OverlayTarget(overlay, run.inputs(), "points");
    else if (!writer.wanted())
        outputStream("-");

    const size_t good = run.rank([&](const RankedPhoto& photo)
    {
        const std::vector<cv::Point> points = selectPoints(photo.ranking, count, spread);
        if (overlays.wanted())
            overlays.write(photo.input, drawPoints(photo.pixels, points));
        if (writer.wanted())
            writer.addPoints(photo, points);
        else if (!overlays.wanted())
        {
            std::cout << io::harmless(photo.path) << ": " << photo.pixels.cols << "x" << photo.pixels.rows << ", "
                      << points.size() << " points (x, y):";
            for (size_t i = 0; i < std::min<size_t>(points.size(), 5); ++i)
                std::cout << " (" << points[i].x << ", " << points[i].y << ")";
            std::cout << '\n';
        }
    });
    if (writer.wanted() && good > 0)
        writer.finish();
    return run.finish();
}

}  // namespace tool
