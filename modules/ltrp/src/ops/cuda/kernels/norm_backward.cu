// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Backward pass of layer norm, and sums over rows. Rows are divided into parts, whose number does not depend on the
// device, and the parts' sums are added in order: results are deterministic.
#include "sums.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int warpsPerBlock = 4;

size_t normParts(size_t rows) { return partsOf(rows, 16, 528); }   // four per multiprocessor of the largest device
size_t columnParts(size_t rows) { return partsOf(rows, 64, 96); }

struct BackwardArgs
{
    AnyInput dy, x;
    const float *weight, *mean, *rstd;
    float *dx, *partial;   ///< partial [parts, 2, dim]: weight's, bias's
    size_t rows;
    int dim;
    bool aligned;
};

/// V runs of four values per lane; the column sums stay in registers while the warp iterates over its rows.
template <int V>
__global__ void __launch_bounds__(warpsPerBlock * 32) normBackwardKernel(BackwardArgs a)
{
    LTRP_SHARED(float, sums, warpsPerBlock * 128);
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const size_t first = a.rows * blockIdx.x / gridDim.x, last = a.rows * (blockIdx.x + 1) / gridDim.x;
    const size_t dim = static_cast<size_t>(a.dim);
    float dw[V][4] = {}, db[V][4] = {};
    for (size_t row = first + static_cast<size_t>(warp); row < last; row += warpsPerBlock)
    {
        const float mean = a.mean[row], rstd = a.rstd[row];
        float g[V][4], h[V][4], sum = 0, product = 0;   // g: dy w, h: (x - mean) rstd
#pragma unroll
        for (int i = 0; i < V; ++i)
        {
            const int column = (i * 32 + lane) * 4, n = valuesHere(a.dim, column);
            const bool whole = a.aligned && n == 4;
            float w[4];
            load4(a.dy, row * dim + static_cast<size_t>(column), whole, n, g[i]);
            load4(a.x, row * dim + static_cast<size_t>(column), whole, n, h[i]);
            load4(AnyInput{a.weight, DataType::Float32}, static_cast<size_t>(column), whole, n, w);
            for (int k = 0; k < 4; ++k)
            {
                h[i][k] = k < n ? (h[i][k] - mean) * rstd : 0.f;
                dw[i][k] += g[i][k] * h[i][k];
                db[i][k] += g[i][k];
                g[i][k] *= w[k];
                sum += g[i][k];
                product += g[i][k] * h[i][k];
            }
        }
        sum = warpSum(sum) / static_cast<float>(a.dim);
        product = warpSum(product) / static_cast<float>(a.dim);
#pragma unroll
        for (int i = 0; i < V; ++i)
        {
            const int column = (i * 32 + lane) * 4, n = valuesHere(a.dim, column);
            const bool whole = a.aligned && n == 4;
            float d[4];
            load4(AnyInput{a.dx, DataType::Float32}, row * dim + static_cast<size_t>(column), whole, n, d);
            for (int k = 0; k < 4; ++k)
                d[k] += rstd * (g[i][k] - sum - h[i][k] * product);
            store4(AnyOutput{a.dx, DataType::Float32}, row * dim + static_cast<size_t>(column), whole, n, d);
        }
    }
    float* const out = a.partial + static_cast<size_t>(blockIdx.x) * 2 * dim;
#pragma unroll
    for (int i = 0; i < V; ++i)
        for (int which = 0; which < 2; ++which)
        {
            __syncthreads();
            for (int k = 0; k < 4; ++k)
                sums[warp * 128 + lane * 4 + k] = which == 0 ? dw[i][k] : db[i][k];
            __syncthreads();
            const int column = i * 128 + static_cast<int>(threadIdx.x);
            if (column < a.dim)
            {
                float total = 0;
                for (int w = 0; w < warpsPerBlock; ++w)
                    total += sums[w * 128 + static_cast<int>(threadIdx.x)];
                out[static_cast<size_t>(which) * dim + static_cast<size_t>(column)] = total;
            }
        }
}

/// Rows of any length: the block iterates over its rows, each thread over its columns, whose sums are in `partial`.
__global__ void longNormBackwardKernel(BackwardArgs a)
{
    LTRP_SHARED(float, parts, 32);
    const size_t first = a.rows * blockIdx.x / gridDim.x, last = a.rows * (blockIdx.x + 1) / gridDim.x;
    const size_t dim = static_cast<size_t>(a.dim);
    float* const dw = a.partial + static_cast<size_t>(blockIdx.x) * 2 * dim;
    for (size_t c = threadIdx.x; c < 2 * dim; c += blockDim.x)
        dw[c] = 0;
    __syncthreads();
    for (size_t row = first; row < last; ++row)
    {
        const float mean = a.mean[row], rstd = a.rstd[row];
        float sum = 0, product = 0;
        for (size_t c = threadIdx.x; c < dim; c += blockDim.x)
        {
            const float dy = a.dy[row * dim + c], h = (a.x[row * dim + c] - mean) * rstd;
            dw[c] += dy * h;
            dw[dim + c] += dy;
            sum += dy * a.weight[c];
            product += dy * a.weight[c] * h;
        }
        sum = blockSum(sum, parts) / static_cast<float>(a.dim);
        product = blockSum(product, parts) / static_cast<float>(a.dim);
        for (size_t c = threadIdx.x; c < dim; c += blockDim.x)
            a.dx[row * dim + c] += rstd * (a.dy[row * dim + c] * a.weight[c] - sum -
                                           (a.x[row * dim + c] - mean) * rstd * product);
        __syncthreads();
    }
}

/// 128 columns by one part of the rows: 8 warps, each every eighth row.
__global__ void columnSumsKernel(AnyInput x, float* partial, size_t rows, int columns, bool aligned)
{
    LTRP_SHARED(float, sums, 8 * 128);
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const int column = static_cast<int>(blockIdx.x) * 128 + lane * 4, n = valuesHere(columns, column);
    const size_t first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
    float total[4] = {};
    if (n > 0)
        for (size_t row = first + static_cast<size_t>(warp); row < last; row += 8)
        {
            float v[4];
            load4(x, row * static_cast<size_t>(columns) + static_cast<size_t>(column), aligned && n == 4, n, v);
            for (int k = 0; k < 4; ++k)
                total[k] += v[k];
        }
    for (int k = 0; k < 4; ++k)
        sums[warp * 128 + lane * 4 + k] = total[k];
    __syncthreads();
    const int own = static_cast<int>(blockIdx.x) * 128 + static_cast<int>(threadIdx.x);
    if (threadIdx.x < 128 && own < columns)
    {
        float t = 0;
        for (int w = 0; w < 8; ++w)
            t += sums[w * 128 + static_cast<int>(threadIdx.x)];
        partial[static_cast<size_t>(blockIdx.y) * static_cast<size_t>(columns) + static_cast<size_t>(own)] = t;
    }
}

}  // namespace

size_t layerNormBackwardScratch(size_t rows, int dim)
{
    return normParts(rows) * 2 * static_cast<size_t>(dim) * sizeof(float);
}

void layerNormBackward(Stream stream, Input dy, Input x, const float* weight, const float* mean, const float* rstd,
                       float* dx, float* dWeight, float* dBias, size_t rows, int dim, void* scratch)
{
    BackwardArgs a{any(dy), any(x), weight, mean, rstd, dx, static_cast<float*>(scratch), rows, dim, false};
    a.aligned = dim % 4 == 0 && aligned4(dy.data, dy.element) && aligned4(x.data, x.element) &&
                aligned4(weight, DataType::Float32) && aligned4(dx, DataType::Float32);
    const unsigned parts = static_cast<unsigned>(normParts(rows));
    const char* name = "layerNormBackward";
    if (dim <= 128)
        launch(stream, name, normBackwardKernel<1>, parts, warpsPerBlock * 32, 0, a);
    else if (dim <= 256)
        launch(stream, name, normBackwardKernel<2>, parts, warpsPerBlock * 32, 0, a);
    else if (dim <= 384)
        launch(stream, name, normBackwardKernel<3>, parts, warpsPerBlock * 32, 0, a);
    else if (dim <= 512)
        launch(stream, name, normBackwardKernel<4>, parts, warpsPerBlock * 32, 0, a);
    else if (dim <= 768)
        launch(stream, name, normBackwardKernel<6>, parts, warpsPerBlock * 32, 0, a);
    else if (dim <= 1024)
        launch(stream, name, normBackwardKernel<8>, parts, warpsPerBlock * 32, 0, a);
    else
        launch(stream, name, longNormBackwardKernel, parts, 256, 0, a);
    const size_t width = static_cast<size_t>(dim);
    addParts<float>(stream, a.partial, parts, 2 * width, dWeight, dBias, width);
}

size_t columnSumsScratch(size_t rows, int columns)
{
    return columnParts(rows) * static_cast<size_t>(columns) * sizeof(float);
}

void columnSums(Stream stream, Input x, float* sums, size_t rows, int columns, void* scratch)
{
    const size_t parts = columnParts(rows), width = static_cast<size_t>(columns);
    float* const partial = static_cast<float*>(scratch);
    launch(stream, "columnSums", columnSumsKernel, dim3(blocksFor(width, 128), static_cast<unsigned>(parts)), 256, 0,
           any(x), partial, rows, columns, columns % 4 == 0 && aligned4(x.data, x.element));
    addParts<float>(stream, partial, parts, width, sums, nullptr, width);
}

}}}}  // namespace
