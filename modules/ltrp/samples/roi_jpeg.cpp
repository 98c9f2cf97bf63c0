// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Writes a JPEG that spends more bytes on highly ranked regions: kept patches at a higher quality, the rest at a lower
// one, and the file no larger than the plain JPEG of the requested quality. Every JPEG decoder can read it.

#include <algorithm>
#include <cmath>
#include <fstream>

#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/select.hpp>

#include "sample_tools.hpp"

static const char* keys =
    "{ help h usage ? |      | print this message }"
    "{ @image         |      | photo to compress }"
    "{ model m        |      | ranker's weights (.safetensors or .pth); the shipped ones unless told }"
    "{ keep k         | 0.25 | share of patches to keep at higher quality, in (0, 1] }"
    "{ cluster        |      | keep varied patches (70 % by score, the rest from clusters) instead of the best only }"
    "{ quality q      | 30   | quality of the plain JPEG whose size must not be exceeded, 1 to 95 }"
    "{ boost b        | 20   | how much higher the quality of kept patches is to be; lowered where the size does not "
    "allow it }"
    "{ output o       |      | JPEG to write }"
    "{ plain          |      | the plain JPEG to write, to compare }"
    "{ picture        |      | picture to write: both side by side, the best and the worst patch enlarged below }";

typedef cv::Matx<float, 8, 8> Block;

/// Quantization steps of an 8 x 8 block at a quality, scaled as in libjpeg from Annex K of the standard.
static Block quantizationSteps(int quality, bool chroma)
{
    static const int luma[64] = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                 14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                 18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
    static const int colour[16] = {17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99};
    const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
    Block steps;
    for (int i = 0; i < 64; i++)
    {
        const int base = !chroma ? luma[i] : i / 8 < 4 && i % 8 < 4 ? colour[i / 8 * 4 + i % 8] : 99;
        steps.val[i] = static_cast<float>(std::min(255, std::max(1, (base * scale + 50) / 100)));
    }
    return steps;
}

static Block cosines()
{
    Block c;
    for (int u = 0; u < 8; u++)
        for (int x = 0; x < 8; x++)
            c(u, x) = static_cast<float>((u ? 0.5 : std::sqrt(0.125)) * std::cos((2 * x + 1) * u * CV_PI / 16));
    return c;
}

static std::vector<uchar> encode(const cv::Mat& image, int quality)
{
    std::vector<uchar> bytes;
    if (!cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, quality, cv::IMWRITE_JPEG_OPTIMIZE, 1}))
        CV_Error(cv::Error::StsError, "this OpenCV cannot write JPEG");
    return bytes;
}

//! [thin]
/// Removes small coefficients from blocks outside of the kept patches, so that the encoder needs few bits for them. The
/// blocks are those of the encoder: 8 x 8 pixels for luma, 16 x 16 for chroma, which is halved.
class Thinner
{
public:
    /// @param kept CV_8UC1 of the photo's size, not 0 in kept patches
    Thinner(const cv::Mat& photo, const cv::Mat& kept) : photo_(photo)
    {
        const int right = (16 - photo.cols % 16) % 16, below = (16 - photo.rows % 16) % 16;
        cv::Mat padded, mask, plane[3];
        cv::copyMakeBorder(photo, padded, 0, below, 0, right, cv::BORDER_REPLICATE);
        cv::copyMakeBorder(kept, mask, 0, below, 0, right, cv::BORDER_CONSTANT, cv::Scalar::all(0));
        padded.convertTo(padded, CV_32F, 1 / 255.);
        cv::cvtColor(padded, ycc_, cv::COLOR_BGR2YCrCb);
        cv::split(ycc_, plane);
        for (int i = 0; i < 3; i++)
        {
            const int side = i ? 16 : 8;
            // A block that overlaps a kept patch is left unchanged.
            cv::Mat touched;
            mask.convertTo(touched, CV_32F);
            cv::resize(touched, touched, cv::Size(mask.cols / side, mask.rows / side), 0, 0, cv::INTER_AREA);
            dropped_[i] = touched == 0;
            if (i)
                cv::resize(plane[i], plane[i], cv::Size(mask.cols / 2, mask.rows / 2), 0, 0, cv::INTER_AREA);
            plane[i].convertTo(plane_[i], CV_32F, 255, -128);
        }
    }

    /// The input of the encoder: in dropped blocks no coefficient below `strength` of its quantization steps.
    cv::Mat apply(int quality, double strength) const
    {
        cv::Mat changed = ycc_.clone(), plane[3], result;
        cv::split(changed, plane);
        for (int i = 0; i < 3; i++)
        {
            cv::Mat thin = plane_[i].clone(), where;
            thinPlane(thin, dropped_[i], quantizationSteps(quality, i > 0), static_cast<float>(strength));
            thin.convertTo(thin, CV_32F, 1 / 255., 128 / 255.);
            cv::resize(thin, thin, plane[i].size(), 0, 0, cv::INTER_NEAREST);
            cv::resize(dropped_[i], where, plane[i].size(), 0, 0, cv::INTER_NEAREST);
            thin.copyTo(plane[i], where);
        }
        cv::merge(plane, 3, changed);
        cv::cvtColor(changed, changed, cv::COLOR_YCrCb2BGR);
        changed.convertTo(result, CV_8U, 255);
        return result(cv::Rect(cv::Point(), photo_.size())).clone();
    }

private:
    static void thinPlane(cv::Mat& plane, const cv::Mat& dropped, const Block& steps, float strength)
    {
        static const Block cosine = cosines();
        cv::parallel_for_(cv::Range(0, dropped.rows), [&](const cv::Range& rows)
        {
            for (int row = rows.start; row < rows.end; row++)
                for (int column = 0; column < dropped.cols; column++)
                {
                    if (!dropped.at<uchar>(row, column))
                        continue;
                    cv::Mat pixels = plane(cv::Rect(column * 8, row * 8, 8, 8));
                    Block block;
                    for (int y = 0; y < 8; y++)
                        std::copy(pixels.ptr<float>(y), pixels.ptr<float>(y) + 8, block.val + 8 * y);
                    block = cosine * block * cosine.t();
                    for (int i = 1; i < 64; i++)   // 0 is the mean, which is kept
                        if (std::abs(block.val[i]) < strength * steps.val[i])
                            block.val[i] = 0;
                    block = cosine.t() * block * cosine;
                    for (int y = 0; y < 8; y++)
                        std::copy(block.val + 8 * y, block.val + 8 * y + 8, pixels.ptr<float>(y));
                }
        });
    }

    cv::Mat photo_, ycc_;
    cv::Mat plane_[3], dropped_[3];
};
//! [thin]

struct Result
{
    std::vector<uchar> bytes;
    cv::Mat decoded;
    int quality = 0;
    double inside = 0, outside = 0, whole = 0;   ///< PSNR in dB
};

static double psnr(const cv::Mat& a, const cv::Mat& b, const cv::Mat& mask)
{
    const double pixels = mask.empty() ? static_cast<double>(a.total()) : cv::countNonZero(mask);
    const double error = cv::norm(a, b, cv::NORM_L2SQR, mask) / (pixels * a.channels());
    return 10 * std::log10(255 * 255 / std::max(error, 1e-10));
}

static void measure(Result& result, const cv::Mat& photo, const cv::Mat& kept)
{
    result.decoded = cv::imdecode(result.bytes, cv::IMREAD_COLOR);
    result.inside = psnr(photo, result.decoded, kept);
    result.outside = psnr(photo, result.decoded, kept == 0);
    result.whole = psnr(photo, result.decoded, cv::Mat());
}

/// Kept patches at `quality`, the rest thinned as little as fits into `limit` bytes; empty bytes if that is impossible.
static Result fitInto(const Thinner& thinner, int quality, size_t limit, sample::Progress& progress, int& tries)
{
    Result best;
    best.quality = quality;
    // Half a step is what the encoder itself rounds away; 200 steps leave only the means.
    double low = std::log(0.5), high = std::log(200.);
    for (int i = 0; i < 12 && !sample::interrupted(); i++)
    {
        // The strongest first: if even that is too large, there is no solution.
        const double strength = i == 0 ? high : (low + high) / 2;
        std::vector<uchar> bytes = encode(thinner.apply(quality, std::exp(strength)), quality);
        progress.step(++tries);
        if (bytes.size() <= limit)
        {
            high = strength;
            best.bytes.swap(bytes);
        }
        else if (i == 0)
            return best;
        else
            low = strength;
    }
    return best;
}

static void writeBytes(const std::string& path, const std::vector<uchar>& bytes)
{
    if (path.empty())
        return;
    std::ofstream file(sample::partName(path).c_str(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file)
    {
        std::remove(sample::partName(path).c_str());
        CV_Error(cv::Error::StsError, path + ": cannot be written");
    }
    sample::finishFile(path);
}

static void print(const char* name, const Result& result)
{
    std::cout << cv::format(
        "%-6s quality %2d: %7d bytes, PSNR %.2f dB inside the kept patches, %.2f outside, %.2f in all\n", name,
        result.quality, static_cast<int>(result.bytes.size()), result.inside, result.outside, result.whole);
}

/// A square around a patch, three patches wide, enlarged.
static cv::Mat closeUp(const cv::Mat& image, const cv::Rect& patch, int side)
{
    const int reach = std::min(3 * std::max(patch.width, patch.height), std::min(image.cols, image.rows));
    const int x = std::min(std::max(0, patch.x + patch.width / 2 - reach / 2), image.cols - reach);
    const int y = std::min(std::max(0, patch.y + patch.height / 2 - reach / 2), image.rows - reach);
    cv::Mat large;
    cv::resize(image(cv::Rect(x, y, reach, reach)), large, cv::Size(side, side), 0, 0, cv::INTER_CUBIC);
    return large;
}

static cv::Mat drawColumn(const Result& result, const char* name, const cv::ltrp::PatchRanking& ranking,
                          const std::vector<int>& keep)
{
    const int width = 480, bar = 30;
    const std::vector<int> order = ranking.order();
    cv::Mat photo, column;
    cv::resize(result.decoded, photo, cv::Size(width, width * result.decoded.rows / result.decoded.cols), 0, 0,
               cv::INTER_AREA);
    cv::ltrp::PatchRanking onPhoto = ranking;
    onPhoto.imageSize = photo.size();
    std::vector<uchar> kept(static_cast<size_t>(ranking.grid().area()), 0);
    for (int patch : keep)
        kept[static_cast<size_t>(patch)] = 1;
    const cv::Size grid = ranking.grid();
    for (int patch : keep)   // a thin line around the kept patches
    {
        const cv::Rect r = onPhoto.rect(patch);
        const int row = patch / grid.width, col = patch % grid.width;
        const cv::Scalar white(255, 255, 255);
        if (row == 0 || !kept[static_cast<size_t>(patch - grid.width)])
            cv::line(photo, r.tl(), cv::Point(r.br().x, r.y), white);
        if (row == grid.height - 1 || !kept[static_cast<size_t>(patch + grid.width)])
            cv::line(photo, cv::Point(r.x, r.br().y - 1), r.br() - cv::Point(0, 1), white);
        if (col == 0 || !kept[static_cast<size_t>(patch - 1)])
            cv::line(photo, r.tl(), cv::Point(r.x, r.br().y), white);
        if (col == grid.width - 1 || !kept[static_cast<size_t>(patch + 1)])
            cv::line(photo, cv::Point(r.br().x - 1, r.y), r.br() - cv::Point(1, 0), white);
    }
    cv::Mat best = closeUp(result.decoded, ranking.rect(order.front()), width / 2);
    cv::Mat worst = closeUp(result.decoded, ranking.rect(order.back()), width / 2), both;
    cv::hconcat(best, worst, both);
    cv::Mat text(bar, width, CV_8UC3, cv::Scalar::all(24)), words = text.clone();
    cv::putText(text, cv::format("%s: %d bytes", name, static_cast<int>(result.bytes.size())), cv::Point(8, 20),
                cv::FONT_HERSHEY_SIMPLEX, 0.55, cv::Scalar::all(235), 1, cv::LINE_AA);
    cv::putText(words, cv::format("kept: %.1f dB", result.inside), cv::Point(8, 20), cv::FONT_HERSHEY_SIMPLEX, 0.55,
                cv::Scalar::all(235), 1, cv::LINE_AA);
    cv::putText(words, cv::format("dropped: %.1f dB", result.outside), cv::Point(width / 2 + 8, 20),
                cv::FONT_HERSHEY_SIMPLEX, 0.55, cv::Scalar::all(235), 1, cv::LINE_AA);
    cv::vconcat(std::vector<cv::Mat>{text, photo, words, both}, column);
    return column;
}

int main(int argc, char** argv)
{
    cv::CommandLineParser parser(argc, argv, keys);
    parser.about("Region-of-interest JPEG: at the size of a plain one, better where the ranking says.");
    if (parser.has("help"))
    {
        parser.printMessage();
        return 0;
    }
    const cv::String imagePath = parser.get<cv::String>("@image"), model = parser.get<cv::String>("model");
    const cv::String output = parser.get<cv::String>("output"), plainPath = parser.get<cv::String>("plain");
    const cv::String picture = parser.get<cv::String>("picture");
    const int quality = parser.get<int>("quality"), boost = parser.get<int>("boost");
    cv::ltrp::SelectParams params;
    params.keepRatio = parser.get<double>("keep");
    params.method = parser.has("cluster") ? cv::ltrp::SELECT_CLUSTER : cv::ltrp::SELECT_TOPK;
    if (!parser.check() || imagePath.empty())
    {
        parser.printErrors();
        std::cerr << "A photo is needed; --help says more." << std::endl;
        return 1;
    }
    if (quality < 1 || quality > 95 || boost < 1)
    {
        std::cerr << "--quality must be 1 to 95 and --boost at least 1." << std::endl;
        return 1;
    }

    try
    {
        const cv::Mat photo = sample::readImage(imagePath);
        cv::Ptr<cv::ltrp::Ranker> ranker =
            model.empty() ? cv::ltrp::Ranker::create() : cv::ltrp::Ranker::create(model);
        const cv::ltrp::PatchRanking ranking = ranker->rank(photo);
        const std::vector<int> keep = cv::ltrp::selectPatches(ranking, params, photo);
        cv::Mat kept(photo.size(), CV_8UC1, cv::Scalar::all(0));
        for (int patch : keep)
            kept(ranking.rect(patch)).setTo(255);

        sample::catchInterrupt();
        Result plain, roi;
        plain.quality = quality;
        plain.bytes = encode(photo, quality);
        const Thinner thinner(photo, kept);
        {
            sample::Progress progress("encoding, try", 0);
            int tries = 0;
            for (int inside = std::min(98, quality + boost);
                 inside > quality && roi.bytes.empty() && !sample::interrupted();
                 inside -= std::max(1, (inside - quality) / 4))
                roi = fitInto(thinner, inside, plain.bytes.size(), progress, tries);
        }
        if (sample::interrupted())
            return sample::INTERRUPTED;   // nothing has been written yet
        if (roi.bytes.empty())
            CV_Error(cv::Error::StsError,
                     imagePath + ": the kept patches alone need more than the plain JPEG; keep fewer");
        measure(plain, photo, kept);
        measure(roi, photo, kept);
        writeBytes(output, roi.bytes);
        writeBytes(plainPath, plain.bytes);

        std::cout << imagePath << ": " << photo.cols << " x " << photo.rows << ", kept " << keep.size() << " of "
                  << ranking.grid().area() << " patches\n";
        print("plain", plain);
        print("roi", roi);
        std::cout << cv::format("at %.1f %% of the size: %+.2f dB inside, %+.2f outside\n",
                                100. * static_cast<double>(roi.bytes.size()) / static_cast<double>(plain.bytes.size()),
                                roi.inside - plain.inside, roi.outside - plain.outside);
        if (!picture.empty())
        {
            cv::Mat both;
            cv::hconcat(drawColumn(plain, "plain JPEG", ranking, keep),
                        drawColumn(roi, "by the ranking", ranking, keep), both);
            sample::writeImage(picture, both, 90);   // high quality, so that it adds few artefacts of its own
        }
    }
    catch (const cv::Exception& e)
    {
        std::cerr << e.err << std::endl;
        return 1;
    }
    return 0;
}
