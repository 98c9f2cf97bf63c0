// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "backend.hpp"
#include "kernels.hpp"
#include "matmul.hpp"
#include "../../core/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cv { namespace ltrp { namespace ops {

float* threadScratch(size_t count)
{
    thread_local std::vector<float> buffer;
    if (buffer.size() < count + 16)
        buffer.resize(count + 16);
    return alignPtr(buffer.data(), 64);
}

namespace
{

/// linear() with one output. A library's matrix-vector product splits the rows by their number; here a row's result
/// does not depend on the other rows, so that an image has the same scores alone and in a batch.
void dots(const float* x, const float* w, const float* b, float* y, int rows, int in, bool add)
{
    const size_t width = static_cast<size_t>(in), lanes = 16;
    parallelRanges(static_cast<size_t>(rows), 1 + 65536 / width, [&](size_t begin, size_t end) {
        for (size_t r = begin; r < end; ++r)
        {
            const float* row = x + r * width;
            float sums[lanes] = {};
            size_t i = 0;
            for (; i + lanes <= width; i += lanes)
                for (size_t l = 0; l < lanes; ++l)
                    sums[l] += row[i + l] * w[i + l];
            float sum = b ? *b : 0.f;
            for (; i < width; ++i)
                sum += row[i] * w[i];
            for (size_t half = lanes / 2; half > 0; half /= 2)
                for (size_t l = 0; l < half; ++l)
                    sums[l] += sums[l + half];
            sum += sums[0];
            y[r] = add ? y[r] + sum : sum;
        }
    });
}

}  // namespace

void CpuBackend::linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
            Epilogue epilogue) const
{
    if (out == 1)
        return dots(x, w, b, y, rows, in, epilogue == Epilogue::Add);
    matmul(x, false, w, true, b, y, rows, out, in, epilogue == Epilogue::Add);
}

void CpuBackend::linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const
{
    matmul(dy, false, w, false, nullptr, dx, rows, in, out, false);
}

void CpuBackend::linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                          int out) const
{
    matmul(dy, true, x, false, nullptr, dw, out, in, rows, true);
    if (!db)
        return;
    const Kernels& k = kernels();
    const size_t columns = static_cast<size_t>(out);
    const std::vector<float> sums = sumInParts(static_cast<size_t>(rows), columns, [&](size_t begin, size_t end, float* part) {
        k.columnSums(dy + begin * columns, part, end - begin, columns);
    });
    for (size_t i = 0; i < columns; ++i)
        db[i] += sums[i];
}

void CpuBackend::layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim, float* mean,
               float* rstd) const
{
    const Kernels& k = kernels();
    const size_t width = static_cast<size_t>(dim);
    parallelRanges(static_cast<size_t>(rows), 1 + 16384 / width, [&](size_t begin, size_t end) {
        k.layerNorm(x + begin * width, w, b, eps, y + begin * width, end - begin, width,
                    mean ? mean + begin : nullptr, rstd ? rstd + begin : nullptr);
    });
}

void CpuBackend::layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd, float* dx,
                       float* dw, float* db, int rows, int dim) const
{
    const Kernels& k = kernels();
    const size_t width = static_cast<size_t>(dim);
    const std::vector<float> sums = sumInParts(static_cast<size_t>(rows), 2 * width, [&](size_t begin, size_t end, float* part) {
        k.layerNormBackward(dy + begin * width, x + begin * width, w, mean + begin, rstd + begin, dx + begin * width,
                            part, part + width, end - begin, width);
    });
    for (size_t i = 0; i < width; ++i)
    {
        dw[i] += sums[i];
        db[i] += sums[width + i];
    }
}

void CpuBackend::gelu(const float* x, float* y, size_t count) const
{
    const Kernels& k = kernels();
    parallelRanges((count + 15) / 16, 512, [&](size_t begin, size_t end) {
        k.gelu(x + begin * 16, y + begin * 16, std::min(count, end * 16) - begin * 16);
    });
}

void CpuBackend::geluBackward(const float* x, const float* dy, float* dx, size_t count) const
{
    const Kernels& k = kernels();
    parallelRanges((count + 15) / 16, 512, [&](size_t begin, size_t end) {
        k.geluBackward(x + begin * 16, dy + begin * 16, dx + begin * 16, nullptr, std::min(count, end * 16) - begin * 16);
    });
}

int CpuBackend::probabilityStride(int tokens) const { return paddedTokens(tokens); }

void CpuBackend::attendHead(const float* qkv, const int* droppedToken, float* out, float* probabilities, int item, int tokens,
                            int dim, int heads, int sharedBy, int first, int last) const
{
    const Kernels& k = kernels();
    const size_t t = static_cast<size_t>(tokens), d = static_cast<size_t>(dim);
    const size_t b = static_cast<size_t>(item / heads), head = static_cast<size_t>(item % heads);
    HeadArgs args = headArgs<float>(tokens, dim, heads);
    const size_t width = static_cast<size_t>(args.width);
    args.scratch = threadScratch(headScratch(tokens, args.width));
    args.firstQuery = first;
    args.lastQuery = last;
    args.q = qkv + b / static_cast<size_t>(sharedBy) * t * 3 * d + head * width;
    args.k = args.q + d;
    args.v = args.k + d;
    args.droppedToken = droppedToken ? droppedToken[b] : -1;
    args.probabilities = probabilities
        ? probabilities + static_cast<size_t>(item) * t * static_cast<size_t>(paddedTokens(tokens)) : nullptr;
    args.out = out + b * t * d + head * width;
    if (precision() == Precision::INT8 && k.attentionInt8 && !probabilities && args.width <= 512 && tokens <= 65536)
        k.attentionInt8(args);
    else if (precision() != Precision::FP32 && k.attentionBf16 && !probabilities && args.width <= 512)
        k.attentionBf16(args);
    else
        k.attention(args);
}

void CpuBackend::attention(const float* qkv, const int* droppedToken, float* out, float* probabilities, int batch, int tokens,
                           int dim, int heads, int sharedBy) const
{
    parallelRanges(static_cast<size_t>(batch) * static_cast<size_t>(heads), 1, [&](size_t begin, size_t end) {
        for (size_t item = begin; item < end; ++item)
            attendHead(qkv, droppedToken, out, probabilities, static_cast<int>(item), tokens, dim, heads, sharedBy, 0, tokens);
    });
}

/// The variants of an input share queries, keys and values here: a variant's attention is the input's own minus the
/// contribution of its missing key (a rank-one correction), so that attention is computed once per head.
void CpuBackend::attendVariants(const float* qkv, const int* droppedToken, float* out, int inputs, int variants, int tokens, int dim,
                                int heads) const
{
    const Kernels& k = kernels();
    const size_t t = static_cast<size_t>(tokens), d = static_cast<size_t>(dim), runs = static_cast<size_t>(variants);
    std::vector<int> everyToken(t);
    for (int token = 0; token < tokens; ++token)
        everyToken[static_cast<size_t>(token)] = token;
    parallelRanges(static_cast<size_t>(inputs) * static_cast<size_t>(heads), 1, [&](size_t begin, size_t end) {
        HeadArgs args = headArgs<float>(tokens, dim, heads);
        const size_t width = static_cast<size_t>(args.width), working = headScratch(tokens, args.width);
        args.scratch = threadScratch(working + t * static_cast<size_t>(paddedTokens(tokens)) + t * width);
        float* const whole = args.scratch + working + t * static_cast<size_t>(paddedTokens(tokens));
        for (size_t item = begin; item < end; ++item)
        {
            const size_t input = item / static_cast<size_t>(heads), column = item % static_cast<size_t>(heads) * width;
            args.q = qkv + input * t * 3 * d + column;
            args.k = args.q + d;
            args.v = args.k + d;
            args.droppedToken = -1;
            args.probabilities = args.scratch + working;
            args.out = whole;
            args.outStride = width;
            k.attention(args);
            args.result = whole;
            args.resultStride = width;
            args.tokenIndices = everyToken.data();
            args.live = tokens;
            args.outStride = d;
            for (size_t run = input * runs; run < (input + 1) * runs; ++run)
            {
                args.out = out + run * t * d + column;
                args.droppedToken = droppedToken[run];
                if (args.droppedToken >= 0)
                    k.withoutKey(args);
                else
                    for (size_t token = 0; token < t; ++token)
                        std::memcpy(args.out + token * d, whole + token * width, width * sizeof(float));
            }
        }
    });
}

void CpuBackend::attentionBackward(const float* qkv, const float*, const float* probabilities, const float* dOut, float* dQkv,
                                   int batch, int tokens, int dim, int heads) const
{
    const Kernels& k = kernels();
    const size_t t = static_cast<size_t>(tokens), d = static_cast<size_t>(dim);
    const int width = dim / heads;
    parallelRanges(static_cast<size_t>(batch) * static_cast<size_t>(heads), 1, [&](size_t begin, size_t end) {
        HeadArgs args = headArgs<float>(tokens, dim, heads);
        args.scratch = threadScratch(backwardScratch(tokens, width));
        for (size_t item = begin; item < end; ++item)
        {
            const size_t b = item / static_cast<size_t>(heads), head = item % static_cast<size_t>(heads);
            const size_t offset = b * t * 3 * d + head * static_cast<size_t>(width);
            args.q = qkv + offset;
            args.k = args.q + d;
            args.v = args.k + d;
            args.probabilities = const_cast<float*>(probabilities)
                + item * t * static_cast<size_t>(paddedTokens(tokens));
            args.dOut = dOut + b * t * d + head * static_cast<size_t>(width);
            args.dq = dQkv + offset;
            args.dk = args.dq + d;
            args.dv = args.dk + d;
            k.attentionBackward(args);
        }
    });
}

const Backend& cpu()
{
    static const CpuBackend backend;
    return backend;
}

std::string cpuLibrary()
{
    return matmulLibrary() + ", " + kernelsInUse() + " kernels";
}

}}}  // namespace
