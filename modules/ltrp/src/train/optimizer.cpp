// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "optimizer.hpp"
#include "../core/parallel.hpp"

#include <opencv2/core/hal/hal.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cv { namespace ltrp { namespace train {

namespace
{

/// A range of values with the same settings.
struct Piece
{
    size_t begin, count;
    bool decay;
    float rate;   ///< factor of the learning rate
};

/// Loops without calls or branches, so that the compiler vectorises them. The square root is OpenCV's vectorised one,
/// because the standard one sets errno and is not vectorised.
void updatePiece(float* w, float* g, float* m, float* v, size_t count, float keep, float rate, const ops::AdamWFactors& f,
                 bool clear)
{
    const size_t block = 1024;
    float root[block];
    for (size_t start = 0; start < count; start += block)
    {
        const size_t n = std::min(block, count - start);
        float *wb = w + start, *mb = m + start, *vb = v + start;
        const float* gb = g + start;
        for (size_t i = 0; i < n; i++)
        {
            mb[i] = f.beta1 * mb[i] + f.oneMinusBeta1 * gb[i];
            vb[i] = f.beta2 * vb[i] + f.oneMinusBeta2 * gb[i] * gb[i];
        }
        hal::sqrt32f(vb, root, static_cast<int>(n));
        for (size_t i = 0; i < n; i++)
            wb[i] = keep * wb[i] - rate * mb[i] / (root[i] * f.inverseRoot2 + f.eps);
        if (clear)
            std::fill_n(g + start, n, 0.f);
    }
}

void checkOptions(const AdamWParams& o)
{
    LTRP_REQUIRE(std::isfinite(o.learningRate) && o.learningRate >= 0 && o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 &&
                 o.beta2 < 1 && o.eps > 0 && std::isfinite(o.weightDecay) && o.weightDecay >= 0, Error::StsOutOfRange,
                 "AdamW: learning rate " << o.learningRate << ", betas " << o.beta1 << " " << o.beta2 << ", eps "
                 << o.eps << ", weight decay " << o.weightDecay
                 << " (rate and decay must be >= 0, betas in [0, 1), eps > 0)");
}

}  // namespace

ops::AdamWFactors adamWFactors(const AdamWParams& options, int64_t step)
{
    checkOptions(options);
    const double correction1 = 1 - std::pow(options.beta1, static_cast<double>(step));
    const double correction2 = 1 - std::pow(options.beta2, static_cast<double>(step));
    ops::AdamWFactors factors;
    factors.decayed = static_cast<float>(1 - options.learningRate * options.weightDecay);
    factors.beta1 = static_cast<float>(options.beta1);
    factors.oneMinusBeta1 = static_cast<float>(1 - options.beta1);
    factors.beta2 = static_cast<float>(options.beta2);
    factors.oneMinusBeta2 = static_cast<float>(1 - options.beta2);
    factors.rate = static_cast<float>(options.learningRate / correction1);
    factors.inverseRoot2 = static_cast<float>(1 / std::sqrt(correction2));
    factors.eps = static_cast<float>(options.eps);
    factors.gradient = 1;
    return factors;
}

AdamW::AdamW(const vit::ParamLayout& layout)
    : m(Mat::zeros(1, static_cast<int>(layout.total()), CV_32F)),
      v(Mat::zeros(1, static_cast<int>(layout.total()), CV_32F))
{
}

void AdamW::step(vit::ParamArena& params, float* grads, const AdamWParams& options, bool clear)
{
    const size_t total = params.layout.total();
    LTRP_REQUIRE(m.type() == CV_32F && v.type() == CV_32F && m.total() == total && v.total() == total &&
                 m.isContinuous() && v.isContinuous(), Error::StsUnmatchedSizes,
                 "AdamW: state of " << m.total() << " and " << v.total() << " values, parameters of " << total);
    const ops::AdamWFactors factors = adamWFactors(options, steps + 1);
    steps++;

    // Factor of a weight after weight decay.
    const auto kept = [&](float rate) { return rate == 1 ? factors.decayed : 1 - (1 - factors.decayed) * rate; };
    const size_t longest = 1 << 16;
    std::vector<Piece> pieces;
    for (const vit::ParamInfo& info : params.layout.tensors())
        for (size_t begin = 0; info.trainable && begin < info.count; begin += longest)
            pieces.push_back({info.offset + begin, std::min(longest, info.count - begin), info.decay, info.rate});

    float *weights = params.data(), *first = m.ptr<float>(), *second = v.ptr<float>();
    parallelRanges(pieces.size(), 1, [&](size_t begin, size_t end)
    {
        for (size_t i = begin; i < end; i++)
            updatePiece(weights + pieces[i].begin, grads + pieces[i].begin, first + pieces[i].begin,
                        second + pieces[i].begin, pieces[i].count, pieces[i].decay ? kept(pieces[i].rate) : 1.f,
                        factors.rate * pieces[i].rate, factors, clear);
    });
}

double gradientNorm(const Mat& grads)
{
    const int piece = 1 << 16, count = static_cast<int>(grads.total());
    std::vector<double> squares(static_cast<size_t>((count + piece - 1) / piece));
    parallelRanges(squares.size(), 1, [&](size_t begin, size_t end)
    {
        for (size_t i = begin; i < end; i++)
        {
            const int first = static_cast<int>(i) * piece;
            squares[i] = norm(grads.colRange(first, std::min(count, first + piece)), NORM_L2SQR);
        }
    });
    return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

double learningRate(double base, double minimum, double warmupEpochs, double epochs, double epoch)
{
    if (epoch < warmupEpochs)
        return base * epoch / warmupEpochs;
    if (epoch >= epochs)
        return minimum;
    return minimum + (base - minimum) * 0.5 * (1 + std::cos(CV_PI * (epoch - warmupEpochs) / (epochs - warmupEpochs)));
}

}}}  // namespace
