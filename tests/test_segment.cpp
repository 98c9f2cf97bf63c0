// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Segmentation of kept patches: label images, their crops, training, label maps, measures.

#include "messages.hpp"
#include "png_bytes.hpp"
#include "train_fixture.hpp"

#include "eval/segmentation.hpp"
#include "image/photo_file.hpp"
#include "io/model_file.hpp"
#include "select/selector.hpp"
#include "train/loader.hpp"
#include "train/trainer.hpp"
#include "vit/classifier.hpp"
#include "vit/label_map.hpp"

#include <opencv2/imgproc.hpp>

#include <boost/test/unit_test.hpp>

using namespace cv::ltrp;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

/// Noise with a bright square, whose pixels are of class 1.
struct SegmentFixture : TrainFixture
{
    SegmentFixture()
    {
        for (int i = 0; i < 16; i++)
        {
            const std::string name = (i % 2 ? "b/" : "") + std::to_string(i) + ".png";
            for (const char* folder : {"data/images/b", "data/labels/b"})
                fs::create_directories(root.path() / folder);
            cv::imwrite(root.file("data/images/" + name), picture(i));
            cv::imwrite(root.file("data/labels/" + name), labels(i));
        }
    }
    static cv::Rect square(int number) { return cv::Rect(3 * (number % 5), 4 * (number / 5), 16, 16); }
    static cv::Mat picture(int number)
    {
        cv::Mat image(32, 32, CV_8UC3);
        cv::RNG noise(number + 1);
        noise.fill(image, cv::RNG::UNIFORM, 0, 100);
        image(square(number)) += cv::Scalar::all(140);
        return image;
    }
    static cv::Mat labels(int number)
    {
        cv::Mat image(32, 32, CV_8UC1, cv::Scalar(0));
        image(square(number)).setTo(1);
        return image;
    }

    static train::Dataset list(const std::string& data, const std::vector<std::string>& classes = {})
    {
        return train::listLabelled({data, vit::Task::Segment}, classes);
    }
    train::ClassifierTrainParams segment(const std::string& out) const
    {
        train::ClassifierTrainParams p;
        common(p, out);
        p.task = vit::Task::Segment;
        p.data.assign(1, root.file("data"));
        p.imageSize = 32;
        p.patchSize = 4;
        p.smoothing = 0;
        return p;
    }
    /// mIoU of a trained network on the data, on the patches that a selector keeps.
    double meanIou(const std::string& weights, const std::string& name, double keep) const
    {
        const io::Model model = io::loadModel(weights, io::ModelKind::Classifier);
        BOOST_TEST((model.classifier.task == vit::Task::Segment));
        const vit::Classifier net(model.classifier, model.params);
        const train::Dataset data = list(file("data"), model.classes);
        const std::shared_ptr<const select::Selector> selector = select::makeSelector(name, {});
        const cv::Size grid(8, 8);
        const int count = cvRound(64 * keep);
        eval::Segmentation measured(net.config().classes);
        vit::Workspace ws;
        for (size_t i = 0; i < data.paths.size(); i++)
        {
            std::string reason;
            const cv::Mat rgb = train::readImage(data.paths[i], reason);
            const std::vector<int> kept = select::firstPatches(*selector, rgb, grid, count, {1, 0, static_cast<uint32_t>(i)});
            std::vector<float> pixels(3 * 32 * 32);
            train::resizeCrop({rgb, cv::Rect2d(0, 0, 1, 1), false}, model.input(), pixels.data());
            cv::Mat logits(count, net.config().classes, CV_32F);
            net.forward(pixels.data(), 1, kept.data(), count, logits.ptr<float>(), ws);
            measured.add(data.labelImages.read(static_cast<int>(i), rgb.size()),
                         vit::labelMap(vit::fillGrid(logits, kept, grid), grid, rgb.size()));
        }
        return eval::Segmentation::meanIou(measured.classes());
    }
};

/// A PNG as it is stored, from its parts: for palettes and few bits, which OpenCV does not write.
std::string patched(std::string png, size_t at, uchar value)
{
    png[at] = static_cast<char>(value);
    return png;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(segment, SegmentFixture)

BOOST_AUTO_TEST_CASE(label_images_go_with_images)
{
    const train::Dataset data = list(file("data"));
    BOOST_TEST(data.classes == (std::vector<std::string>{"0", "1"}), boost::test_tools::per_element());
    BOOST_REQUIRE(data.paths.size() == 16u);
    for (size_t i = 0; i < data.paths.size(); i++)
    {
        BOOST_TEST(fs::path(data.paths[i]).filename().string() == fs::path(data.labelImages.files[i]).filename().string());
        const cv::Mat read = data.labelImages.read(static_cast<int>(i), cv::Size(32, 32));
        BOOST_TEST(cv::norm(read, cv::imread(data.labelImages.files[i], cv::IMREAD_UNCHANGED), cv::NORM_INF) == 0);
    }
    // Names: of a file, and by them the numbers of a network.
    writeText(file("data/classes.txt"), "\xef\xbb\xbfground\r\nsquare\r\n");
    BOOST_TEST(list(file("data")).classes == (std::vector<std::string>{"ground", "square"}), boost::test_tools::per_element());
    const train::Dataset other = list(file("data"), {"square", "x", "ground"});
    BOOST_TEST(other.labelImages.classOf[0] == 2);
    BOOST_TEST(other.labelImages.classOf[1] == 0);
    BOOST_TEST(other.labelImages.classOf[255] == 255);
    // The fingerprint is that of the labels, too.
    const uint32_t before = data.fingerprint;
    cv::imwrite(file("data/labels/0.png"), labels(1));
    BOOST_TEST(list(file("data")).fingerprint != before);
    writeText(file("data/classes.txt"), "ground\nsquare\nsky\n");
    BOOST_REQUIRE(list(file("data")).notes.size() == 1u);
    checkMentions(list(file("data")).notes[0], {"no pixel is of class 'sky', number 2"});
}

BOOST_AUTO_TEST_CASE(foreground_masks_are_two_classes)
{
    fs::rename(file("data/labels"), file("data/foreground"));
    for (int i = 0; i < 16; i++)
        cv::imwrite(file("data/foreground/" + std::string(i % 2 ? "b/" : "") + std::to_string(i) + ".png"), 255 * labels(i));
    const train::Dataset data = list(file("data"));
    BOOST_TEST(data.classes == (std::vector<std::string>{"background", "foreground"}), boost::test_tools::per_element());
    BOOST_TEST(cv::norm(data.labelImages.read(0, cv::Size(32, 32)), labels(0), cv::NORM_INF) == 0);
    BOOST_TEST(list(file("data"), {"foreground", "background"}).labelImages.classOf[0] == 1);
    cv::Mat odd = 255 * labels(2);
    odd.at<uchar>(31, 31) = 128;
    cv::imwrite(file("data/foreground/2.png"), odd);
    checkMentions(messageOf([&] { list(file("data")); }), {"value 255 beside 128"});
    cv::imwrite(file("data/foreground/2.png"), 255 * labels(2));
    checkMentions(messageOf([&] { list(file("data"), {"ground", "foreground"}); }), {"value 0, class 'background', is none of the 2 classes of the network"});
}

BOOST_AUTO_TEST_CASE(palettes_and_few_bits_are_their_numbers)
{
    // 2 x 2 pixels, indices 0 1 / 3 2.
    const auto png = [](int depth, int colour, const std::vector<uchar>& rows)
    { return png_bytes::square(2, depth, colour, std::string(rows.begin(), rows.end())); };
    const auto write = [&](const std::string& bytes) { writeText(file("p.png"), bytes); };
    const cv::Mat wanted = (cv::Mat_<uchar>(2, 2) << 0, 1, 3, 2);
    const std::string palette = png(8, 3, {0, 0, 1, 0, 3, 2});
    const std::vector<std::string> same = {palette, png(8, 0, {0, 0, 1, 0, 3, 2}), png(4, 3, {0, 0x01, 0, 0x32}),
                                                  png(2, 0, {0, 0x10, 0, 0xe0})};
    for (const std::string& bytes : same)
    {
        write(bytes);
        const cv::Mat read = train::readIndexPng(file("p.png"));
        BOOST_REQUIRE(read.type() == CV_8UC1);
        BOOST_TEST(cv::norm(read, wanted, cv::NORM_INF) == 0);
    }
    // What is none, and files that end too early or lie about their parts.
    const auto refused = [&](const std::string& bytes)
    {
        write(bytes);
        return messageOf([&] { train::readIndexPng(file("p.png")); });
    };
    checkMentions(refused(png(8, 2, {0, 0, 1, 0, 3, 2})), {"8 bits a channel and 3 channels; labels are index PNGs"});
    checkMentions(refused(png(16, 0, {0, 0, 1, 0, 3, 2})), {"16 bits a channel and 1 channels"});
    checkMentions(refused(patched(palette, 1, 'Q')), {"p.png: is no PNG"});
    checkMentions(refused(patched(palette, 36, 0xff)), {"a part ends behind the file"});
    checkMentions(refused(patched(palette, 33, 0x7f)), {"a part ends behind the file"});
    checkMentions(refused(patched(palette, 24, 4)), {"p.png: a damaged PNG: the checksum of a part is wrong"});
    for (size_t length = 1; length < palette.size() - 12; length += 7)
        BOOST_TEST(refused(palette.substr(0, length)) != "");
    checkMentions(messageOf([&] { train::readIndexPng(file("none.png")); }), {"none.png: no such file"});
}

BOOST_AUTO_TEST_CASE(bad_label_images_are_refused)
{
    const auto refused = [&](const std::vector<std::string>& classes = {}) { return messageOf([&] { list(file("data"), classes); }); };
    const std::string label = file("data/labels/0.png");
    cv::imwrite(label, cv::Mat(32, 31, CV_8UC1, cv::Scalar(0)));
    checkMentions(refused(), {"0.png: the labels are 31x32 pixels, their image "});
    fs::remove(label);
    checkMentions(refused(), {"images/0.png: an image without labels: "});
    cv::imwrite(label, labels(0));
    cv::imwrite(file("data/labels/more.png"), labels(0));
    checkMentions(refused(), {"labels/more.png: labels without an image in "});
    fs::remove(file("data/labels/more.png"));
    cv::imwrite(file("data/images/0.jpg"), picture(0));
    checkMentions(refused(), {"shares the labels "});
    fs::remove(file("data/images/0.jpg"));
    writeText(label, "no PNG");
    checkMentions(refused(), {"0.png: is no PNG"});
    cv::imwrite(label, 7 * labels(0));
    checkMentions(refused({"ground", "square"}), {"labels/0.png: value 7 is none of the 2 classes of the network"});
    writeText(file("data/classes.txt"), "ground\nsquare\n");
    checkMentions(refused(), {"0.png: value 7 is none of the 2 classes of "});
    cv::imwrite(label, labels(0));
    checkMentions(refused({"ground", "sky"}), {"value 1, class 'square', is none of the 2 classes of the network"});
    writeText(file("data/classes.txt"), "ground\n\nsquare\n");
    checkMentions(refused(), {"classes.txt: class '' is no name"});
    writeText(file("data/classes.txt"), "ground\n");
    checkMentions(refused(), {"1 class ('ground'), expected two or more"});
    fs::remove(file("data/classes.txt"));
    for (const auto& entry : fs::recursive_directory_iterator(file("data/labels")))
        if (entry.is_regular_file())
            cv::imwrite(entry.path().string(), cv::Mat(32, 32, CV_8UC1, cv::Scalar(255)));
    checkMentions(refused(), {"labels: 0 classes in all labels, expected two or more"});
    checkMentions(messageOf([&] { list(file("images")); }), {"is no data for segmentation, expected a folder with the folders images and labels"});
    checkMentions(messageOf([&] { train::listLabelled({file("data"), vit::Task::Segment, "x"}); }), {"images: x: goes with a JSON file"});
}

BOOST_AUTO_TEST_CASE(shares_are_those_of_the_pixels)
{
    cv::Mat image(7, 9, CV_8UC1);
    cv::RNG draw(5);
    draw.fill(image, cv::RNG::UNIFORM, 0, 4);
    image.setTo(255, image == 3);
    const cv::Rect2d region(0.13, 0.2, 0.77, 0.61);
    const int grid = 3, classes = 3;
    for (const bool mirrored : {false, true})
    {
        std::vector<float> shares(grid * grid * classes);
        train::labelShares(image, region, mirrored, grid, classes, shares.data());
        // By points close together.
        const int fine = 300;
        std::vector<double> wanted(shares.size());
        for (int y = 0; y < fine; y++)
            for (int x = 0; x < fine; x++)
            {
                const double px = (region.x + region.width * (x + 0.5) / fine) * image.cols, py = (region.y + region.height * (y + 0.5) / fine) * image.rows;
                const int label = image.at<uchar>(static_cast<int>(py), static_cast<int>(px));
                const int column = x * grid / fine, row = y * grid / fine;
                if (label < classes)
                    wanted[static_cast<size_t>((row * grid + (mirrored ? grid - 1 - column : column)) * classes + label)] += grid * grid / double(fine * fine);
            }
        for (size_t i = 0; i < shares.size(); i++)
            BOOST_TEST(std::abs(shares[i] - wanted[i]) < 0.02);
    }
}

BOOST_AUTO_TEST_CASE(labels_follow_the_crop_of_their_image)
{
    // The labels are the image's own content: where it is bright.
    train::Dataset data = list(file("data"));
    train::LoaderOptions options;
    options.input.imageSize = 32;
    options.input.patchSize = 4;
    options.seed = 3;
    options.batch = 4;
    options.batchesPerEpoch = 4;
    options.visible = 64;
    options.workers = 2;
    options.targetValues = 64 * 2;
    int mirrored = 0;
    std::mutex mutex;
    options.target = [&](int image, cv::Size size, const train::Crop& crop, float* out)
    {
        train::labelShares(data.labelImages.read(image, size), crop.region, crop.mirrored, 8, 2, out);
        const std::lock_guard<std::mutex> lock(mutex);
        mirrored += crop.mirrored;
    };
    train::Loader loader(data, options, 0, nullptr);
    double worst = 0, total = 0;
    for (int number = 0; number < 8; number++)
    {
        const train::Batch& batch = loader.next();
        for (size_t b = 0; b < 4; b++)
            for (int patch = 0; patch < 64; patch++)
            {
                // Noise has a mean of 50, the square 190.
                double bright = 0;
                for (int i = 0; i < 16; i++)
                {
                    const int y = patch / 8 * 4 + i / 4, x = patch % 8 * 4 + i % 4;
                    const double value = batch.pixels[(b * 3 + 1) * 1024 + static_cast<size_t>(y * 32 + x)];
                    bright += (value * options.input.std[1] + options.input.mean[1]) * 255 / 16;
                }
                const float* shares = batch.targets.data() + (b * 64 + static_cast<size_t>(patch)) * 2;
                BOOST_TEST(std::abs(shares[0] + shares[1] - 1) < 1e-5);
                worst = std::max(worst, std::abs((bright - 50) / 140 - static_cast<double>(shares[1])));
                total += std::abs((bright - 50) / 140 - static_cast<double>(shares[1])) / (8 * 4 * 64);
            }
    }
    BOOST_TEST(mirrored > 0);
    BOOST_TEST(worst < 0.8);
    BOOST_TEST(total < 0.1);
}

BOOST_AUTO_TEST_CASE(dropped_places_are_filled_from_their_neighbours)
{
    const cv::Size grid(5, 4);
    const cv::Mat logits = (cv::Mat_<float>(2, 2) << 1, -1, 3, 5);
    const cv::Mat all = vit::fillGrid(logits, {0, 19}, grid);
    BOOST_TEST(all.rows == 20);
    BOOST_TEST(all.at<float>(0, 0) == 1.f);
    BOOST_TEST(all.at<float>(19, 1) == 5.f);
    // Place 1 has place 0 beside it, and place 19 is too far; place 9 the other way round.
    BOOST_TEST(all.at<float>(1, 1) == -1.f);
    BOOST_TEST(all.at<float>(14, 0) == 3.f);
    // Both are near enough for place 7 (row 1, column 2): distances 5 and 8.
    const double a = std::exp(-5 / 2.), b = std::exp(-8 / 2.);
    BOOST_TEST(std::abs(all.at<float>(7, 0) - (a * 1 + b * 3) / (a + b)) < 1e-6);
    // One patch alone is the value of the whole grid, however far.
    const cv::Mat one = vit::fillGrid((cv::Mat_<float>(1, 1) << 7), {0}, cv::Size(40, 30));
    BOOST_TEST(cv::norm(one, cv::Mat(1200, 1, CV_32F, cv::Scalar(7)), cv::NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(label_maps_are_those_of_resized_logits)
{
    const cv::Size grid(5, 4), image(83, 37);
    cv::Mat logits(20, 3, CV_32F);
    cv::RNG draw(3);
    draw.fill(logits, cv::RNG::NORMAL, 0, 1);
    std::vector<cv::Mat> planes;
    for (int c = 0; c < 3; c++)
    {
        planes.emplace_back();
        cv::resize(logits.col(c).clone().reshape(1, grid.height), planes.back(), image, 0, 0, cv::INTER_LINEAR);
    }
    const cv::Mat map = vit::labelMap(logits, grid, image);
    BOOST_REQUIRE(map.size() == image);
    int clear = 0;
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width; x++)
        {
            std::vector<float> values;
            for (const cv::Mat& plane : planes)
                values.push_back(plane.at<float>(y, x));
            const int best = static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
            std::sort(values.begin(), values.end());
            if (values[2] - values[1] < 1e-4f)
                continue;   // rounding decides
            clear++;
            BOOST_TEST(map.at<uchar>(y, x) == best);
        }
    BOOST_TEST(clear > 3000);
}

BOOST_AUTO_TEST_CASE(measures_count_pixels)
{
    eval::Segmentation measured(4);
    measured.add((cv::Mat_<uchar>(2, 3) << 0, 0, 1, 1, 255, 0), (cv::Mat_<uchar>(2, 3) << 0, 1, 1, 1, 1, 2));
    measured.add((cv::Mat_<uchar>(1, 2) << 1, 1), (cv::Mat_<uchar>(1, 2) << 0, 1));
    const auto classes = measured.classes();
    // class 0: 3 labelled, 2 answered, 1 right; class 1: 4, 4, 3; class 2 is answered once, but no label: it does not count
    BOOST_TEST(classes[0].labelled == 3);
    BOOST_TEST(classes[0].answered == 2);
    BOOST_TEST(classes[1].right == 3);
    BOOST_TEST(std::abs(classes[1].iou() - 3 / 5.) < 1e-12);
    BOOST_TEST(std::abs(eval::Segmentation::meanIou(classes) - (1 / 4. + 3 / 5.) / 2) < 1e-12);
    BOOST_TEST(std::abs(eval::Segmentation::pixelAccuracy(classes) - 4 / 7.) < 1e-12);
    // By the jackknife of two: half the difference of what is left without the one and the other.
    BOOST_TEST(std::abs(measured.errorOf(eval::Segmentation::pixelAccuracy) - std::abs(3 / 5. - 1 / 2.) / 2) < 1e-12);
    // Of a mean it is the usual standard error.
    const std::vector<double> values = {1, 4, 2, 7};
    const double error = eval::jackknifeError(4, [&](size_t group, size_t groups)
    {
        BOOST_TEST(groups == 4u);
        double sum = 0;
        for (size_t i = 0; i < 4; i++)
            sum += i == group ? 0 : values[i] / 3;
        return sum;
    });
    BOOST_TEST(std::abs(error - std::sqrt((6.25 + 0.25 + 2.25 + 12.25) / 3 / 4)) < 1e-12);
    checkMentions(messageOf([&] { measured.add(cv::Mat(1, 1, CV_8UC1, cv::Scalar(4)), cv::Mat(1, 1, CV_8UC1, cv::Scalar(0))); }), {"label 4, answer 0"});
    checkMentions(messageOf([&] { measured.add(cv::Mat(1, 1, CV_8UC1), cv::Mat(1, 2, CV_8UC1)); }), {"labels of "});
}

BOOST_AUTO_TEST_CASE(it_learns_to_find_the_square)
{
    train::ClassifierTrainParams p = segment("run");
    p.epochs = 40;
    p.keepMin = p.keepMax = 0.5;
    p.selectors = {"random"};
    BOOST_TEST(make(p)->run());
    BOOST_TEST(log("run")[0]["options"]["task"] == "segment");
    BOOST_TEST(!log("run")[0]["options"].contains("pool"));
    const io::Model model = io::loadModel(file("run/final.safetensors"));
    const std::string about = io::describeModel(model, false);
    BOOST_TEST(about.find("task        segment\n") != std::string::npos, about);
    BOOST_TEST(about.find("head        linear, on each patch's token") != std::string::npos, about);
    const double whole = meanIou(file("run/final.safetensors"), "all", 1), half = meanIou(file("run/final.safetensors"), "random", 0.5);
    BOOST_TEST(whole > 0.85);
    BOOST_TEST(half > 0.7);
}

BOOST_AUTO_TEST_CASE(resumed_segmentation_ends_with_the_same_bytes)
{
    train::ClassifierTrainParams p = segment("whole");
    p.keepMin = 0.2;
    p.keepMax = 0.9;
    p.selectors = {"random", "centre"};
    p.workers = 0;
    BOOST_TEST(make(p)->run());
    p.out = file("parts");
    p.workers = 2;
    for (const int64_t stop : {1, 5})
    {
        const cv::Ptr<Trainer> part = make(p);
        part->setProgress([stop](const TrainProgress& state) { return state.step < stop; });
        BOOST_TEST(!part->run());
        p.resume = true;
    }
    BOOST_TEST(make(p)->run());
    BOOST_TEST((bytes("parts/final.safetensors") == bytes("whole/final.safetensors")));
}

BOOST_AUTO_TEST_SUITE_END()
