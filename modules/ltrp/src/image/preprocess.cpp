// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "preprocess.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace image {

namespace {

/// Fixed-point weights have 22 fractional bits: 8 bits of value and 2 of headroom fit beside them in 32.
enum { weightBits = 22 };

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

/// Which source samples make each output sample, and by how much.
struct Taps
{
    int perOutput = 0;
    std::vector<int> first, count;
    std::vector<int> weights;   ///< perOutput for each output sample
};

Taps makeTaps(int inSize, double begin, double end, int outSize)
{
    const double scale = (end - begin) / outSize, widened = std::max(scale, 1.0), support = 2.0 * widened;
    Taps taps;
    taps.perOutput = static_cast<int>(std::ceil(support)) * 2 + 1;
    taps.first.resize(static_cast<size_t>(outSize));
    taps.count.resize(static_cast<size_t>(outSize));
    taps.weights.assign(static_cast<size_t>(outSize) * static_cast<size_t>(taps.perOutput), 0);
    std::vector<double> exact(static_cast<size_t>(taps.perOutput));
    for (int o = 0; o < outSize; ++o)
    {
        const double centre = begin + (o + 0.5) * scale;
        const int low = std::max(0, static_cast<int>(centre - support + 0.5));
        const int high = std::min(inSize, static_cast<int>(centre + support + 0.5));
        const int n = std::max(0, std::min(high - low, taps.perOutput));
        double total = 0;
        for (int i = 0; i < n; ++i)
        {
            exact[static_cast<size_t>(i)] = cubic((low + i - centre + 0.5) / widened);
            total += exact[static_cast<size_t>(i)];
        }
        int* weights = taps.weights.data() + static_cast<ptrdiff_t>(o) * taps.perOutput;
        for (int i = 0; i < n; ++i)
        {
            const double w = (total != 0 ? exact[static_cast<size_t>(i)] / total : 0) * (1 << weightBits);
            weights[i] = static_cast<int>(w < 0 ? w - 0.5 : w + 0.5);
        }
        taps.first[static_cast<size_t>(o)] = low;
        taps.count[static_cast<size_t>(o)] = n;
    }
    return taps;
}

uchar clip(int sum)
{
    return saturate_cast<uchar>(sum >> weightBits);
}

template <int channels>
void horizontalRow(const uchar* from, uchar* to, const Taps& taps, int outWidth)
{
    for (int o = 0; o < outWidth; ++o)
    {
        const int* weights = taps.weights.data() + static_cast<ptrdiff_t>(o) * taps.perOutput;
        const uchar* p = from + static_cast<ptrdiff_t>(taps.first[static_cast<size_t>(o)]) * channels;
        int sum[channels];
        for (int c = 0; c < channels; ++c)
            sum[c] = 1 << (weightBits - 1);
        const int n = taps.count[static_cast<size_t>(o)];
        for (int i = 0; i < n; ++i, p += channels)
            for (int c = 0; c < channels; ++c)
                sum[c] += p[c] * weights[i];
        for (int c = 0; c < channels; ++c)
            *to++ = clip(sum[c]);
    }
}

}  // namespace

void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size)
{
    resizeAntialiasedCubic(src, dst, size, Rect2d(0, 0, src.cols, src.rows));
}

void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size, const Rect2d& box)
{
    CV_CheckDepthEQ(src.depth(), CV_8U, "antialiased cubic resize takes 8-bit images");
    const int channels = src.channels();
    LTRP_REQUIRE(!src.empty() && (channels == 1 || channels == 3 || channels == 4), Error::StsBadArg,
                 "antialiased cubic resize takes non-empty images of 1, 3 or 4 channels, found " << src.cols << " x "
                 << src.rows << " with " << channels);
    LTRP_REQUIRE(size.width > 0 && size.height > 0, Error::StsBadSize,
                 "cannot resize to " << size.width << " x " << size.height);
    LTRP_REQUIRE(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 && box.x + box.width <= src.cols &&
                 box.y + box.height <= src.rows, Error::StsOutOfRange,
                 "resize box (" << box.x << ", " << box.y << ", " << box.width << ", " << box.height
                 << ") does not lie inside the image of " << src.cols << " x " << src.rows);
    const Taps across = makeTaps(src.cols, box.x, box.x + box.width, size.width);
    const Taps down = makeTaps(src.rows, box.y, box.y + box.height, size.height);

    // Only the source rows that the vertical pass reads go through the horizontal one.
    const int firstRow = down.first.front();
    const int lastRow = down.first.back() + down.count.back();
    Mat middle(std::max(1, lastRow - firstRow), size.width, src.type());
    for (int y = firstRow; y < lastRow; ++y)
    {
        const uchar* from = src.ptr<uchar>(y);
        uchar* to = middle.ptr<uchar>(y - firstRow);
        if (channels == 1)
            horizontalRow<1>(from, to, across, size.width);
        else if (channels == 3)
            horizontalRow<3>(from, to, across, size.width);
        else
            horizontalRow<4>(from, to, across, size.width);
    }

    Mat out(size, src.type());   // not dst: it may be the source
    const int values = size.width * channels;
    std::vector<int> sums(static_cast<size_t>(values));
    for (int y = 0; y < size.height; ++y)
    {
        std::fill(sums.begin(), sums.end(), 1 << (weightBits - 1));
        const int* weights = down.weights.data() + static_cast<ptrdiff_t>(y) * down.perOutput;
        for (int i = 0; i < down.count[static_cast<size_t>(y)]; ++i)
        {
            const uchar* row = middle.ptr<uchar>(down.first[static_cast<size_t>(y)] + i - firstRow);
            const int w = weights[i];
            for (int x = 0; x < values; ++x)
                sums[static_cast<size_t>(x)] += row[x] * w;
        }
        uchar* to = out.ptr<uchar>(y);
        for (int x = 0; x < values; ++x)
            to[x] = clip(sums[static_cast<size_t>(x)]);
    }
    dst = out;
}

void toRgb8(InputArray image, Mat& rgb)
{
    const Mat source = image.getMat();
    LTRP_REQUIRE(!source.empty(), Error::StsBadArg, "the image is empty");
    LTRP_REQUIRE(source.dims == 2, Error::StsBadArg, "the image has " << source.dims << " dimensions, expected 2");
    const int channels = source.channels();
    LTRP_REQUIRE(channels == 1 || channels == 3 || channels == 4, Error::StsBadArg,
                 "the image has " << channels << " channels, expected 1 (grey), 3 (BGR) or 4 (BGRA)");
    Mat bytes;
    switch (source.depth())
    {
    case CV_8U:
        bytes = source;
        break;
    case CV_16U:
        source.convertTo(bytes, CV_8U, 1.0 / 257);
        break;
    case CV_32F:
    case CV_64F:
        LTRP_REQUIRE(cv::checkRange(source), Error::StsBadArg, "the image holds NaN or infinite values");
        source.convertTo(bytes, CV_8U, 255);
        break;
    default:
        LTRP_ERROR(Error::StsBadArg, "the image is of type " << cv::typeToString(source.type())
                   << ", expected 8U, 16U, or 32F / 64F with values in [0, 1]");
    }
    Mat converted;   // not rgb: it may be the source
    cv::cvtColor(bytes, converted, channels == 1 ? COLOR_GRAY2RGB : channels == 3 ? COLOR_BGR2RGB : COLOR_BGRA2RGB);
    rgb = converted;
}

void centreCrop(const Mat& rgb, int imageSize, Mat& out)
{
    const int shorter = imageSize <= 224 ? static_cast<int>(imageSize * (256.0 / 224.0)) : imageSize;
    LTRP_REQUIRE(!rgb.empty(), Error::StsBadArg, "the image is empty");
    const int side = std::min(rgb.cols, rgb.rows);
    const auto longer = [&](int n) { return static_cast<int>(static_cast<int64_t>(shorter) * n / side); };
    const int64_t largest = static_cast<int64_t>(shorter) * std::max(rgb.cols, rgb.rows) / side;
    LTRP_REQUIRE(largest <= 65536, Error::StsOutOfRange, "an image of " << rgb.cols << " x " << rgb.rows
                 << " is too narrow for a centre crop");
    const Size size(rgb.cols <= rgb.rows ? shorter : longer(rgb.cols), rgb.rows <= rgb.cols ? shorter : longer(rgb.rows));
    Mat resized;
    resizeAntialiasedCubic(rgb, resized, size);
    // Halves go to the even neighbour, as the reference's rounding does.
    const int left = static_cast<int>(std::nearbyint((size.width - imageSize) / 2.0));
    const int top = static_cast<int>(std::nearbyint((size.height - imageSize) / 2.0));
    out = resized(Rect(left, top, imageSize, imageSize)).clone();
}

void normalise(const Mat& rgb, const vit::InputConfig& input, float* out)
{
    CV_CheckTypeEQ(rgb.type(), CV_8UC3, "normalise takes 8-bit RGB");
    LTRP_REQUIRE(rgb.cols == input.imageSize && rgb.rows == input.imageSize, Error::StsBadSize,
                 "the image is " << rgb.cols << " x " << rgb.rows << ", the model's input " << input.imageSize << " x "
                 << input.imageSize);
    float table[3][256];
    for (int c = 0; c < 3; ++c)
        for (int v = 0; v < 256; ++v)
            table[c][v] = static_cast<float>((v / 255.0 - input.mean[c]) / input.std[c]);
    const size_t plane = static_cast<size_t>(rgb.cols) * static_cast<size_t>(rgb.rows);
    for (int y = 0; y < rgb.rows; ++y)
    {
        const uchar* row = rgb.ptr<uchar>(y);
        float* to = out + static_cast<size_t>(y) * static_cast<size_t>(rgb.cols);
        for (int x = 0; x < rgb.cols; ++x)
            for (size_t c = 0; c < 3; ++c)
                to[c * plane + static_cast<size_t>(x)] = table[c][row[3 * x + static_cast<int>(c)]];
    }
}

}}}  // namespace
