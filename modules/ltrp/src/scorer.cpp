// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "opencv2/ltrp/models.hpp"

#include "core/random.hpp"
#include "ops/target.hpp"
#include "dnn/masked_image.hpp"
#include "teach/baselines.hpp"
#include "teach/feature_contrast.hpp"
#include "teach/maps.hpp"
#include "teach/own_error.hpp"
#include "teach/teacher.hpp"

#include <opencv2/core/utils/logger.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp {

namespace {

/// Several masks are computed together as long as all their reconstructions have no more rows of tokens than this; it
/// bounds the scratch memory for any number of masks (ViT-B/16: 4 masks).
const int maxTokenRows = 16384, maxTokenRowsOnCuda = 1 << 18;

/// scoreMap() fails after params.masks + this * patches / visible patches masks. With masks drawn from all patches, the
/// probability that a given patch was hidden in all of the latter is below exp(-64).
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
    checkEnum("context", params.context, CONTEXT_BORDER);
    LTRP_REQUIRE(params.smooth >= 0 && params.smooth <= 100, Error::StsOutOfRange,
                 "ScoreParams: smooth: expected 0 to 100, found " << params.smooth);
    LTRP_REQUIRE(params.masks >= 1, Error::StsOutOfRange,
                 "ScoreParams: masks: expected at least 1, found " << params.masks);
}

/// Number of masks done and in total, over all cues of a map.
class MapProgress
{
public:
    explicit MapProgress(const Scorer::Progress& report) : report_(report) {}
    void add(int masks)
    {
        for (; masks > 0; --masks)
        {
            ++done_;
            LTRP_REQUIRE(!report_ || report_(done_, total), Error::StsNoConv,
                         "scoreMap: cancelled after " << done_ << " of " << total << " masks");
        }
    }

    int total = 0;

private:
    const Scorer::Progress& report_;
    int done_ = 0;
};

/// Mean of each patch's scores over the masks in which it was scored.
class MaskMean
{
public:
    MaskMean(int patches, int average) : average_(average), sums_(patches, 0.0), counts_(patches, 0) {}
    void add(const Mat& scores, const int* patches)
    {
        const Mat values = average_ == AVERAGE_RANK ? teach::toRanks(scores) : scores;
        for (int i = 0; i < values.cols; i++)
        {
            sums_[patches[i]] += values.at<float>(i);
            counts_[patches[i]]++;
        }
    }
    Mat map(int grid) const
    {
        Mat result(grid, grid, CV_32F);
        for (size_t i = 0; i < sums_.size(); i++)
            result.ptr<float>()[i] = float(sums_[i] / counts_[i]);
        return result;
    }

private:
    int average_;
    std::vector<double> sums_;
    std::vector<int> counts_;
};

/// Resources for one call of the cues that do not use cv::dnn.
struct CueSession
{
    bool usable() const { return true; }
    LayerWorkspace workspace;
};

class ScorerImpl CV_FINAL : public Scorer
{
public:
    explicit ScorerImpl(std::shared_ptr<MaeModel> model)
        : model_(std::move(model)), features_(model_->net),
          cueSessions_([]() { return std::unique_ptr<CueSession>(new CueSession); }),
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
        const teach::Teacher teacher = teach::Teacher::parse(params.teacher);
        MapProgress masks(progress);
        for (const teach::Term& term : teacher.terms)
            masks.total += needsMasks(term.cue) ? countMasks(params, term.cue) : 0;
        PatchRanking ranking;
        for (const teach::Term& term : teacher.terms)
        {
            Mat map = cueMap(image, params, term.cue, masks, ranking.imageSize);
            LTRP_REQUIRE(checkRange(map), Error::StsBadArg,
                         model_->file.path << ": the model's scores are not finite numbers");
            if (!teacher.isSingle())
                map = teach::toRanks(map) * term.weight;
            // The barrier distance is already smooth within a region; unfiltered, it keeps outlines sharp in a sum.
            if (teacher.isSingle() || term.cue != teach::Cue::Barrier)
                map = teach::smoothed(map, params.smooth);
            ranking.scores = ranking.scores.empty() ? map : Mat(ranking.scores + map);
        }
        if (masks.total == 0 && progress)
            LTRP_REQUIRE(progress(1, 1), Error::StsNoConv, "scoreMap: cancelled");
        return ranking;
    }

    PatchRanking scoreMap(InputArray image, const ScoreParams& params) const CV_OVERRIDE
    {
        return scoreMap(image, params, Progress());
    }

    void addFeaturePhoto(InputArray photo) CV_OVERRIDE
    {
        Mat pixels;
        prepareImage(photo, input(), pixelBlob(pixels, 1, input()));
        features_.addPhoto(pixels.ptr<float>(), SessionPool<CueSession>::Lease(cueSessions_)->workspace.of(model_->computing));
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
        return describeRuntime(model_->file, input(), model_->computing) + text.str();
    }

private:
    const vit::InputConfig& input() const { return model_->net.config().input; }

    /// At least two visible patches, so that one is left when the other is removed, and one hidden patch to compare.
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
        const int grid = input().grid(), patches = input().numPatches(), border = grid < 3 ? patches : 4 * (grid - 1);
        std::vector<float> noise(patches);
        for (float& value : noise)
            value = random.uniform();
        if (params.context == CONTEXT_BORDER && border < patches)
        {
            // The patches with the smallest noise are visible: of both kinds, the required number gets values below all
            // others.
            int left[] = {std::min(border, (3 * visible + 3) / 4), 0};
            left[1] = std::min(patches - border, visible - left[0]);
            left[0] = visible - left[1];
            std::vector<int> order(patches);
            for (int i = 0; i < patches; i++)
                order[i] = i;
            std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return noise[a] < noise[b]; });
            for (int i : order)
            {
                const int x = i % grid, y = i / grid;
                int& more = left[x == 0 || y == 0 || x == grid - 1 || y == grid - 1 ? 0 : 1];
                if (more > 0)
                    noise[i] -= 1;
                more--;
            }
        }
        vit::maskFromNoise(noise.data(), int(noise.size()), visible, ids);
    }

    static bool needsMasks(teach::Cue cue) { return cue == teach::Cue::LeaveOneOut || cue == teach::Cue::OwnError; }

    /// Scores of one cue, CV_32FC1 on the grid.
    Mat cueMap(InputArray image, const ScoreParams& params, teach::Cue cue, MapProgress& progress, Size& imageSize) const
    {
        typedef teach::Baseline Baseline;
        switch (cue)
        {
        case teach::Cue::LeaveOneOut: return leaveOneOutMap(image, params, progress, imageSize);
        case teach::Cue::OwnError: return ownErrorMap(image, params, progress, imageSize);
        case teach::Cue::Features: return featureMap(image, params, imageSize);
        case teach::Cue::Gradient: return classicalMap(image, Baseline::Gradient, imageSize);
        case teach::Cue::Barrier: return classicalMap(image, Baseline::Barrier, imageSize);
        case teach::Cue::Spectral: return classicalMap(image, Baseline::Spectral, imageSize);
        case teach::Cue::FineGrained: return classicalMap(image, Baseline::FineGrained, imageSize);
        case teach::Cue::Centre: return classicalMap(image, Baseline::Centre, imageSize);
        }
        LTRP_ERROR(Error::StsBadArg, "no cue has the number " << int(cue));
    }

    Mat leaveOneOutMap(InputArray image, const ScoreParams& params, MapProgress& progress, Size& imageSize) const
    {
        const int visible = visibleOf(params), total = countMasks(params, teach::Cue::LeaveOneOut);
        const std::unique_ptr<MaskedImage> opened = open(image);
        imageSize = opened->size();
        MaskMean mean(input().numPatches(), params.average);
        forMasks(params, total, visible, progress, [&](const Mat& ids)
        {
            const Mat scores = forward(*opened, ids, params);
            for (int row = 0; row < ids.rows; row++)
                mean.add(scores.row(row), ids.ptr<int>(row));
        });
        return mean.map(input().grid());
    }

    Mat ownErrorMap(InputArray image, const ScoreParams& params, MapProgress& progress, Size& imageSize) const
    {
        LTRP_REQUIRE(params.metric == METRIC_L1 || params.metric == METRIC_L2, Error::StsBadArg,
                     "ScoreParams: metric: expected METRIC_L1 or METRIC_L2 for own-error, found " << params.metric);
        const int patches = input().numPatches(), visible = visibleOf(params), total = countMasks(params, teach::Cue::OwnError);
        SessionPool<CueSession>::Lease session(cueSessions_);
        Mat pixels, one = hostPixels(image, imageSize);
        MaskMean mean(patches, params.average);
        forMasks(params, total, visible, progress, [&](const Mat& ids)
        {
            float* to = pixelBlob(pixels, ids.rows, input());
            for (int row = 0; row < ids.rows; row++, to += one.total())
                std::copy(one.ptr<float>(), one.ptr<float>() + one.total(), to);
            Mat errors(ids.rows, patches, CV_32F), scores(1, patches - visible, CV_32F);
            teach::ownErrors(model_->net, pixels.ptr<float>(), ids.rows, ids.ptr<int>(), visible, params.metric == METRIC_L2,
                             params.space == SPACE_PIXEL, errors.ptr<float>(), session->workspace.of(model_->computing));
            for (int row = 0; row < ids.rows; row++)
            {
                std::vector<int> masked;
                for (int i = 0; i < patches; i++)
                    if (!std::isnan(errors.at<float>(row, i)))
                    {
                        scores.at<float>(int(masked.size())) = errors.at<float>(row, i);
                        masked.push_back(i);
                    }
                CV_Assert(int(masked.size()) == scores.cols);
                mean.add(scores, masked.data());
            }
        });
        return mean.map(input().grid());
    }

    Mat featureMap(InputArray image, const ScoreParams& params, Size& imageSize) const
    {
        const Mat pixels = hostPixels(image, imageSize);
        SessionPool<CueSession>::Lease session(cueSessions_);
        return features_.map(pixels.ptr<float>(), params.featureBlocks, session->workspace.of(model_->computing));
    }

    Mat classicalMap(InputArray image, teach::Baseline baseline, Size& imageSize) const
    {
        requireHost(image);
        imageSize = image.size();
        return teach::BaselineRanker(image, getGrid()).rank(baseline).scores;
    }

    static void requireHost(InputArray image)
    {
        LTRP_REQUIRE(image.kind() != _InputArray::CUDA_GPU_MAT, Error::StsNotImplemented,
                     "scoreMap: images in GPU memory go with the teacher leave-one-out alone; download the image first");
    }

    Mat hostPixels(InputArray image, Size& imageSize) const
    {
        requireHost(image);
        Mat pixels;
        imageSize = prepareImage(image, input(), pixelBlob(pixels, 1, input()));
        return pixels;
    }

    /// Calls compute() for several masks at a time, one per row.
    void forMasks(const ScoreParams& params, int total, int visible, MapProgress& progress,
                  const std::function<void(const Mat& ids)>& compute) const
    {
        const int64_t rowsPerMask = int64_t(1 + visible) * (1 + input().numPatches());
        const int64_t rows = model_->computing.onCuda() ? maxTokenRowsOnCuda : maxTokenRows;
        const int chunk = std::min(boundedBatch(rows / rowsPerMask, input()), total);
        for (int first = 0; first < total; first += chunk)
        {
            Mat ids(std::min(chunk, total - first), visible, CV_32S);
            for (int row = 0; row < ids.rows; row++)
                mask(params, first + row, visible, ids.ptr<int>(row));
            compute(ids);
            progress.add(ids.rows);
        }
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

    /// Masks are a function of seed and number, so the number needed until every patch was visible (for own-error:
    /// hidden) is known in advance.
    int countMasks(const ScoreParams& params, teach::Cue cue) const
    {
        const int patches = input().numPatches(), visible = visibleOf(params);
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
            for (int i = 0, next = 0; i < patches; i++)
            {
                const bool shown = next < visible && ids[next] == i;
                next += shown;
                if (shown == (cue == teach::Cue::LeaveOneOut))
                {
                    unseen -= !seen[i];
                    seen[i] = 1;
                }
            }
            if (unseen == 0)
                return std::max(params.masks, number + 1);
        }
        LTRP_ERROR(Error::StsNoConv, "scoreMap: " << unseen << " of " << patches << " patches were scored under none of "
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
    teach::FeatureContrast features_;
    mutable SessionPool<CueSession> cueSessions_;
    mutable SessionPool<PseudoScoreSession> sessions_;
    mutable SessionPool<DevicePseudoScoreSession> deviceSessions_;
};

}  // namespace

Ptr<Scorer> Scorer::create(const String& model, int normPixLoss)
{
    LTRP_REQUIRE(normPixLoss >= -1 && normPixLoss <= 1, Error::StsOutOfRange,
                 "normPixLoss is " << normPixLoss << ", expected 0, 1, or -1 (as the file says)");
    io::LoadHints hints;
    hints.normPixLoss = normPixLoss;
    io::Model loaded = io::loadModel(model, io::ModelKind::Mae, hints);
    for (const std::string& warning : loaded.warnings)
        CV_LOG_WARNING(NULL, warning);
    return makePtr<ScorerImpl>(std::make_shared<MaeModel>(std::move(loaded)));
}

Ptr<Scorer> Scorer::create()
{
    return create(shippedModel("mae"));
}

}}  // namespace
