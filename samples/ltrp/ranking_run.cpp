// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "ranking_run.hpp"

#include "read_ahead.hpp"

#include <opencv2/ltrp/ranker.hpp>

#include <algorithm>

namespace tool
{

using namespace cv::ltrp;

void addRankingOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("model", po::value<std::string>()->value_name("FILE"),
            "ranker's weight file, or its .onnx, run by cv::dnn (default: the installed one)")
        ("size", po::value<std::string>()->value_name("WxH|auto"),
            "pixels that images are resized to, multiples of the patch size; auto: the shape of each photo and about as "
            "many patches as in training, auto:N: about N (default: the square of the training; other sizes need a token "
            "head)")
        ("trusted", po::bool_switch(), "run an .onnx of any origin, not only those of 'ltrp convert'; OpenCV does "
            "not validate such files")
        ("batch", po::value<int>()->value_name("N")->default_value(8), "images ranked in one pass, 1 to 1024")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addMaxPixels(options);
    addPrecision(options);
}

Json photoJson(const RankedPhoto& photo)
{
    Json entry = Json::object();
    entry["image"] = nameJson(photo.path);
    entry["width"] = photo.ranking.imageSize.width;
    entry["height"] = photo.ranking.imageSize.height;
    return entry;
}

cv::Size RankingRun::InputSize::of(const Ranker& ranker, cv::Size image) const
{
    return fitted ? ranker.fittingInputSize(image, patches) : ranker.getInputSize();
}

RankingRun::InputSize RankingRun::InputSize::parse(const std::string& text)
{
    InputSize size;
    const std::string word = "auto";
    size.fitted = text.compare(0, word.size(), word) == 0;
    if (!size.fitted)
    {
        size.fixed = parseSize("--size", text);
        return size;
    }
    if (text == word)
        return size;
    const std::string number = text.substr(std::min(text.size(), word.size() + 1));
    const bool good = text[word.size()] == ':' && !number.empty() && number.size() <= 5
                      && number.find_first_not_of("0123456789") == std::string::npos;
    size.patches = good ? std::stoi(number) : 0;
    if (size.patches < 1 || size.patches > 65536)
        throw UsageError("--size: '" + text + "' is neither WxH, auto nor auto:N with N from 1 to 65536");
    return size;
}

RankingRun::RankingRun(const std::string& command, const po::variables_map& values) : command_(command)
{
    const int batch = values["batch"].as<int>();
    if (batch < 1 || batch > 1024)
        throw UsageError("--batch: " + std::to_string(batch) + " is outside 1 to 1024");
    batch_ = static_cast<size_t>(batch);
    sized_ = values.count("size") > 0;
    if (sized_)
        size_ = InputSize::parse(values["size"].as<std::string>());
    if (values.count("model"))
        model_ = values["model"].as<std::string>();
    trusted_ = values["trusted"].as<bool>();
    applyThreads(values);
    applyMaxPixels(values);
    target_ = targetOption(values);
}

void RankingRun::open(const std::vector<std::string>& paths, const std::string& skip)
{
    inputs_ = expandImages(paths, skip, &unread_);
    weights_ = findModel(model_, "rank", "--model");
}

void RankingRun::fail(const std::string& message)
{
    complain(message);
    ++failed_;
}

size_t RankingRun::rank(const std::function<void(const RankedPhoto&)>& use)
{
    use_ = use;
    const cv::Ptr<Ranker> ranker = Ranker::create(weights_, trusted_);
    ranker->setPreferableTarget(target_);
    if (size_.fitted)
        ranker->setInputSize(ranker->fittingInputSize(cv::Size(2, 1)));   // throws for a ranker of fixed size
    else if (sized_)
        ranker->setInputSize(size_.fixed);
    const cv::Size patch(ranker->getInputSize().width / ranker->getGrid().width,
                         ranker->getInputSize().height / ranker->getGrid().height);
    Progress progress(command_ + ": image", inputs_.size());
    ReadAhead reader(inputs_, batch_);
    std::vector<Photo> photos;
    for (size_t i = 0; i < inputs_.size(); ++i)
    {
        checkInterrupt();
        try
        {
            Photo photo;
            photo.input = i;
            photo.pixels = reader.next();
            const cv::Size input = size_.of(*ranker, photo.pixels.size());
            checkPhotoSize(inputs_[i], photo.pixels.size(),
                           cv::Size(input.width / patch.width, input.height / patch.height));
            photos.push_back(photo);
        }
        catch (const std::exception& error)
        {
            fail(reason(error, inputs_[i]));
        }
        if (photos.size() == batch_ || i + 1 == inputs_.size())
        {
            rankPhotos(*ranker, photos);
            photos.clear();
        }
        progress.update(i + 1);
    }
    return good_;
}

void RankingRun::rankPhotos(Ranker& ranker, const std::vector<Photo>& photos)
{
    for (size_t i = 0; i < photos.size();)
    {
        const cv::Size size = size_.of(ranker, photos[i].pixels.size());
        std::vector<Photo> alike;
        while (i < photos.size() && size_.of(ranker, photos[i].pixels.size()) == size)
            alike.push_back(photos[i++]);
        ranker.setInputSize(size);
        rankAlike(ranker, alike);
    }
}

/// Ranks photos of the same input size in one pass; if that fails, one by one, so that only the failing photo is
/// skipped.
void RankingRun::rankAlike(const Ranker& ranker, const std::vector<Photo>& photos)
{
    std::vector<cv::Mat> images;
    for (const Photo& photo : photos)
        images.push_back(photo.pixels);
    std::vector<PatchRanking> rankings;
    if (images.size() > 1)
    {
        try
        {
            rankings = ranker.rankBatch(images);
        }
        catch (const std::exception&)
        {
            rankings.clear();
        }
    }
    for (size_t i = 0; i < photos.size(); ++i)
    {
        checkInterrupt();
        const std::string& path = inputs_[photos[i].input];
        try
        {
            const PatchRanking ranking = rankings.empty() ? ranker.rank(images[i]) : rankings[i];
            use_(RankedPhoto{photos[i].input, path, images[i], ranking});
            ++good_;
        }
        catch (const OutputError&)
        {
            throw;
        }
        catch (const std::exception& error)
        {
            fail(reason(error, path));
        }
    }
}

int RankingRun::finish() const
{
    if (failed_ > 0 && inputs_.size() > 1)
        complain(std::to_string(failed_) + " of " + std::to_string(inputs_.size()) + " images failed");
    return failed_ + unread_ > 0 ? 1 : 0;
}

}  // namespace tool
