// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The optimizer over the flat arena; bound by memory, so w, gradient and moments are read and written once.
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

__device__ __forceinline__ float updated(float w, float gradient, float& m, float& v, float keep, float rate,
                                         const AdamWFactors& f)
{
    const float g = gradient * f.gradient;
    m = f.beta1 * m + f.oneMinusBeta1 * g;
    v = f.beta2 * v + f.oneMinusBeta2 * g * g;
    return keep * w - rate * m / (sqrtf(v) * f.inverseRoot2 + f.eps);
}

__global__ void adamWKernel(float* w, const float* gradient, float* m, float* v, AnyOutput copy, const uint8_t* kind,
                            const float* rates, size_t total, const AdamWFactors* factors, const int* skip, bool copyAligned)
{
    const size_t i = (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
    if (i >= total || (skip && *skip != 0))
        return;
    float4 own = loadAs<float4>(w + i);
    const int treatment = kind[i / 16];
    if (treatment != 0)
    {
        const AdamWFactors f = *factors;
        const float share = rates[i / 16], rate = f.rate * share;
        const float decayed = share == 1 ? f.decayed : 1 - (1 - f.decayed) * share;
        const float keep = treatment == 2 ? decayed : 1.f;
        const float4 g = loadAs<float4>(gradient + i);
        float4 first = loadAs<float4>(m + i), second = loadAs<float4>(v + i);
        own.x = updated(own.x, g.x, first.x, second.x, keep, rate, f);
        own.y = updated(own.y, g.y, first.y, second.y, keep, rate, f);
        own.z = updated(own.z, g.z, first.z, second.z, keep, rate, f);
        own.w = updated(own.w, g.w, first.w, second.w, keep, rate, f);
        storeAs(w + i, own);
        storeAs(m + i, first);
        storeAs(v + i, second);
    }
    if (copy.data)
    {
        const float values[4] = {own.x, own.y, own.z, own.w};
        store4(copy, i, copyAligned, 4, values);
    }
}

}  // namespace

void adamW(Stream stream, float* w, const float* gradient, float* m, float* v, Output copy, const uint8_t* kind,
           const float* rates, size_t total, const AdamWFactors* factors, const int* skip)
{
    launch(stream, "adamW", adamWKernel, blocksFor(total, 4 * 256), 256, 0, w, gradient, m, v, any(copy), kind, rates, total,
           factors, skip, aligned4(copy.data, copy.element));
}

}}}}  // namespace
