// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// 8-bit values, included by kernels.inl: activations are quantised row by row, over each row's own range.

/// Smallest and largest values of a row so far, one per lane. (Not member functions: they would not inherit the
/// instruction set.)
struct Range
{
    VecF least, most;
};

LTRP_INLINE Range emptyRange()
{
    const float infinity = std::numeric_limits<float>::infinity();
    return {splat(infinity), splat(-infinity)};
}

LTRP_INLINE void add(Range& range, VecF v)
{
    range.least = minimum(range.least, v);
    range.most = maximum(range.most, v);
}

/// The first n < W values.
LTRP_INLINE void addPart(Range& range, VecF v, size_t n)
{
    float t[LTRP_VECTOR];
    store(t, v);
    for (size_t i = n; i < W; ++i)
        t[i] = t[0];
    add(range, load(t));
}

LTRP_INLINE VecB level(VecF v, float least, float inverse)
{
    const VecF scaled = (v - least) * inverse + 0.5f;
    return __builtin_convertvector(__builtin_convertvector(minimum(scaled, splat(255.f)), VecI), VecB);
}

LTRP_INLINE void quantiseRow(const float* x, const Range& range, uint8_t* q, float& scale, float& low, size_t columns)
{
    const float least = -largest(-range.least), span = largest(range.most) - least, inverse = span > 0 ? 255.f / span : 0.f;
    scale = span / 255.f;
    low = least;
    size_t i = 0;
    for (; i + W <= columns; i += W)   // whole vectors separately: copies of a fixed size are single instructions
    {
        const VecB b = level(load(x + i), least, inverse);
        std::memcpy(q + i, &b, W);
    }
    if (i < columns)
    {
        const VecB b = level(loadPart(x + i, columns - i), least, inverse);
        std::memcpy(q + i, &b, columns - i);
    }
}

void quantise(const float* x, uint8_t* q, float* scale, float* low, size_t rows, size_t columns)
{
    const size_t whole = columns / W * W;
    for (size_t r = 0; r < rows; ++r, x += columns, q += columns)
    {
        Range range = emptyRange();
        for (size_t i = 0; i < whole; i += W)
            add(range, load(x + i));
        if (whole < columns)
            addPart(range, loadPart(x + whole, columns - whole), columns - whole);
        quantiseRow(x, range, q, scale[r], low[r], columns);
    }
}

void normQuantise(const float* x, const float* w, const float* b, float eps, uint8_t* q, float* scale, float* low, float* row,
                  size_t rows, size_t dim)
{
    const size_t whole = dim / W * W, rest = dim - whole;
    for (size_t r = 0; r < rows; ++r, x += dim, q += dim)   // row by row: it stays in the L1 cache between the passes
    {
        const Moments moments = momentsOf(x, dim, eps);
        const VecF mean = splat(moments.mean);
        Range range = emptyRange();
        for (size_t i = 0; i < whole; i += W)
        {
            const VecF v = (load(x + i) - mean) * moments.rstd * load(w + i) + load(b + i);
            add(range, v);
            store(row + i, v);
        }
        if (rest)
        {
            const VecF v = (loadPart(x + whole, rest) - mean) * moments.rstd * loadPart(w + whole, rest) + loadPart(b + whole, rest);
            addPart(range, v, rest);
            storePart(row + whole, v, rest);
        }
        quantiseRow(row, range, q, scale[r], low[r], dim);
    }
}

LTRP_INLINE VecF loadSums(const int32_t* p)
{
    typedef int VecA __attribute__((vector_size(LTRP_VECTOR * 4), aligned(4), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const VecA*>(p), VecF);
}

void dequantise(const int32_t* sums, const float* scale, const float* low, const float* weightScales,
                const float* weightSums, const float* bias, float* y, size_t rows, size_t columns, bool add)
{
    const size_t whole = columns / W * W;
    for (size_t r = 0; r < rows; ++r, sums += columns, y += columns)
    {
        for (size_t i = 0; i < whole; i += W)
        {
            VecF v = (loadSums(sums + i) * scale[r] + load(weightSums + i) * low[r]) * load(weightScales + i);
            if (bias)
                v += load(bias + i);
            store(y + i, add ? v + load(y + i) : v);
        }
        for (size_t i = whole; i < columns; ++i)
        {
            const float v = (static_cast<float>(sums[i]) * scale[r] + weightSums[i] * low[r]) * weightScales[i]
                          + (bias ? bias[i] : 0.f);
            y[i] = add ? v + y[i] : v;
        }
    }
}

void geluQuantise(const int32_t* sums, const float* scale, const float* low, const float* weightScales,
                  const float* weightSums, const float* bias, uint8_t* q, float* scaleOut, float* lowOut, float* row,
                  size_t rows, size_t columns)
{
    const size_t whole = columns / W * W;
    for (size_t r = 0; r < rows; ++r, sums += columns, q += columns)   // row by row, for the L1 cache
    {
        Range range = emptyRange();
        for (size_t i = 0; i < whole; i += W)
        {
            VecF v = (loadSums(sums + i) * scale[r] + load(weightSums + i) * low[r]) * load(weightScales + i);
            v = roundedGelu(bias ? v + load(bias + i) : v);
            add(range, v);
            store(row + i, v);
        }
        if (whole < columns)
        {
            const size_t rest = columns - whole;
            int32_t some[LTRP_VECTOR] = {};
            std::memcpy(some, sums + whole, rest * sizeof(int32_t));
            VecF v = (loadSums(some) * scale[r] + loadPart(weightSums + whole, rest) * low[r]) * loadPart(weightScales + whole, rest);
            v = roundedGelu(bias ? v + loadPart(bias + whole, rest) : v);
            addPart(range, v, rest);
            storePart(row + whole, v, rest);
        }
        quantiseRow(row, range, q, scaleOut[r], lowOut[r], columns);
    }
}
