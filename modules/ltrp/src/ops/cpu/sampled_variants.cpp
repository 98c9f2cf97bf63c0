// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The approximate leave-one-out measurement: only a few tokens of each variant pass through the decoder.

#include "backend.hpp"
#include "kernels.hpp"
#include "../../core/parallel.hpp"
#include "sample.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// Scratch memory of the calling thread, kept between calls.
float* threadBuffer(int slot, size_t count)
{
    thread_local std::vector<float> buffers[12];
    std::vector<float>& buffer = buffers[slot];
    if (buffer.size() < count + 16)
    {
        buffer.clear();
        buffer.resize(count + 16);
    }
    return alignPtr(buffer.data(), 64);
}

}  // namespace

/// One call of sampledDifferences(). Sizes: T tokens, V variants, m live rows per variant, k of them compared.
class SampledRun
{
public:
    SampledRun(const CpuBackend& backend, const SampledVariants& work)
        : backend_(backend), w_(work), kernels_(kernels()),
          half_(backend.precision() != Precision::FP32 && kernels_.attentionAmongBf16),
          dim_(work.blocks[0].qkv.in), width_(dim_ / work.heads), d_(static_cast<size_t>(dim_)),
          t_(static_cast<size_t>(work.tokens)), v_(static_cast<size_t>(work.variants)),
          values_(static_cast<size_t>(work.head.out)),
          sampled_(std::max(1, cvRound(work.share * work.compared))), live_(sampled_ + work.tokens - work.compared - 1),
          k_(static_cast<size_t>(sampled_)), m_(static_cast<size_t>(live_)),
          stride_(static_cast<size_t>(paddedTokens(work.tokens)))
    {
        half_ = half_ && width_ <= 512;
    }

    void run(double* means)
    {
        anchor();
        choose();
        firstBlock();
        for (int i = 1; i < w_.count; ++i)
            nextBlock(i, i + 1 == w_.count ? sampled_ : live_);
        compare(means);
    }

private:
    /// The anchor first: its queries, keys and values of every block, its attention in the first one, its predictions.
    void anchor()
    {
        qkv_ = threadBuffer(0, static_cast<size_t>(w_.count) * t_ * 3 * d_);
        probabilities_ = threadBuffer(1, static_cast<size_t>(w_.heads) * t_ * stride_);
        firstAttended_ = threadBuffer(2, t_ * d_);
        reference_ = threadBuffer(3, static_cast<size_t>(w_.compared) * values_);
        float* x = threadBuffer(4, t_ * d_);
        float* attended = threadBuffer(5, t_ * d_);
        std::memcpy(x, w_.x0, t_ * d_ * sizeof(float));
        for (int i = 0; i < w_.count; ++i)
        {
            const BlockWeights& block = w_.blocks[i];
            float* qkv = qkv_ + static_cast<size_t>(i) * t_ * 3 * d_;
            backend_.normLinear(block.norm1, block.qkv, x, qkv, w_.tokens);
            float* out = i == 0 ? firstAttended_ : attended;
            backend_.attention(qkv, nullptr, out, i == 0 ? probabilities_ : nullptr, 1, w_.tokens, dim_, w_.heads, 1);
            backend_.finishBlock(block, out, x, i + 1 == w_.count ? w_.compared : w_.tokens);
        }
        backend_.normLinear(w_.norm, w_.head, x, reference_, w_.compared);
    }

    /// A compared token is more likely to be taken the more it attends to the missing token. The square root is a
    /// compromise between taking the tokens that change most, which would miss the many small changes, and uniform
    /// sampling.
    void choose()
    {
        tokenIndices_.clear();
        factors_.clear();
        std::vector<double> weights(static_cast<size_t>(w_.compared));
        for (int v = 0; v < w_.variants; ++v)
        {
            for (size_t q = 0; q < weights.size(); ++q)
            {
                double looks = 0;
                for (size_t h = 0; h < static_cast<size_t>(w_.heads); ++h)
                    looks += probabilities_[(h * t_ + q) * stride_ + static_cast<size_t>(w_.droppedToken[v])];
                const double scale = w_.scale ? w_.scale[q] : 1.0;
                weights[q] = w_.squared ? looks * scale * scale : std::sqrt(looks) * scale;
            }
            const Sample sample = sampleByWeight(weights, sampled_);
            tokenIndices_.insert(tokenIndices_.end(), sample.items.begin(), sample.items.end());
            for (size_t i = 0; i < k_; ++i)
            {
                const double scale = w_.scale ? w_.scale[sample.items[i]] : 1.0, p = sample.probabilities[i];
                factors_.push_back(static_cast<float>(scale / (w_.squared ? std::sqrt(p) : p)));
            }
            for (int token = w_.compared; token < w_.tokens; ++token)
                if (token != w_.droppedToken[v])
                    tokenIndices_.push_back(token);
        }
    }

    HeadArgs headOf(const float* qkv, int head) const
    {
        HeadArgs args;
        args.q = qkv + static_cast<size_t>(head) * static_cast<size_t>(width_);
        args.k = args.q + d_;
        args.v = args.k + d_;
        args.stride = 3 * d_;
        args.tokens = w_.tokens;
        args.width = width_;
        args.scale = 1.f / std::sqrt(static_cast<float>(width_));
        args.outStride = d_;
        return args;
    }

    /// All variants have the same first queries, keys and values: the missing key's contribution is subtracted from the
    /// anchor's attention.
    void firstBlock()
    {
        x_ = threadBuffer(6, v_ * m_ * d_);
        attended_ = threadBuffer(7, v_ * m_ * d_);
        parallelRanges(v_, 1, [&](size_t begin, size_t end) {
            for (size_t v = begin; v < end; ++v)
            {
                const int* tokenIndices = &tokenIndices_[v * m_];
                for (size_t i = 0; i < m_; ++i)
                    std::memcpy(x_ + (v * m_ + i) * d_, w_.x0 + static_cast<size_t>(tokenIndices[i]) * d_,
                                d_ * sizeof(float));
                for (int h = 0; h < w_.heads; ++h)
                {
                    HeadArgs args = headOf(qkv_, h);
                    const size_t head = static_cast<size_t>(h), column = head * static_cast<size_t>(width_);
                    args.scratch = threadBuffer(10, headScratch(w_.tokens, width_));
                    args.droppedToken = w_.droppedToken[v];
                    args.probabilities = probabilities_ + head * t_ * stride_;
                    args.result = firstAttended_ + column;
                    args.resultStride = d_;
                    args.tokenIndices = tokenIndices;
                    args.live = live_;
                    args.out = attended_ + v * m_ * d_ + column;
                    kernels_.withoutKey(args);
                }
            }
        });
        finish(w_.blocks[0], w_.count == 1 ? sampled_ : live_);
    }

    void nextBlock(int number, int queries)
    {
        const BlockWeights& block = w_.blocks[number];
        float* own = threadBuffer(8, v_ * m_ * 3 * d_);
        backend_.normLinear(block.norm1, block.qkv, x_, own, static_cast<int>(v_ * m_));
        const float* anchor = qkv_ + static_cast<size_t>(number) * t_ * 3 * d_;
        // Head by head, because all variants share the anchor's keys and values of a head.
        parallelRanges(static_cast<size_t>(w_.heads) * v_, 1, [&](size_t begin, size_t end) {
            float* packed = threadBuffer(9, packedKeys(w_.tokens, width_));
            float* scratch = threadBuffer(10, headScratch(w_.tokens, width_));
            int packedHead = -1;
            for (size_t task = begin; task < end; ++task)
            {
                const int head = static_cast<int>(task / v_);
                const size_t v = task % v_, column = static_cast<size_t>(head) * static_cast<size_t>(width_);
                if (head != packedHead)
                    (half_ ? kernels_.packKeysBf16 : kernels_.packKeys)(headOf(anchor, head), packed);
                packedHead = head;
                HeadArgs args = headOf(own + v * m_ * 3 * d_, head);
                args.scratch = scratch;
                args.packed = packed;
                args.tokenIndices = &tokenIndices_[v * m_];
                args.live = live_;
                args.droppedToken = w_.droppedToken[v];
                args.lastQuery = queries;
                args.out = attended_ + v * m_ * d_ + column;
                (half_ ? kernels_.attentionAmongBf16 : kernels_.attentionAmong)(args);
            }
        });
        finish(block, queries);
    }

    /// The end of a block for the first `rows` rows of each variant. If that is not all rows, only these are kept from
    /// then on.
    void finish(const BlockWeights& block, int rows)
    {
        if (rows < live_)
            for (size_t v = 1; v < v_; ++v)
            {
                std::memmove(x_ + v * k_ * d_, x_ + v * m_ * d_, k_ * d_ * sizeof(float));
                std::memmove(attended_ + v * k_ * d_, attended_ + v * m_ * d_, k_ * d_ * sizeof(float));
            }
        backend_.finishBlock(block, attended_, x_, static_cast<int>(v_) * rows);
    }

    void compare(double* means)
    {
        float* predicted = threadBuffer(11, v_ * k_ * values_);
        backend_.normLinear(w_.norm, w_.head, x_, predicted, static_cast<int>(v_ * k_));
        parallelRanges(v_, 1, [&](size_t begin, size_t end) {
            for (size_t v = begin; v < end; ++v)
            {
                double sum = 0;
                for (size_t i = 0; i < k_; ++i)
                    sum += kernels_.sumDifference(predicted + (v * k_ + i) * values_,
                                                  reference_ + static_cast<size_t>(tokenIndices_[v * m_ + i]) * values_, values_,
                                                  factors_[v * k_ + i], w_.squared);
                means[v] = sum / (static_cast<double>(w_.compared) * static_cast<double>(values_));
            }
        });
    }

    const CpuBackend& backend_;
    const SampledVariants& w_;
    const Kernels& kernels_;
    bool half_;
    int dim_, width_;
    size_t d_, t_, v_, values_;
    int sampled_, live_;
    size_t k_, m_, stride_;
    float *qkv_ = nullptr, *probabilities_ = nullptr, *firstAttended_ = nullptr, *reference_ = nullptr, *x_ = nullptr,
          *attended_ = nullptr;
    std::vector<int> tokenIndices_;       ///< [V, m]: token of each live row; the compared ones first
    std::vector<float> factors_;    ///< [V, k]
};

void CpuBackend::sampledDifferences(const SampledVariants& work, double* means) const
{
    SampledRun(*this, work).run(means);
}

}}}  // namespace
