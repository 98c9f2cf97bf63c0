// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Random masks and draws, bit-identical to the CPU, and ListMLE.
#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int mostValues = 1024;   ///< of a list or a mask
const uint32_t maskPurpose = 1, lossPurpose = 4;   // RandomPurpose in core/random.hpp

/// Block `block` of a stream of core/random.hpp: Philox 4x32 with 10 rounds. Streams here are far shorter than 2^32
/// blocks, so the second counter word does not change.
__device__ __forceinline__ void philox(uint64_t seed, uint32_t purpose, const SampleKey& key, uint32_t block,
                                       uint32_t out[4])
{
    uint32_t c0 = block, c1 = purpose << 24, c2 = key.epoch, c3 = key.sample;
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round)
    {
        const uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        const uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/// The stream, one word at a time.
struct Draws
{
    uint64_t seed;
    uint32_t purpose, block, words[4];
    SampleKey key;
    int used;

    __device__ __forceinline__ Draws(uint64_t seed_, uint32_t purpose_, const SampleKey& key_)
        : seed(seed_), purpose(purpose_), block(0), words{}, key(key_), used(4)
    {
    }
    __device__ __forceinline__ uint32_t next()
    {
        if (used == 4)
        {
            philox(seed, purpose, key, block++, words);
            used = 0;
        }
        ++used;
        return used == 1 ? words[0] : used == 2 ? words[1] : used == 3 ? words[2] : words[3];   // no indexed registers
    }
    __device__ __forceinline__ uint32_t below(uint32_t bound)
    {
        const uint32_t biased = (0u - bound) % bound;
        uint64_t product = static_cast<uint64_t>(next()) * bound;
        while (static_cast<uint32_t>(product) < biased)
            product = static_cast<uint64_t>(next()) * bound;
        return static_cast<uint32_t>(product >> 32);
    }
};

/// One block per sample, up to four patches per thread: each counts the patches that precede its own by noise, then by
/// number.
__global__ void maskKernel(uint64_t seed, const SampleKey* keys, int* keep, int visible, int numPatches)
{
    LTRP_SHARED(uint32_t, noise, mostValues);
    LTRP_SHARED(int, kept, mostValues);
    const SampleKey key = keys[blockIdx.x];
    for (int i = static_cast<int>(threadIdx.x); i * 4 < numPatches; i += static_cast<int>(blockDim.x))
    {
        uint32_t words[4];
        philox(seed, maskPurpose, key, static_cast<uint32_t>(i), words);
        for (int k = 0; k < 4; ++k)
            if (4 * i + k < numPatches)
                noise[4 * i + k] = words[k] >> 8;   // uniform() is this times 2^-24: same order, same ties
    }
    __syncthreads();
    for (int place = static_cast<int>(threadIdx.x); place < numPatches; place += static_cast<int>(blockDim.x))
    {
        const uint32_t own = noise[place];
        int before = 0;
        for (int other = 0; other < numPatches; ++other)
            before += noise[other] < own || (noise[other] == own && other < place);
        kept[place] = before < visible;
    }
    __syncthreads();
    for (int place = static_cast<int>(threadIdx.x); place < numPatches; place += static_cast<int>(blockDim.x))
    {
        int rank = 0;
        for (int other = 0; other < place; ++other)
            rank += kept[other];
        if (kept[place])
            keep[static_cast<size_t>(blockIdx.x) * static_cast<size_t>(visible) + static_cast<size_t>(rank)] = place;
    }
}

/// A shuffle is a sequence of dependent draws: one thread does it, in shared memory.
__global__ void drawKernel(uint64_t seed, const SampleKey* keys, int* columns, int n, int k)
{
    LTRP_SHARED(int, values, mostValues);
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
        values[i] = i;
    __syncthreads();
    if (threadIdx.x == 0)
    {
        Draws draws(seed, lossPurpose, keys[blockIdx.x]);
        for (int left = n; left > 1; --left)
        {
            const int other = static_cast<int>(draws.below(static_cast<uint32_t>(left))), kept = values[left - 1];
            values[left - 1] = values[other];
            values[other] = kept;
        }
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < k; i += static_cast<int>(blockDim.x))
        columns[static_cast<size_t>(blockIdx.x) * static_cast<size_t>(k) + static_cast<size_t>(i)] = values[i];
}

__device__ double logAddExp(double a, double b)
{
    if (a != a || b != b)   // NaN
        return static_cast<double>(NAN);
    const double high = a > b ? a : b, low = a > b ? b : a;
    return fabs(high) == static_cast<double>(INFINITY) ? high : high + log1p(exp(low - high));
}

/// NaN has no order. It makes the loss NaN wherever it is in the list.
__device__ __forceinline__ float orderable(float x) { return x != x ? -INFINITY : x; }

/// One block per row. All threads sort the list; its sums are computed sequentially, as on the CPU.
__global__ void listMleKernel(ListMleArgs a, double* losses)
{
    LTRP_SHARED(float, targets, mostValues);
    LTRP_SHARED(int, order, mostValues);            // column of each position
    LTRP_SHARED(double, predictions, mostValues);   // by position
    LTRP_SHARED(double, denominators, mostValues);
    LTRP_SHARED(int, unusable, 4);                  // per warp: whether any target, drawn or not, is not finite
    const size_t b = blockIdx.x, n = static_cast<size_t>(a.n), patches = static_cast<size_t>(a.numPatches);
    const int* keep = a.keep + b * n;
    const int* columns = a.columns ? a.columns + b * static_cast<size_t>(a.k) : nullptr;
    const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
    const auto columnOf = [&](int i) { return columns ? columns[i] : i; };
    for (size_t i = threadIdx.x; i < patches; i += blockDim.x)
        a.dScores[b * patches + i] = 0;
    bool bad = false;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        bad |= !(fabsf(a.target[b * n + i]) <= FLT_MAX);
    const unsigned badLanes = __ballot_sync(allLanes, bad);
    if (threadIdx.x % 32 == 0)
        unusable[threadIdx.x / 32] = badLanes != 0;
    for (int i = first; i < a.k; i += step)
        targets[i] = a.target[b * n + static_cast<size_t>(columnOf(i))];
    __syncthreads();
    for (int i = first; i < a.k; i += step)
    {
        int position = 0;
        const float own = orderable(targets[i]);
        for (int other = 0; other < a.k; ++other)
            position += orderable(targets[other]) > own || (orderable(targets[other]) == own && other < i);
        order[position] = columnOf(i);
    }
    __syncthreads();
    for (int i = first; i < a.k; i += step)
        predictions[i] = static_cast<double>(a.scores[b * patches + static_cast<size_t>(keep[order[i]])]);
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    const double floorLog = log(1e-10), lowest = -static_cast<double>(INFINITY), scale = 1.0 / a.batch;
    double suffix = lowest, value = 0;
    for (int i = a.k - 1; i >= 0; --i)
    {
        suffix = logAddExp(suffix, predictions[i]);
        denominators[i] = logAddExp(suffix, floorLog);
        value += denominators[i] - predictions[i];
    }
    for (int warp = 0; warp < 4; ++warp)
        if (unusable[warp])
            value = static_cast<double>(NAN);
    double prefix = lowest;
    for (int j = 0; j < a.k; ++j)
    {
        prefix = logAddExp(prefix, -denominators[j]);
        denominators[j] = scale * (exp(predictions[j] + prefix) - 1.0);
    }
    // Columns may occur more than once; their gradients are added in fp64 before rounding.
    for (int j = 0; j < a.k; ++j)
    {
        double total = 0;
        bool earlier = false;
        for (int other = 0; other < a.k; ++other)
            if (order[other] == order[j])
            {
                total += denominators[other];
                earlier |= other < j;
            }
        if (!earlier)
            a.dScores[b * patches + static_cast<size_t>(keep[order[j]])] = static_cast<float>(total) * a.gradientScale;
    }
    losses[b] = value * scale;
}

__global__ void addLossesKernel(const double* losses, int batch, double* loss)
{
    double total = 0;
    for (int b = 0; b < batch; ++b)   // in order, as on the CPU
        total += losses[b];
    *loss = total;
}

}  // namespace

void sampleMasks(Stream stream, uint64_t seed, const SampleKey* keys, int* keep, int batch, int visible, int numPatches)
{
    launch(stream, "sampleMasks", maskKernel, static_cast<unsigned>(batch), 256, 0, seed, keys, keep, visible,
           numPatches);
}

void drawColumns(Stream stream, uint64_t seed, const SampleKey* keys, int* columns, int batch, int n, int k)
{
    launch(stream, "drawColumns", drawKernel, static_cast<unsigned>(batch), 32, 0, seed, keys, columns, n, k);
}

size_t listMleScratch(int batch, int n, int k)
{
    (void)n;
    (void)k;
    return static_cast<size_t>(batch) * sizeof(double);
}

void listMle(Stream stream, const ListMleArgs& args, void* scratch)
{
    double* const losses = static_cast<double*>(scratch);
    launch(stream, "listMle", listMleKernel, static_cast<unsigned>(args.batch), 128, 0, args, losses);
    launch(stream, "listMle", addLossesKernel, 1, 1, 0, losses, args.batch, args.loss);
}

}}}}  // namespace
