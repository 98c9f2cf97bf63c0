// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The parts of a transformer block that treat every token alike: norms, linear layers, GELU. Each thread takes a block of
// rows small enough for its cache through all of them, with products of its own: no row waits for another thread, and
// what is between the products never reaches memory.
#include "backend.hpp"
#include "kernels.hpp"
#include "matmul.hpp"
#include "parallel.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// Rows per product at most: enough for the matrix library's full rate, few enough for `widest` floats of each in the L2.
size_t rowsPerBlock(int widest)
{
    return std::min<size_t>(128, std::max<size_t>(48, 262144 / static_cast<size_t>(widest)));
}

/// Scratch of the calling thread that grows and stays; the slots are independent.
void* scratch(int slot, size_t bytes)
{
    thread_local std::vector<unsigned char> buffers[6];
    std::vector<unsigned char>& buffer = buffers[slot];
    if (buffer.size() < bytes + 64)
        buffer.resize(bytes + 64);
    return alignPtr(buffer.data(), 64);
}

/// Multiplies blocks of rows by weights in one precision; activations come as floats and are converted here.
class RowProduct
{
public:
    RowProduct(Precision precision, const LinearWeights& weights, const PackedMatrix* packed)
        : precision_(precision), weights_(weights), packed_(packed), kernels_(kernels()),
          in_(static_cast<size_t>(weights.in)), out_(static_cast<size_t>(weights.out))
    {
    }

    /// y = x w^T + b, or += when add.
    void run(const float* x, size_t rows, float* y, bool add) const
    {
        if (precision_ == Precision::FP32)
            multiply(x, rows, y, add);
        else if (precision_ == Precision::BF16)
            multiply(half(x, rows, kernels_.toBf16), rows, y, add);
        else
            dequantise(sums(quantised(x, rows), rows), rows, y, add);
    }

    /// y += gelu(first(x)) w^T + b: both layers of an MLP.
    void runMlp(const RowProduct& first, const float* x, size_t rows, float* y) const
    {
        if (precision_ == Precision::INT8)
        {
            const Quantised from = first.quantised(x, rows);
            const int32_t* hidden = first.sums(from, rows);
            const Quantised to(rows, in_, 5);
            kernels_.geluQuantise(hidden, from.scale, from.low, first.packed_->scales(), first.packed_->sums(),
                                  first.weights_.bias, to.values, to.scale, to.low,
                                  static_cast<float*>(scratch(4, in_ * sizeof(float))), rows, in_);
            dequantise(sums(to, rows), rows, y, true, 5);
            return;
        }
        float* hidden = static_cast<float*>(scratch(4, rows * in_ * sizeof(float)));
        first.run(x, rows, hidden, false);
        if (precision_ == Precision::BF16)
        {
            multiply(half(hidden, rows, kernels_.geluBf16), rows, y, true);
            return;
        }
        kernels_.gelu(hidden, hidden, rows * in_);
        multiply(hidden, rows, y, true);
    }

private:
    struct Quantised
    {
        Quantised(size_t rows, size_t columns, int slot)
            : values(static_cast<uint8_t*>(scratch(0, rows * columns))),
              scale(static_cast<float*>(scratch(slot, 2 * rows * sizeof(float)))), low(scale + rows)
        {
        }
        uint8_t* values;
        float *scale, *low;
    };

    const uint16_t* half(const float* x, size_t rows, void (*convert)(const float*, uint16_t*, size_t)) const
    {
        uint16_t* values = static_cast<uint16_t*>(scratch(0, rows * in_ * sizeof(uint16_t)));
        convert(x, values, rows * in_);
        return values;
    }

    Quantised quantised(const float* x, size_t rows) const
    {
        const Quantised q(rows, in_, 1);
        kernels_.quantise(x, q.values, q.scale, q.low, rows, in_);
        return q;
    }

    const int32_t* sums(const Quantised& q, size_t rows) const
    {
        int32_t* result = static_cast<int32_t*>(scratch(2, rows * out_ * sizeof(int32_t)));
        packed_->multiply(q.values, static_cast<int>(rows), result, nullptr, false);
        return result;
    }

    /// `slot`: where the scales of the activations lie.
    void dequantise(const int32_t* from, size_t rows, float* y, bool add, int slot = 1) const
    {
        const float* scale = static_cast<const float*>(scratch(slot, 2 * rows * sizeof(float)));
        kernels_.dequantise(from, scale, scale + rows, packed_->scales(), packed_->sums(), weights_.bias, y, rows, out_, add);
    }

    void multiply(const void* x, size_t rows, float* y, bool add) const
    {
        if (packed_)
            packed_->multiply(x, static_cast<int>(rows), y, weights_.bias, add);
        else
            matmul(static_cast<const float*>(x), false, weights_.weight, true, weights_.bias, y, static_cast<int>(rows),
                   weights_.out, weights_.in, add);
    }

    Precision precision_;
    const LinearWeights& weights_;
    const PackedMatrix* packed_;
    const Kernels& kernels_;
    size_t in_, out_;
};

/// body(first, rows) for blocks that cover all rows. So few rows that most threads would have none: one block on the
/// calling thread, whose products then use all threads themselves.
template <class Body>
void forRowBlocks(int rows, int widest, const Body& body)
{
    const size_t total = static_cast<size_t>(rows), least = 24;
    const size_t most = rowsPerBlock(widest);
    if (total / least * 2 < static_cast<size_t>(threads()))
    {
        body(0, total);
        return;
    }
    parallelRanges(total, least, [&](size_t begin, size_t end) {
        const size_t blocks = (end - begin + most - 1) / most;
        for (size_t i = 0; i < blocks; ++i)
        {
            const size_t first = begin + (end - begin) * i / blocks, last = begin + (end - begin) * (i + 1) / blocks;
            body(first, last - first);
        }
    });
}

}  // namespace

void CpuBackend::normLinear(const NormWeights& norm, const LinearWeights& linear, const float* x, float* y, int rows) const
{
    const Kernels& k = kernels();
    const size_t in = static_cast<size_t>(linear.in), out = static_cast<size_t>(linear.out);
    const RowProduct product(precision(), linear, packed(linear));
    forRowBlocks(rows, std::max(linear.in, linear.out), [&](size_t first, size_t n) {
        float* normed = static_cast<float*>(scratch(3, n * in * sizeof(float)));
        k.layerNorm(x + first * in, norm.weight, norm.bias, norm.eps, normed, n, in, nullptr, nullptr);
        product.run(normed, n, y + first * out, false);
    });
}

void CpuBackend::finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const
{
    const Kernels& k = kernels();
    const size_t dim = static_cast<size_t>(block.proj.out);
    const RowProduct proj(precision(), block.proj, packed(block.proj)), fc1(precision(), block.fc1, packed(block.fc1)),
        fc2(precision(), block.fc2, packed(block.fc2));
    forRowBlocks(rows, block.fc1.out, [&](size_t first, size_t n) {
        float* row = x + first * dim;
        float* normed = static_cast<float*>(scratch(3, n * dim * sizeof(float)));
        proj.run(attended + first * dim, n, row, true);
        k.layerNorm(row, block.norm2.weight, block.norm2.bias, block.norm2.eps, normed, n, dim, nullptr, nullptr);
        fc2.runMlp(fc1, normed, n, row);
    });
}

}}}  // namespace
