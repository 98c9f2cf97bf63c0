// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Leave-one-out scores compared with a simple loop: one image, one visible patch at a time, complete reconstructions.

#include "reference_vit.hpp"
#include "vit/leave_one_out.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace cv;
using namespace cv::ltrp;
using vit::LeaveOneOutOptions;

namespace
{

const int batch = 3, visible = 5;

struct Setup
{
    explicit Setup(bool normPixLoss = true)
    {
        config.input.imageSize = 16;
        config.input.patchSize = 4;
        config.encoder = {12, 2, 3, 20};
        config.decoder = {8, 3, 2, 12};
        config.layerNormEps = 1e-6f;
        config.normPixLoss = normPixLoss;
        arena = vit::ParamArena(vit::maeLayout(config));
        reference::randomise(arena, 41);
        // With equal contrast, all patches would have the same weight in pixel space.
        pixels = reference::randomPixels(static_cast<size_t>(batch) * image(), 42);
        for (size_t i = 0; i < pixels.size(); i++)
            pixels[i] *= 0.2f + static_cast<float>(i % 16) / 8;
        keep = reference::randomMask(batch, config.input.numPatches(), visible, 43);
    }

    size_t image() const { return static_cast<size_t>(3) * config.input.imageSize * config.input.imageSize; }

    std::vector<float> scores(const LeaveOneOutOptions& options, int first = 0, int count = batch) const
    {
        const vit::Mae mae(config, arena);
        vit::Workspace ws;
        std::vector<float> result(static_cast<size_t>(count) * visible);
        vit::LeaveOneOut(mae).scores(&pixels[first * image()], count, &keep[static_cast<size_t>(first) * visible],
                                     visible, options, result.data(), ws);
        return result;
    }

    vit::MaeConfig config;
    vit::ParamArena arena;
    std::vector<float> pixels;
    std::vector<int> keep;
};

LeaveOneOutOptions makeOptions(int removal, int metric, int space = SPACE_DECODER)
{
    LeaveOneOutOptions options;
    options.removal = removal;
    options.metric = metric;
    options.space = space;
    return options;
}

/// [3, side, side] of a prediction per patch.
reference::Vector picture(const reference::Matrix& pred, int side, int size)
{
    reference::Vector out(static_cast<size_t>(3) * side * side);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
            {
                const reference::Vector& patch = pred[y / size * (side / size) + x / size];
                out[(c * side + y) * side + x] = patch[(y % size * size + x % size) * 3 + c];
            }
    return out;
}

double range(const reference::Vector& values)
{
    const auto ends = std::minmax_element(values.begin(), values.end());
    return *ends.second - *ends.first;
}

/// By definition, window by window.
double structuralSimilarity(const reference::Vector& a, const reference::Vector& b, int side)
{
    const double data = std::max(range(a), range(b)), c1 = std::pow(0.01 * data, 2), c2 = std::pow(0.03 * data, 2);
    double kernel[11], total = 0, norm = 0;
    for (int i = 0; i < 11; i++)
        norm += kernel[i] = std::exp(-(i - 5) * (i - 5) / (2 * 1.5 * 1.5));
    for (int c = 0; c < 3; c++)
        for (int top = 0; top + 11 <= side; top++)
            for (int left = 0; left + 11 <= side; left++)
            {
                double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
                for (int y = 0; y < 11; y++)
                    for (int x = 0; x < 11; x++)
                    {
                        const size_t at = (static_cast<size_t>(c) * side + top + y) * side + left + x;
                        const double w = kernel[y] * kernel[x] / (norm * norm);
                        ma += w * a[at];
                        mb += w * b[at];
                        aa += w * a[at] * a[at];
                        bb += w * b[at] * b[at];
                        ab += w * a[at] * b[at];
                    }
                total += (2 * ma * mb + c1) * (2 * (ab - ma * mb) + c2) /
                         ((ma * ma + mb * mb + c1) * (aa - ma * ma + bb - mb * mb + c2));
            }
    return total / (3.0 * (side - 10) * (side - 10));
}

double peakSignalToNoise(const reference::Vector& anchor, const reference::Vector& other)
{
    const auto ends = std::minmax_element(other.begin(), other.end());
    const double data = std::max(0.0, *ends.second) - std::min(0.0, *ends.first);
    double mse = 0;
    for (size_t i = 0; i < anchor.size(); i++)
        mse += (anchor[i] - other[i]) * (anchor[i] - other[i]) / anchor.size();
    return 10 * std::log10(data * data / mse);
}

double difference(const Setup& s, const float* pixels, const std::vector<int>& keep, const reference::Matrix& anchor,
                  const reference::Matrix& other, const LeaveOneOutOptions& options)
{
    double total = 0, count = 0;
    for (int id = 0; id < s.config.input.numPatches(); id++)
    {
        if (reference::contains(keep, id))
            continue;
        double mean = 0, scale = 1;
        if (options.space == SPACE_PIXEL && s.config.normPixLoss)
            reference::statistics(reference::patch(pixels, s.config.input.size(), s.config.input.patchSize, id, true),
                                  mean, scale);
        for (size_t i = 0; i < anchor[id].size(); i++)
        {
            const double d = (anchor[id][i] - other[id][i]) * scale;
            total += options.metric == METRIC_L2 ? d * d : std::abs(d);
            count++;
        }
    }
    return total / count;
}

/// Scores (SSIM and PSNR: before scaling) by the simple loop. drop: the decoder's sequence lacks the token.
std::vector<double> obvious(const Setup& s, const LeaveOneOutOptions& options, bool drop = false)
{
    const reference::Params params = reference::toDouble(s.arena);
    std::vector<double> result;
    for (int b = 0; b < batch; b++)
    {
        const float* pixels = &s.pixels[b * s.image()];
        const std::vector<int> keep = reference::row(s.keep, b, visible);
        const reference::Matrix latent = reference::encode(s.config, params, pixels, keep, -1);
        const reference::Matrix anchor = reference::decode(s.config, params, latent, keep, -1);
        for (int i = 0; i < visible; i++)
        {
            const reference::Matrix other = options.removal == REMOVAL_DECODER
                ? reference::decode(s.config, params, latent, keep, 1 + keep[i], drop)
                : reference::decode(s.config, params, reference::encode(s.config, params, pixels, keep, 1 + i), keep,
                                    -1);
            const int side = s.config.input.imageSize, size = s.config.input.patchSize;
            if (options.metric == METRIC_SSIM)
                result.push_back(structuralSimilarity(picture(anchor, side, size), picture(other, side, size), side));
            else if (options.metric == METRIC_PSNR)
                result.push_back(peakSignalToNoise(picture(anchor, side, size), picture(other, side, size)));
            else
                result.push_back(difference(s, pixels, keep, anchor, other, options));
        }
    }
    return result;
}

/// |got - want| relative to the largest expected value.
void checkClose(const std::vector<float>& got, const std::vector<double>& want, double tolerance,
                const std::string& what)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double error = 0, largest = 0;
    for (size_t i = 0; i < got.size(); i++)
    {
        error = std::max(error, std::abs(got[i] - want[i]));
        largest = std::max(largest, std::abs(want[i]));
    }
    BOOST_CHECK_MESSAGE(error <= tolerance * largest, what << ": off by " << error << " of " << largest);
}

std::vector<double> wide(const std::vector<float>& values)
{
    return std::vector<double>(values.begin(), values.end());
}

const char* name(int removal)
{
    return removal == REMOVAL_DECODER ? "decoder" : "encoder";
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(leave_one_out, reference::OneThread)

BOOST_AUTO_TEST_CASE(differences_match_the_obvious_loop)
{
    for (bool normPixLoss : {true, false})
    {
        const Setup s(normPixLoss);
        for (int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
            for (int metric : {METRIC_L1, METRIC_L2})
                for (int space : {SPACE_DECODER, SPACE_PIXEL})
                {
                    const LeaveOneOutOptions options = makeOptions(removal, metric, space);
                    checkClose(s.scores(options), obvious(s, options), 2e-5,
                               std::string(name(removal)) + " metric " + std::to_string(metric) + " space " +
                               std::to_string(space));
                }
    }
}

BOOST_AUTO_TEST_CASE(removals_and_spaces_differ)
{
    // Otherwise the comparison above could not distinguish them.
    const Setup s;
    const std::vector<float> decoder = s.scores(makeOptions(REMOVAL_DECODER, METRIC_L1));
    const std::vector<float> encoder = s.scores(makeOptions(REMOVAL_ENCODER, METRIC_L1));
    const std::vector<float> pixel = s.scores(makeOptions(REMOVAL_DECODER, METRIC_L1, SPACE_PIXEL));
    for (size_t i = 0; i < decoder.size(); i++)
    {
        BOOST_CHECK_GT(decoder[i], 0);
        BOOST_CHECK_GT(std::abs(decoder[i] - encoder[i]), 1e-3 * decoder[i]);
        BOOST_CHECK_GT(std::abs(decoder[i] - pixel[i]), 1e-3 * decoder[i]);
    }
}

BOOST_AUTO_TEST_CASE(image_metrics_match_the_obvious_loop)
{
    const Setup s;
    for (int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
        for (int metric : {METRIC_SSIM, METRIC_PSNR})
        {
            const LeaveOneOutOptions options = makeOptions(removal, metric);
            const vit::Mae mae(s.config, s.arena);
            vit::Workspace ws;
            const std::vector<double> raw =
                vit::LeaveOneOut(mae).similarities(s.pixels.data(), batch, s.keep.data(), visible, options, ws);
            const std::vector<float> scores = s.scores(options);
            const std::vector<double> want = obvious(s, options);
            checkClose(std::vector<float>(raw.begin(), raw.end()), want, 1e-4, std::string(name(removal)) + " metric " + std::to_string(metric));
            const auto ends = std::minmax_element(want.begin(), want.end());   // scaled over the whole batch
            for (size_t i = 0; i < want.size(); i++)
                BOOST_CHECK_SMALL(scores[i] - (1 - (want[i] - *ends.first) / (*ends.second - *ends.first)), 2e-3);
        }
}

BOOST_AUTO_TEST_CASE(reconstructions_match_the_obvious_loop)
{
    const Setup s;
    const reference::Params params = reference::toDouble(s.arena);
    const size_t patches = s.config.input.numPatches(), values = s.config.input.patchValues();
    for (int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
    {
        const LeaveOneOutOptions options = makeOptions(removal, METRIC_L1);
        const vit::Mae mae(s.config, s.arena);
        vit::Workspace ws;
        std::vector<double> scores;
        reference::Matrix anchor;
        double error = 0;
        int calls = 0;
        vit::LeaveOneOut(mae).reconstructions(s.pixels.data(), batch, s.keep.data(), visible, options,
            [&](int b, int i, const float* prediction)
        {
            BOOST_REQUIRE_EQUAL(b * (visible + 1) + 1 + i, calls++);   // each once, the anchor before its variants
            const float* pixels = &s.pixels[b * s.image()];
            const std::vector<int> keep = reference::row(s.keep, b, visible);
            const bool encoder = removal == REMOVAL_ENCODER && i >= 0;
            const reference::Matrix latent = reference::encode(s.config, params, pixels, keep, encoder ? 1 + i : -1);
            const reference::Matrix want =
                reference::decode(s.config, params, latent, keep, i < 0 || encoder ? -1 : 1 + keep[i]);
            reference::Matrix got;
            for (size_t p = 0; p < patches; p++)
            {
                got.emplace_back(prediction + p * values, prediction + (p + 1) * values);
                for (size_t j = 0; j < values; j++)
                    error = std::max(error, std::abs(got[p][j] - want[p][j]));
            }
            if (i < 0)
                anchor = got;
            else
                scores.push_back(difference(s, pixels, keep, anchor, got, options));
        }, ws);
        BOOST_CHECK_EQUAL(calls, batch * (visible + 1));
        BOOST_CHECK_MESSAGE(error < 1e-4, name(removal) << ": off by " << error);
        checkClose(s.scores(options), scores, 1e-5, "scores with and without whole reconstructions");
    }
}

BOOST_AUTO_TEST_CASE(masking_the_token_equals_dropping_it)
{
    const Setup s;
    for (int metric : {METRIC_L1, METRIC_L2})
        for (int space : {SPACE_DECODER, SPACE_PIXEL})
        {
            const LeaveOneOutOptions options = makeOptions(REMOVAL_DECODER, metric, space);
            checkClose(s.scores(options), obvious(s, options, true), 2e-5,
                       "metric " + std::to_string(metric) + " space " + std::to_string(space));
        }
}

BOOST_AUTO_TEST_CASE(images_do_not_mix)
{
    const Setup s;
    for (int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
    {
        const LeaveOneOutOptions options = makeOptions(removal, METRIC_L1);
        std::vector<float> single;
        for (int b = 0; b < batch; b++)
        {
            const std::vector<float> one = s.scores(options, b, 1);
            single.insert(single.end(), one.begin(), one.end());
        }
        checkClose(s.scores(options), wide(single), 1e-5, name(removal));
    }
}

BOOST_AUTO_TEST_CASE(threads_do_not_change_scores)
{
    const Setup s;
    for (int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
        for (int metric : {METRIC_L1, METRIC_SSIM})
        {
            setNumThreads(1);
            const std::vector<float> one = s.scores(makeOptions(removal, metric));
            setNumThreads(2);
            const std::vector<float> two = s.scores(makeOptions(removal, metric));
            checkClose(two, wide(one), metric == METRIC_L1 ? 1e-6 : 2e-3, std::string(name(removal)) + " metric " +
                       std::to_string(metric));
        }
}

BOOST_AUTO_TEST_SUITE_END()
