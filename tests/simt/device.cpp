// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "device.hpp"

namespace simt
{

int atomicOr(int* address, int value)
{
    touch(address, sizeof(int), true, true);
    const int before = *address;
    *address = before | value;
    return before;
}

float bf16ToFloat(uint16_t bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }

uint16_t floatToBf16(float value)
{
    const unsigned bits = __float_as_uint(value);
    return value != value ? 0x7fff : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float halfToFloat(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits & 0x8000 ? -1.f : 1.f;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(static_cast<float>(1024 + fraction), exponent - 25)
                            : std::ldexp(static_cast<float>(fraction), -24));
}

uint16_t floatToHalf(float value)
{
    if (value != value)
        return 0x7fff;
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (size >= 65520.f)
        return static_cast<uint16_t>(sign | 0x7c00);   // values that round beyond the largest become infinite
    int exponent = 0;
    std::frexp(size, &exponent);
    // In units of the number's own exponent, or of the smallest one; nearbyint() rounds ties to even.
    const int step = size == 0 || exponent < -13 ? -24 : exponent - 11;
    const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, -step)));
    if (step == -24)
        return static_cast<uint16_t>(sign | steps);   // a carry continues into the exponent
    return static_cast<uint16_t>(sign | (((step + 25 - 1) << 10) + steps));
}

namespace
{

struct Product
{
    float* c;
    const uint32_t *a, *b;
    bool bf16;
};

/// Half h (0 or 1) of a register.
float part(uint32_t word, unsigned h, bool bf16)
{
    const uint16_t bits = static_cast<uint16_t>(word >> 16 * h);
    return bf16 ? bf16ToFloat(bits) : halfToFloat(bits);
}

/// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
void multiplyTiles(const WarpOperation& w)
{
    float a[16][16], b[8][16];
    if (w.mask != 0xffffffffu)
        fail("mma by part of a warp");
    for (unsigned lane = 0; lane < 32; ++lane)
    {
        const Product& p = *static_cast<const Product*>(w.in[lane]);
        const unsigned group = lane / 4, pair = lane % 4 * 2;
        for (unsigned h = 0; h < 2; ++h)
        {
            for (unsigned i = 0; i < 4; ++i)
                a[group + i % 2 * 8][pair + h + i / 2 * 8] = part(p.a[i], h, p.bf16);
            for (unsigned i = 0; i < 2; ++i)
                b[group][pair + h + i * 8] = part(p.b[i], h, p.bf16);
        }
    }
    for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned i = 0; i < 4; ++i)
        {
            const float *row = a[lane / 4 + i / 2 * 8], *column = b[lane % 4 * 2 + i % 2];
            float& c = static_cast<const Product*>(w.in[lane])->c[i];
            float sum = 0;
            for (unsigned k = 0; k < 16; ++k)
                sum += row[k] * column[k];
            c += sum;
        }
}

struct Row
{
    const uint16_t* values;
    bool transposed;
};

void loadTiles(const WarpOperation& w)
{
    if (w.mask != 0xffffffffu)
        fail("ldmatrix by part of a warp");
    for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned i = 0; i < 4; ++i)
        {
            uint32_t word = 0;
            for (unsigned h = 0; h < 2; ++h)
            {
                const bool transposed = static_cast<const Row*>(w.in[lane])->transposed;
                const unsigned row = transposed ? lane % 4 * 2 + h : lane / 4,
                               column = transposed ? lane / 4 : lane % 4 * 2 + h;
                const uint16_t value = static_cast<const Row*>(w.in[8 * i + row])->values[column];
                word |= static_cast<uint32_t>(value) << 16 * h;
            }
            static_cast<uint32_t*>(w.out[lane])[i] = word;
        }
}

}  // namespace

void multiplyAdd(const char* site, float c[4], const uint32_t a[4], const uint32_t b[2], bool bf16)
{
    const Product product{c, a, b, bf16};
    warpOperation(site, 0xffffffffu, &product, nullptr, multiplyTiles);
}

void loadMatrices(const char* site, uint32_t r[4], const void* row, bool transposed)
{
    requireAligned(row, 16);
    requireShared(row);
    touch(row, 16, false);
    const Row in{static_cast<const uint16_t*>(row), transposed};
    warpOperation(site, 0xffffffffu, &in, r, loadTiles);
}

}  // namespace simt
