#include <opencv2/ltrp.hpp>
#include <iostream>

int main(int argc, char** argv)
{
    cv::ltrp::PatchRanking ranking;
    ranking.imageSize = cv::Size(224, 224);
    ranking.scores = cv::Mat(14, 14, CV_32F);
    for (int i = 0; i < 196; i++)
        ranking.scores.at<float>(i / 14, i % 14) = static_cast<float>(i);
    const std::vector<int> keep = cv::ltrp::selectPatches(ranking, cv::ltrp::SelectParams());
    const cv::Rect best = ranking.rect(ranking.order()[0]);
    std::cout << "keeps " << keep.size() << " of 196 patches, the best at " << best.x << "," << best.y << std::endl;
    if (argc > 1)   // a ranker: the network and its library are in the package too
        std::cout << "ranks " << cv::ltrp::Ranker::create(argv[1])->rank(cv::Mat(300, 400, CV_8UC3, cv::Scalar(9, 99, 199))).order().size()
                  << " patches" << std::endl;
    return 0;
}
