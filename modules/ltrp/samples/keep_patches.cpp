// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Ranks the patches of one image and draws which ones are kept.

#include <opencv2/core/utility.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp.hpp>

#include <iostream>

int main(int argc, char** argv)
{
    const cv::CommandLineParser options(argc, argv,
                                        "{help h  |      | show this }"
                                        "{keep k  | 0.25 | share of the patches to keep, above 0 and at most 1 }"
                                        "{@model  |      | weight file of a ranker }"
                                        "{@image  |      | image to rank }"
                                        "{@output | kept.png | where the drawing goes }");
    const cv::String model = options.get<cv::String>("@model"), path = options.get<cv::String>("@image");
    if (options.has("help") || model.empty() || path.empty())
    {
        options.printMessage();
        return options.has("help") ? 0 : 2;
    }
    try
    {
        const cv::Mat image = cv::imread(path);
        const cv::Ptr<cv::ltrp::Ranker> ranker = cv::ltrp::Ranker::create(model);
        const cv::ltrp::PatchRanking ranking = ranker->rank(image);

        cv::ltrp::SelectParams select;
        select.keepRatio = options.get<double>("keep");
        const std::vector<int> keep = cv::ltrp::selectPatches(ranking, select);

        cv::Mat drawing;
        cv::ltrp::drawOverlay(image, ranking, keep, drawing);
        if (!cv::imwrite(options.get<cv::String>("@output"), drawing))
            CV_Error(cv::Error::StsError, "cannot write " + options.get<cv::String>("@output"));

        const std::vector<int> order = ranking.order();
        std::cout << ranker->info() << "\nkept " << keep.size() << " of " << order.size() << " patches; the best is "
                  << ranking.rect(order[0]) << '\n';
    }
    catch (const cv::Exception& e)
    {
        std::cerr << path << ": " << e.what() << '\n';
        return 1;
    }
    return 0;
}
