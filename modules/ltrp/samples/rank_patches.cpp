// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Ranks the patches of one image and draws which of them are worth keeping.

#include <iostream>

#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/select.hpp>

static const char* keys =
    "{ help h usage ? |      | print this message }"
    "{ @image         |      | image to rank }"
    "{ model m        |      | ranker's weights (.safetensors or .pth); the shipped ones unless told }"
    "{ keep k         | 0.25 | share of patches to keep, in (0, 1] }"
    "{ cluster        |      | keep varied patches (70 % by score, the rest from clusters) instead of the best only }"
    "{ output o       |      | picture to write: kept patches bright, and a heat map }";

int main(int argc, char** argv)
{
    cv::CommandLineParser parser(argc, argv, keys);
    parser.about("Ranks the patches of an image: best first, with their rectangles on the image.");
    if (parser.has("help"))
    {
        parser.printMessage();
        return 0;
    }
    const cv::String imagePath = parser.get<cv::String>("@image"), model = parser.get<cv::String>("model");
    const cv::String output = parser.get<cv::String>("output");
    cv::ltrp::SelectParams params;
    params.keepRatio = parser.get<double>("keep");
    params.method = parser.has("cluster") ? cv::ltrp::SELECT_CLUSTER : cv::ltrp::SELECT_TOPK;
    if (!parser.check() || imagePath.empty())
    {
        parser.printErrors();
        std::cerr << "An image is needed; --help says more." << std::endl;
        return 1;
    }

    try
    {
        const cv::Mat image = cv::imread(imagePath);
        if (image.empty())
        {
            std::cerr << imagePath << ": cannot be read as an image" << std::endl;
            return 1;
        }
        //! [rank]
        cv::Ptr<cv::ltrp::Ranker> ranker =
            model.empty() ? cv::ltrp::Ranker::create() : cv::ltrp::Ranker::create(model);
        cv::ltrp::PatchRanking ranking = ranker->rank(image);
        std::vector<int> keep = cv::ltrp::selectPatches(ranking, params, image);
        //! [rank]

        const std::vector<int> order = ranking.order();
        std::cout << ranker->info() << "kept: " << keep.size() << " of " << order.size() << " patches\n";
        const int columns = ranking.grid().width;
        for (size_t i = 0; i < order.size() && i < 10; i++)
            std::cout << "rank " << i + 1 << ": patch " << order[i] << " at " << ranking.rect(order[i]) << ", score "
                      << ranking.scores.at<float>(order[i] / columns, order[i] % columns) << "\n";
        if (!output.empty())
        {
            cv::Mat picture;
            cv::ltrp::drawOverlay(image, ranking, keep, picture);
            if (!cv::imwrite(output, picture))
            {
                std::cerr << output << ": cannot be written" << std::endl;
                return 1;
            }
        }
    }
    catch (const cv::Exception& e)
    {
        std::cerr << e.err << std::endl;
        return 1;
    }
    return 0;
}
