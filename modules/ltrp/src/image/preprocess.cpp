// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "preprocess.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace cv { namespace ltrp { namespace image {

namespace {

/// Weights are multiples of 2^-22: with 8 bits of pixel and 2 bits of overshoot the sums fit into 32 bits.
enum { weightBits = 22, lowBits = 15 };

/// One axis of a resize: source pixels begin .. end become `total` samples, of which first .. first + count are
/// computed.
struct Axis
{
    int source;
    double begin, end;
    int64_t total;
    int first, count;

    bool isCopy() const { return begin == 0 && end == source && total == source; }
};

/// Source samples and weights of each output sample. Weights are stored in pairs, the last one padded with 0.
struct Taps
{
    std::vector<int> first;        ///< source sample of the first weight
    std::vector<int> count;        ///< number of weights, without padding
    std::vector<size_t> offset;    ///< of the first weight
    std::vector<int> weights;

    int low() const { return *std::min_element(first.begin(), first.end()); }
    int high() const
    {
        int last = 0;
        for (size_t i = 0; i < first.size(); ++i)
            last = std::max(last, first[i] + count[i]);
        return last;
    }
};

double cubic(double x)
{
    const double a = -0.5;
    x = std::fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

Taps makeTaps(const Axis& axis)
{
    // As in the reference, the box is in 32-bit floats.
    const float begin = static_cast<float>(axis.begin), end = static_cast<float>(axis.end);
    const double scale = static_cast<double>(end - begin) / static_cast<double>(axis.total);
    const double widened = std::max(scale, 1.0), support = 2 * widened, step = 1 / widened;
    Taps taps;
    std::vector<double> exact;
    for (int64_t o = axis.first; o < static_cast<int64_t>(axis.first) + axis.count; ++o)
    {
        const double centre = begin + (static_cast<double>(o) + 0.5) * scale;
        const int low = std::max(0, static_cast<int>(centre - support + 0.5));
        const int high = std::min(axis.source, static_cast<int>(centre + support + 0.5));
        exact.clear();
        double sum = 0;
        for (int i = low; i < high; ++i)
        {
            exact.push_back(cubic((i - centre + 0.5) * step));
            sum += exact.back();
        }
        taps.first.push_back(low);
        taps.count.push_back(static_cast<int>(exact.size()));
        taps.offset.push_back(taps.weights.size());
        for (double w : exact)
        {
            w = (sum != 0 ? w / sum : w) * (1 << weightBits);
            taps.weights.push_back(static_cast<int>(w < 0 ? w - 0.5 : w + 0.5));
        }
        if (exact.size() % 2)
            taps.weights.push_back(0);
    }
    return taps;
}

/// to[x] = (sum over i of weights[i] * rows[i][x]) >> weightBits, rounded and clamped to 8 bit, for x below width.
/// count is even.
void combineRows(const uchar* const* rows, const int* weights, int count, int width, uchar* to)
{
    int x = 0;
#ifdef __SSE2__
    // SSE2 multiplies only 16-bit numbers: a weight is split into its upper part * 2^15 + its lower 15 bits, and the
    // two sums of products are combined at the end. Intermediate sums may wrap around; the result, which fits, is the
    // same.
    const __m128i zero = _mm_setzero_si128(), half = _mm_set1_epi32(1 << (weightBits - 1));
    for (; x + 8 <= width; x += 8)
    {
        __m128i low0 = half, low1 = half, high0 = zero, high1 = zero;
        for (int i = 0; i < count; i += 2)
        {
            const int mask = (1 << lowBits) - 1;
            const __m128i low = _mm_set1_epi32((weights[i] & mask) | ((weights[i + 1] & mask) << 16));
            const __m128i high =
                _mm_set1_epi32(((weights[i] >> lowBits) & 0xffff) |
                               static_cast<int>(static_cast<unsigned>(weights[i + 1] >> lowBits) << 16));
            const __m128i a = _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[i] + x)), zero);
            const __m128i b =
                _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[i + 1] + x)), zero);
            const __m128i ab0 = _mm_unpacklo_epi16(a, b), ab1 = _mm_unpackhi_epi16(a, b);
            low0 = _mm_add_epi32(low0, _mm_madd_epi16(ab0, low));
            low1 = _mm_add_epi32(low1, _mm_madd_epi16(ab1, low));
            high0 = _mm_add_epi32(high0, _mm_madd_epi16(ab0, high));
            high1 = _mm_add_epi32(high1, _mm_madd_epi16(ab1, high));
        }
        const __m128i sum0 = _mm_srai_epi32(_mm_add_epi32(low0, _mm_slli_epi32(high0, lowBits)), weightBits);
        const __m128i sum1 = _mm_srai_epi32(_mm_add_epi32(low1, _mm_slli_epi32(high1, lowBits)), weightBits);
        const __m128i words = _mm_packs_epi32(sum0, sum1);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to + x), _mm_packus_epi16(words, words));
    }
#endif
    enum { block = 64 };   // sums stay in the cache, in a loop that compilers vectorise
    for (; x < width; x += block)
    {
        const int n = std::min<int>(block, width - x);
        int sums[block];
        std::fill(sums, sums + n, 1 << (weightBits - 1));
        for (int i = 0; i < count; ++i)
        {
            const uchar* row = rows[i] + x;
            const int w = weights[i];
            for (int j = 0; j < n; ++j)
                sums[j] += row[j] * w;
        }
        for (int j = 0; j < n; ++j)
            to[x + j] = saturate_cast<uchar>(sums[j] >> weightBits);
    }
}

/// Computes each output row from rows of src; row 0 of src is source sample `base`.
void resampleRows(const Mat& src, int base, const Taps& taps, Mat& dst)
{
    std::vector<const uchar*> rows;
    for (int y = 0; y < dst.rows; ++y)
    {
        const size_t i = static_cast<size_t>(y);
        rows.clear();
        for (int k = 0; k < taps.count[i]; ++k)
            rows.push_back(src.ptr<uchar>(taps.first[i] - base + k));
        if (rows.size() % 2)
            rows.push_back(rows.back());
        combineRows(rows.data(), &taps.weights[taps.offset[i]], static_cast<int>(rows.size()),
                    dst.cols * dst.channels(), dst.ptr<uchar>(y));
    }
}

/// The two passes for a window of the output. The horizontal pass comes first, and only for rows that the second pass
/// reads.
void resizeWindow(const Mat& src, Mat& dst, const Axis& across, const Axis& down)
{
    CV_CheckDepthEQ(src.depth(), CV_8U, "antialiased cubic resize takes 8-bit images");
    const int channels = src.channels();
    LTRP_REQUIRE(!src.empty() && src.dims == 2 && (channels == 1 || channels == 3 || channels == 4), Error::StsBadArg,
                 "antialiased cubic resize takes non-empty images of 1, 3 or 4 channels, found " << src.cols << " x "
                 << src.rows << " with " << channels);
    const bool copyRows = down.isCopy();
    Taps rowTaps;
    int top = down.first, bottom = down.first + down.count;   // source rows
    if (!copyRows)
    {
        rowTaps = makeTaps(down);
        top = rowTaps.low();
        bottom = rowTaps.high();
    }

    Mat middle;
    if (across.isCopy())
        middle = src(Rect(across.first, top, across.count, bottom - top));
    else
    {
        // Transposed, the pass runs along rows like the other one; one strip at a time, so that it stays in the cache.
        const Taps columnTaps = makeTaps(across);
        const int left = columnTaps.low(), right = columnTaps.high(), strip = 64;
        middle.create(bottom - top, across.count, src.type());
        Mat turned, narrowed;
        for (int y = top; y < bottom; y += strip)
        {
            const int height = std::min(strip, bottom - y);
            transpose(src(Rect(left, y, right - left, height)), turned);
            narrowed.create(across.count, height, src.type());
            resampleRows(turned, left, columnTaps, narrowed);
            Mat part = middle.rowRange(y - top, y - top + height);
            transpose(narrowed, part);
        }
    }
    if (copyRows)
    {
        dst = across.isCopy() ? middle.clone() : middle;
        return;
    }
    Mat out(down.count, across.count, src.type());   // a new Mat: dst may be the source
    resampleRows(middle, top, rowTaps, out);
    dst = out;
}

/// Cubic and Lanczos filters overshoot at hard edges by up to this, which is clamped; values further outside are an
/// error.
const double overshoot = 0.125;

/// Converts values in [0, 1] to bytes; returns false if one is not finite or further outside than an overshoot.
template <typename T> bool unitToBytes(const Mat& src, Mat& dst)
{
    dst.create(src.size(), CV_8UC(src.channels()));
    bool good = true;
    const int values = src.cols * src.channels();
    const T low = static_cast<T>(-overshoot), high = static_cast<T>(1 + overshoot);
    for (int y = 0; y < src.rows; ++y)
    {
        const T* from = src.ptr<T>(y);
        uchar* to = dst.ptr<uchar>(y);
        for (int x = 0; x < values; ++x)
        {
            const T v = from[x];
            good &= v >= low && v <= high;
            const T unit = v > 0 ? (v < 1 ? v : T(1)) : T(0);   // NaN becomes 0 too, so that the conversion is defined
            to[x] = static_cast<uchar>(unit * 255 + T(0.5));
        }
    }
    return good;
}

/// Scales 0 .. 65535 to 0 .. 255, rounded to nearest.
void wordsToBytes(const Mat& src, Mat& dst)
{
    dst.create(src.size(), CV_8UC(src.channels()));
    const int values = src.cols * src.channels();
    for (int y = 0; y < src.rows; ++y)
        for (int x = 0; x < values; ++x)
            dst.ptr<uchar>(y)[x] = static_cast<uchar>((src.ptr<ushort>(y)[x] + 128) / 257);
}

/// Throws with the reason why unitToBytes() rejected floating-point values.
[[noreturn]] void refuseValues(const Mat& image)
{
    Mat doubles;
    image.convertTo(doubles, CV_64F);
    const int channels = image.channels();
    double low = doubles.ptr<double>(0)[0], high = low;
    for (int y = 0; y < image.rows; ++y)
        for (int x = 0; x < image.cols * channels; ++x)
        {
            const double v = doubles.ptr<double>(y)[x];
            LTRP_REQUIRE(std::isfinite(v), Error::StsBadArg,
                         "the image holds NaN or infinite values: " << v << " at column " << x / channels << ", row "
                                                                    << y << ", channel " << x % channels);
            low = std::min(low, v);
            high = std::max(high, v);
        }
    LTRP_ERROR(Error::StsOutOfRange, "the image is of type " << typeToString(image.type()) << " with values from " << low << " to "
               << high << ", expected 0 to 1: " << (low < -overshoot
                   ? "undo the normalisation (times the standard deviation, plus the mean)"
                   : "divide values of 0 to 255 by 255, or tone-map a picture of high dynamic range")
               << ", or convert it to 8 bits");
}

/// Composites colours on white, by an alpha whose largest value is `opaque`. Returns false if every pixel is
/// transparent.
template <typename T> bool overWhite(const Mat& src, Mat& dst, double opaque)
{
    Mat out(src.size(), CV_MAKETYPE(src.depth(), 3));
    bool visible = false;
    for (int y = 0; y < src.rows; ++y)
    {
        const T* from = src.ptr<T>(y);
        T* to = out.ptr<T>(y);
        for (int x = 0; x < src.cols; ++x, from += 4, to += 3)
        {
            const double alpha = from[3] / opaque;
            visible |= alpha > 0;
            for (int c = 0; c < 3; ++c)
                to[c] = alpha == 1 ? from[c] : saturate_cast<T>(from[c] * alpha + opaque * (1 - alpha));
        }
    }
    dst = out;
    return visible;
}

}  // namespace

void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size)
{
    resizeAntialiasedCubic(src, dst, size, Rect2d(0, 0, src.cols, src.rows));
}

void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size, const Rect2d& box)
{
    LTRP_REQUIRE(size.width > 0 && size.height > 0, Error::StsBadSize,
                 "cannot resize to " << size.width << " x " << size.height);
    LTRP_REQUIRE(!src.empty(), Error::StsBadArg, "cannot resize an empty image");
    const double right = box.x + box.width, bottom = box.y + box.height;
    LTRP_REQUIRE(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 && right <= src.cols && bottom <= src.rows,
                 Error::StsOutOfRange,
                 "resize box (" << box.x << ", " << box.y << ", " << box.width << ", " << box.height
                                << ") does not lie inside the image of " << src.cols << " x " << src.rows);
    resizeWindow(src, dst, Axis{src.cols, box.x, right, size.width, 0, size.width},
                 Axis{src.rows, box.y, bottom, size.height, 0, size.height});
}

void flattenAlpha(const Mat& bgra, Mat& bgr)
{
    CV_Assert(bgra.channels() == 4);
    bool visible = false;
    switch (bgra.depth())
    {
    case CV_8U: visible = overWhite<uchar>(bgra, bgr, 255); break;
    case CV_16U: visible = overWhite<ushort>(bgra, bgr, 65535); break;
    case CV_32F: visible = overWhite<float>(bgra, bgr, 1); break;
    case CV_64F: visible = overWhite<double>(bgra, bgr, 1); break;
    default: LTRP_ERROR(Error::StsBadArg, "an image with alpha of type " << typeToString(bgra.type()));
    }
    LTRP_REQUIRE(visible, Error::StsBadArg, "every pixel of the image is transparent (alpha 0); where its fourth channel is no "
                 "alpha, convert it to three channels");
}

void toRgb8(InputArray image, Mat& rgb)
{
    LTRP_REQUIRE(image.kind() != _InputArray::CUDA_GPU_MAT, Error::StsBadArg, "the image lies on a GPU (cv::cuda::GpuMat) and the "
                 "network runs on the CPU: download it, or choose setPreferableBackend(DNN_BACKEND_CUDA)");
    const Mat source = image.getMat();
    LTRP_REQUIRE(!source.empty(), Error::StsBadArg, "the image is empty");
    LTRP_REQUIRE(source.dims == 2, Error::StsBadArg, "the image has " << source.dims << " dimensions, expected 2");
    const int channels = source.channels();
    LTRP_REQUIRE(channels == 1 || channels == 3 || channels == 4, Error::StsBadArg,
                 "the image has " << channels << " channels, expected 1 (grey), 3 (BGR) or 4 (BGRA)");
    Mat bytes;
    bool good = true;
    switch (source.depth())
    {
    case CV_8U:
        bytes = source;
        break;
    case CV_16U:
        wordsToBytes(source, bytes);
        break;
    case CV_32F:
        good = unitToBytes<float>(source, bytes);
        break;
    case CV_64F:
        good = unitToBytes<double>(source, bytes);
        break;
    default:
        LTRP_ERROR(Error::StsBadArg, "the image is of type " << typeToString(source.type())
                   << ", expected 8U, 16U, or 32F / 64F with values in [0, 1]");
    }
    if (!good)
        refuseValues(source);
    if (channels == 4)
        flattenAlpha(bytes, bytes);
    Mat converted;   // a new Mat: rgb may be the source
    cvtColor(bytes, converted, channels == 1 ? COLOR_GRAY2RGB : COLOR_BGR2RGB);
    rgb = converted;
}

void centreCrop(const Mat& rgb, int imageSize, Mat& out)
{
    CV_CheckTypeEQ(rgb.type(), CV_8UC3, "centre crop takes 8-bit RGB");
    LTRP_REQUIRE(!rgb.empty(), Error::StsBadArg, "the image is empty");
    LTRP_REQUIRE(imageSize > 0 && imageSize <= (1 << 16), Error::StsOutOfRange,
                 "the side of a centre crop is " << imageSize << ", expected 1 to " << (1 << 16));
    const int shorter = imageSize <= 224 ? imageSize * 256 / 224 : imageSize, side = std::min(rgb.cols, rgb.rows);
    const auto axis = [&](int source)
    {
        const int64_t total = static_cast<int64_t>(shorter) * source / side;
        LTRP_REQUIRE(total <= std::numeric_limits<int>::max(), Error::StsOutOfRange,
                     "an image of " << rgb.cols << " x " << rgb.rows << " is too narrow for a centre crop");
        // Ties to even, like the reference.
        const int first = static_cast<int>(std::nearbyint(static_cast<double>(total - imageSize) / 2));
        return Axis{source, 0, static_cast<double>(source), total, first, imageSize};
    };
    // Only the window is computed: resizing the whole of a strip of 20000 x 30 pixels would take 130 MB.
    resizeWindow(rgb, out, axis(rgb.cols), axis(rgb.rows));
}

void normalise(const Mat& rgb, const vit::InputConfig& input, float* out)
{
    CV_CheckTypeEQ(rgb.type(), CV_8UC3, "normalise takes 8-bit RGB");
    LTRP_REQUIRE(rgb.size() == input.size(), Error::StsBadSize,
                 "the image is " << rgb.cols << " x " << rgb.rows << ", the model's input " << input.size().width << " x "
                 << input.size().height);
    // In 32-bit floats and in the reference's order, so that results are bit-identical.
    float table[3][256];
    for (int c = 0; c < 3; ++c)
        for (int v = 0; v < 256; ++v)
            table[c][v] =
                (static_cast<float>(v) / 255.f - static_cast<float>(input.mean[c])) / static_cast<float>(input.std[c]);
    const size_t plane = static_cast<size_t>(rgb.cols) * static_cast<size_t>(rgb.rows);
    for (int y = 0; y < rgb.rows; ++y)
    {
        const uchar* from = rgb.ptr<uchar>(y);
        float* red = out + static_cast<size_t>(y) * static_cast<size_t>(rgb.cols);
        float *green = red + plane, *blue = green + plane;
        for (int x = 0; x < rgb.cols; ++x, from += 3)
        {
            red[x] = table[0][from[0]];
            green[x] = table[1][from[1]];
            blue[x] = table[2][from[2]];
        }
    }
}

}}}  // namespace
