// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Approximate scores: exact if everything is sampled, close with the shipped model; and the parts they consist of.

#include "reference_vit.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "ops/cpu/kernels.hpp"
#include "ops/cpu/sample.hpp"
#include "vit/leave_one_out.hpp"

#include <boost/test/unit_test.hpp>
#include <opencv2/imgcodecs.hpp>

#include <numeric>
#include <set>

using namespace cv;
using namespace cv::ltrp;

namespace
{

std::vector<double> ranks(const std::vector<float>& values)
{
    std::vector<double> result;
    for (float value : values)
        result.push_back(static_cast<double>(std::count_if(values.begin(), values.end(), [&](float v) { return v < value; })));
    return result;
}

/// Pearson's correlation of ranks; ties are not expected.
double spearman(const std::vector<float>& a, const std::vector<float>& b)
{
    const std::vector<double> x = ranks(a), y = ranks(b);
    const double n = static_cast<double>(x.size()), mean = (n - 1) / 2;
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < x.size(); ++i)
    {
        xy += (x[i] - mean) * (y[i] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
    }
    return xy / std::sqrt(xx * yy);
}

struct RestoreKernels
{
    ~RestoreKernels() { ops::useKernels("auto"); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sampled_scores)

BOOST_AUTO_TEST_CASE(a_sample_of_all_gives_the_exact_scores)
{
    for (int depth : {1, 3})
    {
        vit::MaeConfig config;
        config.input.imageSize = 16;
        config.input.patchSize = 4;
        config.encoder = {12, 2, 3, 20};
        config.decoder = {24, depth, 3, 36};
        config.layerNormEps = 1e-6f;
        config.normPixLoss = true;
        vit::ParamArena arena(vit::maeLayout(config));
        reference::randomise(arena, 41);
        const int batch = 2, visible = 5;
        const std::vector<float> pixels = reference::randomPixels(size_t(batch) * 3 * 16 * 16, 42);
        const std::vector<int> keep = reference::randomMask(batch, 16, visible, 43);
        const vit::Mae mae(config, arena);
        for (ops::Precision precision : {ops::Precision::FP32, ops::Precision::BF16})
        {
            if (!ops::cpuLacks(precision).empty())
                continue;
            vit::Workspace ws(ops::frozenCpu(precision));
            for (int metric : {METRIC_L1, METRIC_L2})
                for (int space : {SPACE_DECODER, SPACE_PIXEL})
                {
                    vit::LeaveOneOutOptions options;
                    options.metric = metric;
                    options.space = space;
                    std::vector<float> exact(batch * visible), all(exact.size()), some(exact.size());
                    const auto scores = [&](double share, std::vector<float>& out) {
                        options.sampleShare = share;
                        vit::LeaveOneOut(mae).scores(pixels.data(), batch, keep.data(), visible, options, out.data(), ws);
                    };
                    scores(1, exact);
                    scores(0.99, all);   // rounds to all eleven
                    scores(0.4, some);
                    const double bound = precision == ops::Precision::FP32 ? 1e-4 : 0.25;
                    bool differs = false;
                    for (size_t i = 0; i < exact.size(); ++i)
                    {
                        BOOST_CHECK_MESSAGE(std::abs(all[i] - exact[i]) <= bound * exact[i], "depth " << depth << " metric "
                                            << metric << " space " << space << ": " << all[i] << ", exact " << exact[i]);
                        differs = differs || std::abs(some[i] - exact[i]) > 1e-3 * exact[i];
                    }
                    BOOST_CHECK(differs);
                }
        }
    }
}

BOOST_AUTO_TEST_CASE(estimates_rank_like_exact_scores)
{
    const Ptr<Scorer> scorer = Scorer::create(LTRP_SOURCE_DIR "/modules/ltrp/models/ltrp-mae-small.safetensors");
    for (int metric : {METRIC_L1, METRIC_L2})
    {
        double sum = 0;
        const std::vector<const char*> photos = {"astronaut", "cat", "coffee", "dandelions", "photographer", "rocket"};
        for (const char* photo : photos)
        {
            const Mat image = imread(LTRP_SOURCE_DIR "/samples/photos/" + std::string(photo) + ".jpg");
            BOOST_REQUIRE(!image.empty());
            ScoreParams params;
            params.metric = metric;
            const VisibleScores exact = scorer->score(image, params);
            params.sampleShare = 0.3;
            const VisibleScores estimate = scorer->score(image, params);
            BOOST_TEST(estimate.patches == exact.patches, boost::test_tools::per_element());
            BOOST_CHECK(estimate.scores == scorer->score(image, params).scores);   // deterministic
            BOOST_CHECK(estimate.scores != exact.scores);
            sum += spearman(exact.scores, estimate.scores);
        }
        BOOST_CHECK_GT(sum / static_cast<double>(photos.size()), 0.95);
    }
}

BOOST_AUTO_TEST_CASE(parameters_that_do_not_go_together)
{
    const Ptr<Scorer> scorer = Scorer::create(LTRP_SOURCE_DIR "/modules/ltrp/models/ltrp-mae-small.safetensors");
    const Mat image(64, 64, CV_8UC3, Scalar(1, 2, 3));
    const auto refused = [&](const ScoreParams& params, int code) {
        BOOST_CHECK_EXCEPTION(scorer->score(image, params), cv::Exception, [&](const cv::Exception& e) {
            return e.code == code && e.err.find("sampleShare") != String::npos;
        });
    };
    for (double share : {0.0, -0.3, 1.5, std::nan("")})
    {
        ScoreParams params;
        params.sampleShare = share;
        refused(params, Error::StsOutOfRange);
    }
    ScoreParams params;
    params.sampleShare = 0.5;
    params.removal = REMOVAL_ENCODER;
    refused(params, Error::StsNotImplemented);
    params.removal = REMOVAL_DECODER;
    params.metric = METRIC_SSIM;
    refused(params, Error::StsNotImplemented);
}

BOOST_AUTO_TEST_CASE(samples_follow_the_weights)
{
    const std::vector<double> weights = {0.1, 8, 0.4, 0.2, 1, 0.3, 0.5, 0.25, 0.15, 0.1};
    for (int count = 1; count <= 10; ++count)
    {
        const ops::Sample sample = ops::sampleByWeight(weights, count);
        BOOST_TEST(sample.items.size() == static_cast<size_t>(count));
        BOOST_TEST(std::set<int>(sample.items.begin(), sample.items.end()).size() == static_cast<size_t>(count));
        BOOST_TEST(sample.items[0] == 1);   // by far the heaviest
        for (size_t i = 0; i < sample.items.size(); ++i)
        {
            BOOST_CHECK(sample.probabilities[i] > 0 && sample.probabilities[i] <= 1);
            if (i > 0)
                BOOST_CHECK_LE(sample.probabilities[i], sample.probabilities[i - 1]);
        }
    }
    // With values in proportion to the weights an estimate of their sum has no error, except in the part that is
    // certain.
    const ops::Sample half = ops::sampleByWeight({4, 3, 2, 2, 2, 1, 1, 1}, 4);
    double sum = 0;
    for (size_t i = 0; i < half.items.size(); ++i)
        sum += std::vector<double>{4, 3, 2, 2, 2, 1, 1, 1}[static_cast<size_t>(half.items[i])] / half.probabilities[i];
    BOOST_CHECK_CLOSE(sum, 16.0, 1e-9);
    for (const std::vector<double>& useless : {std::vector<double>(5, 0.0), {1, std::nan(""), 1, 1, 1}, {1, -1, 1, 1, 1}})
    {
        const ops::Sample alike = ops::sampleByWeight(useless, 2);
        BOOST_TEST(alike.items.size() == 2u);
        BOOST_CHECK_CLOSE(alike.probabilities[0], 0.4, 1e-9);
    }
}

BOOST_AUTO_TEST_CASE(a_key_taken_out_of_finished_attention)
{
    const RestoreKernels restore;
    const int tokens = 37, width = 20;
    for (const char* set : {"baseline", "avx2", "avx512"})
    {
        try
        {
            ops::useKernels(set);
        }
        catch (const cv::Exception&)
        {
            continue;
        }
        for (float size : {0.3f, 3.f, 30.f})   // the last: nearly one-hot softmax
        {
            std::vector<float> qkv = reference::randomPixels(size_t(tokens) * 3 * width, 7);
            for (float& value : qkv)
                value *= size;
            const size_t padded = static_cast<size_t>(ops::paddedTokens(tokens));
            std::vector<float> scratch(ops::headScratch(tokens, width)), weights(tokens * padded), with(tokens * width);
            ops::HeadArgs args;
            args.q = qkv.data();
            args.k = args.q + width;
            args.v = args.k + width;
            args.stride = 3 * width;
            args.tokens = args.lastQuery = tokens;
            args.width = width;
            args.scale = 0.2f;
            args.scratch = scratch.data();
            args.outStride = width;
            args.probabilities = weights.data();
            args.out = with.data();
            ops::kernels().attention(args);

            ops::HeadArgs less = args;
            std::vector<int> all(tokens);
            std::iota(all.begin(), all.end(), 0);
            less.tokenIndices = all.data();
            less.live = tokens;
            less.result = with.data();
            less.resultStride = width;
            for (int gone : {0, 5, 36})
            {
                std::vector<float> want(with.size()), got(with.size());
                args.droppedToken = less.droppedToken = gone;
                args.probabilities = nullptr;
                args.out = want.data();
                ops::kernels().attention(args);
                less.out = got.data();
                ops::kernels().withoutKey(less);
                for (size_t i = 0; i < want.size(); ++i)
                    BOOST_REQUIRE_SMALL((got[i] - want[i]) / size, 1e-5f);
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
