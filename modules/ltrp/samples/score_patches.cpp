// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Measures the importance of each patch of an image with a masked autoencoder, without a trained ranker and without
// labels.

#include <iostream>

#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/scorer.hpp>

static const char* keys =
    "{ help h usage ? |     | print this message }"
    "{ @image         |     | image to score }"
    "{ mae            |     | masked autoencoder's weights, with decoder; the shipped ones unless told }"
    "{ masks n        | 32  | random masks to average over }"
    "{ mask-ratio     | 0.9 | share of patches hidden by a mask, in (0, 1) }"
    "{ pixel-space    |     | compare real pixel contrast instead of the decoder's output as it is }"
    "{ ranks          |     | average ranks instead of scores }"
    "{ seed           | 0   | picks the masks }"
    "{ output o       |     | heat map to write }";

int main(int argc, char** argv)
{
    cv::CommandLineParser parser(argc, argv, keys);
    parser.about("Scores the patches of an image by how much its reconstruction changes without them.");
    if (parser.has("help"))
    {
        parser.printMessage();
        return 0;
    }
    const cv::String imagePath = parser.get<cv::String>("@image"), model = parser.get<cv::String>("mae");
    const cv::String output = parser.get<cv::String>("output");
    cv::ltrp::ScoreParams params;
    params.masks = parser.get<int>("masks");
    params.maskRatio = parser.get<double>("mask-ratio");
    params.space = parser.has("pixel-space") ? cv::ltrp::SPACE_PIXEL : cv::ltrp::SPACE_DECODER;
    params.average = parser.has("ranks") ? cv::ltrp::AVERAGE_RANK : cv::ltrp::AVERAGE_SCORE;
    params.seed = parser.get<uint64>("seed");
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
        //! [score]
        cv::Ptr<cv::ltrp::Scorer> scorer =
            model.empty() ? cv::ltrp::Scorer::create() : cv::ltrp::Scorer::create(model);
        cv::ltrp::PatchRanking map = scorer->scoreMap(image, params, [](int done, int total)
        {
            std::cerr << "\rmask " << done << " of " << total << std::flush;
            return true;   // false would cancel
        });
        //! [score]
        std::cerr << std::endl;
        std::cout << scorer->info() << "scores, one row per row of patches:\n" << map.scores << std::endl;
        if (!output.empty())
        {
            cv::Mat picture;
            cv::ltrp::drawHeatMap(image, map.scores, picture);
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
