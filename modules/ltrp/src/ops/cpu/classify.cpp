// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Head of a classifier on the CPU: mean of tokens, cross entropy. Both take little time compared with the blocks.
#include "backend.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace ops {

void CpuBackend::meanRows(const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim) const
{
    const size_t d = z(dim);
    for (size_t i = 0; i < z(items); ++i, mean += d)
    {
        const float* row = x + i * itemStride + z(base) * d;
        std::fill(mean, mean + d, 0.f);
        for (int j = 0; j < n; ++j, row += d)
            for (size_t c = 0; c < d; ++c)
                mean[c] += row[c];
        for (size_t c = 0; c < d; ++c)
            mean[c] /= static_cast<float>(n);
    }
}

void CpuBackend::meanRowsBackward(const float* dMean, float* dx, size_t itemStride, int base, int items, int n, int dim) const
{
    const size_t d = z(dim);
    for (size_t i = 0; i < z(items); ++i, dMean += d)
    {
        float* row = dx + i * itemStride + z(base) * d;
        for (int j = 0; j < n; ++j, row += d)
            for (size_t c = 0; c < d; ++c)
                row[c] = dMean[c] / static_cast<float>(n);
    }
}

void CpuBackend::crossEntropy(const CrossEntropy& args) const
{
    const size_t classes = z(args.classes);
    const double share = args.smoothing / static_cast<double>(args.classes), factor = args.gradientScale / static_cast<double>(args.batch);
    double total = 0;
    for (size_t i = 0; i < z(args.batch); ++i)
    {
        const float* logits = args.logits + i * classes;
        const size_t label = z(args.labels[i]);
        const double largest = *std::max_element(logits, logits + classes);
        double exponentials = 0, sum = 0;
        for (size_t c = 0; c < classes; ++c)
        {
            exponentials += std::exp(logits[c] - largest);
            sum += logits[c] - largest;
        }
        // -log softmax, relative to the largest logit: of the label, and `share` times the mean over all classes
        const double logSum = std::log(exponentials);
        total += (1 - args.smoothing) * (logSum - (logits[label] - largest)) + share * (static_cast<double>(classes) * logSum - sum);
        float* gradient = args.dLogits + i * classes;
        for (size_t c = 0; c < classes; ++c)
        {
            const double target = share + (c == label ? 1 - args.smoothing : 0);
            gradient[c] = static_cast<float>(factor * (std::exp(logits[c] - largest - logSum) - target));
        }
    }
    *args.loss = total / args.batch;
}

}}}  // namespace
