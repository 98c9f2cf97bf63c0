// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "opencv2/ltrp/models.hpp"

#include "core/random.hpp"
#include "core/target.hpp"
#include "dnn/device_session.hpp"
#include "dnn/session.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp {

namespace {

/// Several masks go through the network at once as long as all their reconstructions together have no more rows of
/// tokens than this; scratch memory stays bounded whatever the number of masks (ViT-B/16: 4 masks).
const int maxTokenRows = 16384, maxTokenRowsOnCuda = 1 << 18;

/// scoreMap() gives up after params.masks + this * patches / visible patches masks. The chance that a given patch was
/// hidden in all of the latter is below exp(-64).
const int coverageRounds = 64;

void checkEnum(const char* name, int value, int highest)
{
    LTRP_REQUIRE(value >= 0 && value <= highest, Error::StsOutOfRange,
                 "ScoreParams: " << name << ": expected 0 to " << highest << ", found " << value);
}

vit::LeaveOneOutOptions optionsOf(const ScoreParams& params)
{
    vit::LeaveOneOutOptions options;
    options.removal = params.removal;
    options.metric = params.metric;
    options.space = params.space;
    options.sampleShare = params.sampleShare;
    return options;
}

void checkParams(const ScoreParams& params)
{
    LTRP_REQUIRE(params.maskRatio > 0 && params.maskRatio < 1, Error::StsOutOfRange,
                 "ScoreParams: maskRatio: expected a number in (0, 1), found " << params.maskRatio);
    checkEnum("removal", params.removal, REMOVAL_ENCODER);
    checkEnum("metric", params.metric, METRIC_PSNR);
    checkEnum("space", params.space, SPACE_PIXEL);
    LTRP_REQUIRE(params.sampleShare > 0 && params.sampleShare <= 1, Error::StsOutOfRange,
                 "ScoreParams: sampleShare: expected a number in (0, 1], found " << params.sampleShare);
    const std::string lacks = params.sampleShare < 1 ? vit::sampleLacks(optionsOf(params)) : std::string();
    LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented,
                 "ScoreParams: sampleShare: " << lacks << ": expected 1, found " << params.sampleShare);
}

void checkMapParams(const ScoreParams& params)
{
    checkParams(params);
    checkEnum("average", params.average, AVERAGE_RANK);
    LTRP_REQUIRE(params.masks >= 1, Error::StsOutOfRange,
                 "ScoreParams: masks: expected at least 1, found " << params.masks);
}

/// Replaces scores by their ranks, 0 for the lowest to 1 for the highest; equal scores share their mean rank.
void toRanks(std::vector<float>& scores)
{
    const int n = int(scores.size());
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] < scores[b]; });
    std::vector<float> ranks(n);
    for (int first = 0; first < n;)
    {
        int last = first;
        while (last + 1 < n && scores[order[last + 1]] == scores[order[first]])
            last++;
        for (int i = first; i <= last; i++)
            ranks[order[i]] = float(0.5 * (double(first) + last) / (n - 1));
        first = last + 1;
    }
    scores.swap(ranks);
}

/// An image whose visible patches are scored under masks, wherever it lies.
class MaskedImage
{
public:
    virtual ~MaskedImage() {}
    virtual Size size() const = 0;
    /// ids: a mask a row -> scores of the same form, overwritten by the next call.
    virtual Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) = 0;
};

class HostImage CV_FINAL : public MaskedImage
{
public:
    HostImage(SessionPool<PseudoScoreSession>& sessions, InputArray image, const vit::InputConfig& input)
        : input_(input), session_(sessions), size_(prepareImage(image, input, pixelBlob(one_, 1, input)))
    {
    }

    Size size() const CV_OVERRIDE { return size_; }
    Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) CV_OVERRIDE
    {
        float* pixels = pixelBlob(session_->pixels, ids.rows, input_);
        for (int row = 0; row < ids.rows; row++)
            std::copy(one_.ptr<float>(), one_.ptr<float>() + one_.total(), pixels + row * one_.total());
        return session_->forward(session_->pixels, ids, options);
    }

private:
    const vit::InputConfig& input_;
    SessionPool<PseudoScoreSession>::Lease session_;
    Mat one_;
    const Size size_;
};

class DeviceImage CV_FINAL : public MaskedImage
{
public:
    DeviceImage(SessionPool<DevicePseudoScoreSession>& sessions, const cuda::GpuMat& image)
        : session_(sessions), size_(image.size())
    {
        session_->setImage(image);
    }

    Size size() const CV_OVERRIDE { return size_; }
    Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) CV_OVERRIDE { return session_->forward(ids, options); }

private:
    SessionPool<DevicePseudoScoreSession>::Lease session_;
    const Size size_;
};

class ScorerImpl CV_FINAL : public Scorer
{
public:
    explicit ScorerImpl(std::shared_ptr<MaeModel> model)
        : model_(std::move(model)),
          sessions_([this]() { return std::unique_ptr<PseudoScoreSession>(new PseudoScoreSession(model_)); }),
          deviceSessions_([this]()
          { return std::unique_ptr<DevicePseudoScoreSession>(new DevicePseudoScoreSession(model_)); })
    {
    }

    VisibleScores score(InputArray image, const ScoreParams& params) const CV_OVERRIDE
    {
        checkParams(params);
        VisibleScores result;
        result.patches = firstMask(params);
        const Mat ids = Mat(result.patches, true).reshape(1, 1);
        const std::unique_ptr<MaskedImage> opened = open(image);
        const Mat scores = forward(*opened, ids, params);
        result.scores.assign(scores.ptr<float>(), scores.ptr<float>() + ids.cols);
        return result;
    }

    std::vector<int> scoreOnDevice(InputArray images, OutputArray scores, const ScoreParams& params,
                                   cuda::Stream& stream) const CV_OVERRIDE
    {
        return scoreBehind(images, scores, params, stream.cudaPtr());
    }
    std::vector<int> scoreOnDevice(InputArray images, OutputArray scores, const ScoreParams& params) const CV_OVERRIDE
    {
        return scoreBehind(images, scores, params, nullptr);
    }

    PatchRanking scoreMap(InputArray image, const ScoreParams& params, const Progress& progress) const CV_OVERRIDE
    {
        checkMapParams(params);
        const int patches = input().numPatches(), visible = visibleOf(params);
        const int total = countMasks(params, visible);
        const int64_t rowsPerMask = int64_t(1 + visible) * (1 + patches);
        const int64_t rows = model_->computing.onCuda() ? maxTokenRowsOnCuda : maxTokenRows;
        const int chunk = int(std::min<int64_t>(std::max<int64_t>(1, rows / rowsPerMask), total));

        PatchRanking ranking;
        const std::unique_ptr<MaskedImage> opened = open(image);
        ranking.imageSize = opened->size();

        std::vector<double> sums(patches, 0.0);
        std::vector<int> counts(patches, 0);
        std::vector<float> values(visible);
        for (int first = 0; first < total; first += chunk)
        {
            const int batch = std::min(chunk, total - first);
            Mat ids(batch, visible, CV_32S);
            for (int row = 0; row < batch; row++)
                mask(params, first + row, visible, ids.ptr<int>(row));
            const Mat scores = forward(*opened, ids, params);
            for (int row = 0; row < batch; row++)
            {
                values.assign(scores.ptr<float>(row), scores.ptr<float>(row) + visible);
                if (params.average == AVERAGE_RANK)
                    toRanks(values);
                for (int i = 0; i < visible; i++)
                {
                    sums[ids.at<int>(row, i)] += values[i];
                    counts[ids.at<int>(row, i)]++;
                }
            }
            for (int row = 0; progress && row < batch; row++)
                LTRP_REQUIRE(progress(first + row + 1, total), Error::StsNoConv,
                             "scoreMap: cancelled after " << first + row + 1 << " of " << total << " masks");
        }

        ranking.scores.create(input().grid(), input().grid(), CV_32F);
        for (int i = 0; i < patches; i++)
            ranking.scores.ptr<float>()[i] = float(sums[i] / counts[i]);
        return ranking;
    }

    PatchRanking scoreMap(InputArray image, const ScoreParams& params) const CV_OVERRIDE
    {
        return scoreMap(image, params, Progress());
    }

    void setPreferableBackend(int backendId) CV_OVERRIDE { chooseBackend(backendId, model_->computing); }
    void setPreferableTarget(int targetId) CV_OVERRIDE { model_->computing.set(targetId); }

    Size getInputSize() const CV_OVERRIDE { return Size(input().imageSize, input().imageSize); }
    Size getGrid() const CV_OVERRIDE { return Size(input().grid(), input().grid()); }

    String info() const CV_OVERRIDE
    {
        const vit::MaeConfig& config = model_->net.config();
        const vit::StackConfig &encoder = config.encoder, &decoder = config.decoder;
        std::ostringstream text;
        text << "encoder: " << encoder.depth << " blocks, " << encoder.dim << " wide, " << encoder.heads << " heads\n"
             << "decoder: " << decoder.depth << " blocks, " << decoder.dim << " wide, " << decoder.heads
             << " heads, predicts " << (config.normPixLoss ? "patch-normalised" : "plain") << " pixels\n";
        return describeRuntime(model_->file, model_->computing) + text.str();
    }

private:
    const vit::InputConfig& input() const { return model_->net.config().input; }

    /// Two visible patches, so that one is left when the other is taken out, and one hidden to look at.
    int visibleOf(const ScoreParams& params) const
    {
        const int patches = input().numPatches();
        LTRP_REQUIRE(patches >= 3, Error::StsBadArg,
                     model_->file.path << ": expected a grid of at least 3 patches to hide some of, found " << patches);
        return std::min(std::max(vit::visibleCount(patches, params.maskRatio), 2), patches - 1);
    }

    /// Mask `number` of a seed: the visible patches, ascending.
    void mask(const ScoreParams& params, int number, int visible, int* ids) const
    {
        RandomStream random(params.seed, RandomPurpose::Mask, 0, uint32_t(number));
        std::vector<float> noise(input().numPatches());
        for (float& value : noise)
            value = random.uniform();
        vit::maskFromNoise(noise.data(), int(noise.size()), visible, ids);
    }

    std::vector<int> firstMask(const ScoreParams& params) const
    {
        std::vector<int> ids(visibleOf(params));
        mask(params, 0, int(ids.size()), ids.data());
        return ids;
    }

    std::vector<int> scoreBehind(InputArray images, OutputArray scores, const ScoreParams& params, void* stream) const
    {
        LTRP_REQUIRE(isOnDevice(images), Error::StsBadArg,
                     "scoreOnDevice: expected a cv::cuda::GpuMat or a vector of them");
        checkParams(params);
        const std::vector<int> visible = firstMask(params);
        SessionPool<DevicePseudoScoreSession>::Lease session(deviceSessions_);
        session->score(deviceImages(images), visible, optionsOf(params), scores, stream);
        return visible;
    }

    /// Masks are a function of seed and number, so that how many it takes until every patch was visible is known
    /// before anything is computed.
    int countMasks(const ScoreParams& params, int visible) const
    {
        const int patches = input().numPatches();
        const int64_t limit = params.masks + int64_t(coverageRounds) * (1 + patches / visible);
        LTRP_REQUIRE(limit <= std::numeric_limits<int>::max(), Error::StsOutOfRange,
                     "ScoreParams: masks: expected at most "
                     << std::numeric_limits<int>::max() - (limit - params.masks) << ", found " << params.masks);
        std::vector<int> ids(visible);
        std::vector<uchar> seen(patches, 0);
        int unseen = patches;
        for (int number = 0; number < limit; number++)
        {
            mask(params, number, visible, ids.data());
            for (int id : ids)
            {
                unseen -= !seen[id];
                seen[id] = 1;
            }
            if (unseen == 0)
                return std::max(params.masks, number + 1);
        }
        LTRP_ERROR(Error::StsNoConv, "scoreMap: " << unseen << " of " << patches << " patches were visible in none of "
                   << limit << " masks");
    }

    std::unique_ptr<MaskedImage> open(InputArray image) const
    {
        if (image.kind() == _InputArray::CUDA_GPU_MAT)
            return std::unique_ptr<MaskedImage>(new DeviceImage(deviceSessions_, deviceImages(image)[0]));
        return std::unique_ptr<MaskedImage>(new HostImage(sessions_, image, input()));
    }

    Mat forward(MaskedImage& image, const Mat& ids, const ScoreParams& params) const
    {
        const Mat scores = image.forward(ids, optionsOf(params));
        LTRP_REQUIRE(checkRange(scores), Error::StsBadArg,
                     model_->file.path << ": the model's scores are not finite numbers");
        return scores;
    }

    std::shared_ptr<MaeModel> model_;
    mutable SessionPool<PseudoScoreSession> sessions_;
    mutable SessionPool<DevicePseudoScoreSession> deviceSessions_;
};

}  // namespace

Ptr<Scorer> Scorer::create(const String& model)
{
    return makePtr<ScorerImpl>(std::make_shared<MaeModel>(io::loadModel(model, io::ModelKind::Mae)));
}

Ptr<Scorer> Scorer::create()
{
    return create(shippedModel("mae"));
}

}}  // namespace
