// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include <boost/test/unit_test.hpp>

#include "train_fixture.hpp"
#include "io/checksum.hpp"
#include "train/loader.hpp"
#include "core/config.hpp"

#include <opencv2/imgproc.hpp>

#include <cmath>
#include <set>

using namespace cv::ltrp;
using namespace cv::ltrp::train;
namespace fs = std::filesystem;

BOOST_FIXTURE_TEST_SUITE(train_data, TrainFixture)

BOOST_AUTO_TEST_CASE(crc32_of_the_standard_check_text)
{
    io::Crc32 crc;
    crc.add(std::string("123456789"));
    BOOST_TEST(crc.value() == 0xcbf43926u);
    io::Crc32 pieces;
    for (const char* piece : {"12345678", "", "9"})
        pieces.add(std::string(piece));
    BOOST_TEST(pieces.value() == 0xcbf43926u);
}

BOOST_AUTO_TEST_CASE(folders_files_and_lists_in_a_fixed_order)
{
    testing_tools::writeText(file("images/notes.txt"), "not an image");
    testing_tools::writeText(file("images/B.JPEG"), "upper case counts");
    const Dataset folder = listImages({file("images")});
    BOOST_TEST(folder.paths.size() == 13u);
    BOOST_TEST(fs::path(folder.paths[0]).filename() == "B.JPEG");
    BOOST_TEST(std::is_sorted(folder.paths.begin(), folder.paths.end()));

    fs::create_directories(file("lists"));
    testing_tools::writeText(file("lists/list"),
                             "# two of them\r\n\n  ../images/p2.png  \r\n" + file("images/p0.png") + "\n");
    const Dataset list = listImages({file("lists/list"), file("images/p4.png")});
    BOOST_REQUIRE(list.paths.size() == 3u);
    BOOST_TEST(fs::equivalent(list.paths[0], file("images/p2.png")));
    BOOST_TEST(list.paths[1] == file("images/p0.png"));
    BOOST_TEST(list.paths[2] == file("images/p4.png"));

    // The fingerprint depends on names and sizes, not on the location of the folder.
    fs::copy(file("images"), file("moved"), fs::copy_options::recursive);
    BOOST_TEST(listImages({file("moved")}).fingerprint == folder.fingerprint);
    testing_tools::writeText(file("moved/B.JPEG"), "another size");
    BOOST_TEST(listImages({file("moved")}).fingerprint != folder.fingerprint);

    fs::create_directories(file("nothing"));
    BOOST_CHECK_THROW(listImages({file("nothing")}), cv::Exception);
    BOOST_CHECK_THROW(listImages({file("absent")}), cv::Exception);
    testing_tools::writeText(file("lists/comments"), "# only\n");
    BOOST_CHECK_THROW(listImages({file("lists/comments")}), cv::Exception);
}

BOOST_AUTO_TEST_CASE(crops_stay_inside_and_in_range)
{
    const AugmentOptions options;
    double smallest = 1, largest = 0, squares = 0;
    AugmentOptions square;
    square.ratioMin = square.ratioMax = 1;
    const int draws = 2000;
    for (int i = 0; i < draws; i++)
    {
        RandomStream random(3, RandomPurpose::Augment, 0, static_cast<uint32_t>(i));
        const cv::Rect crop = randomCrop(cv::Size(300, 200), options, random);
        BOOST_REQUIRE((crop & cv::Rect(0, 0, 300, 200)) == crop);
        const double share = crop.area() / 60000.0, ratio = static_cast<double>(crop.width) / crop.height;
        BOOST_REQUIRE(share > 0.19);
        BOOST_REQUIRE(ratio > 0.74);
        BOOST_REQUIRE(ratio < 1.35);
        smallest = std::min(smallest, share);
        largest = std::max(largest, share);
        squares += randomCrop(cv::Size(1000, 1000), square, random).area() / 1e6 / draws;
    }
    BOOST_TEST(smallest < 0.22);
    BOOST_TEST(largest > 0.85);
    BOOST_TEST(std::abs(squares - 0.6) < 0.02);   // every draw fits: the area is uniform in 0.2 to 1
    for (const cv::Size size : {cv::Size(1, 1), cv::Size(20000, 30), cv::Size(2, 900)})
    {
        RandomStream random(3, RandomPurpose::Augment);
        const cv::Rect crop = randomCrop(size, options, random);
        BOOST_TEST(crop.area() > 0);
        BOOST_TEST(((crop & cv::Rect(cv::Point(), size)) == crop));
    }
}

BOOST_AUTO_TEST_CASE(flips_mirror_and_follow_their_probability)
{
    vit::InputConfig input;
    input.imageSize = 16;
    input.patchSize = 8;
    cv::Mat rgb(16, 16, CV_8UC3);
    for (int x = 0; x < 16; x++)
        rgb.col(x).setTo(cv::Scalar(x * 10, 0, 0));
    AugmentOptions whole;
    whole.scaleMin = whole.scaleMax = whole.ratioMin = whole.ratioMax = 1;
    std::vector<float> out(3 * 16 * 16);
    int flipped = 0;
    for (uint32_t i = 0; i < 400; i++)
    {
        RandomStream random(5, RandomPurpose::Augment, 1, i);
        augment(rgb, input, whole, random, out.data());
        const bool mirrored = out[0] > out[15];
        for (int x = 0; x < 16; x++)
        {
            const double wanted = ((mirrored ? 15 - x : x) * 10 / 255.0 - 0.485) / 0.229;
            BOOST_REQUIRE(std::abs(out[static_cast<size_t>(x)] - wanted) < 1e-5);
        }
        flipped += mirrored;
    }
    BOOST_TEST(flipped > 150);
    BOOST_TEST(flipped < 250);
    whole.flip = 0;
    for (uint32_t i = 0; i < 50; i++)
    {
        RandomStream random(5, RandomPurpose::Augment, 1, i);
        augment(rgb, input, whole, random, out.data());
        BOOST_REQUIRE(out[0] < out[15]);
    }
}

BOOST_AUTO_TEST_CASE(every_crop_of_a_reduced_image_has_the_pixels_that_are_wanted)
{
    AugmentOptions wide;
    wide.scaleMin = 0.5;
    wide.ratioMin = 0.3;
    wide.ratioMax = 0.6;
    std::set<int> met;
    for (const AugmentOptions& options : {AugmentOptions(), wide})
        for (const cv::Size size : {cv::Size(4000, 3000), cv::Size(3000, 4000), cv::Size(640, 480), cv::Size(2000, 1500),
                                    cv::Size(9000, 300), cv::Size(40, 9000), cv::Size(1024, 1024), cv::Size(16000, 12000)})
        {
            const int side = 112, reduction = reductionFor(size, side, options);
            met.insert(reduction);
            const cv::Size reduced((size.width + reduction - 1) / reduction, (size.height + reduction - 1) / reduction);
            bool larger = reduction < 8;   // the next factor would be too much for some crop, or nearly
            double least = 1e9;
            for (uint32_t i = 0; i < 3000; i++)
            {
                RandomStream random(8, RandomPurpose::Augment, 0, i);
                const cv::Rect crop = randomCrop(reduced, options, random);
                least = std::min(least, static_cast<double>(std::min(crop.width, crop.height)));
            }
            BOOST_TEST((reduction == 1 || least >= side - 1), size << " by " << reduction << ": " << least);
            BOOST_TEST((!larger || least < 2 * side * 1.35), size << " by " << reduction << ": " << least);
        }
    BOOST_TEST(met.size() == 4u);
}

BOOST_AUTO_TEST_CASE(jpegs_are_decoded_smaller_others_in_full)
{
    cv::Mat photo(301, 403, CV_8UC3);
    for (int y = 0; y < photo.rows; y++)
        for (int x = 0; x < photo.cols; x++)
            photo.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<uchar>(x / 2), static_cast<uchar>(y / 2),
                                                  static_cast<uchar>(128 + 100 * std::sin(x * 0.05) * std::cos(y * 0.04)));
    cv::imwrite(file("photo.jpg"), photo, {cv::IMWRITE_JPEG_QUALITY, 98});
    cv::imwrite(file("photo.png"), photo);
    std::string reason;
    const cv::Mat whole = readImage(file("photo.jpg"), reason);
    BOOST_REQUIRE(whole.size() == photo.size());
    for (const int reduction : {1, 2, 4, 8})
    {
        const auto by = [&](cv::Size size)
        {
            BOOST_TEST((size == photo.size()));
            return reduction;
        };
        const cv::Mat small = readImage(file("photo.jpg"), reason, by);
        BOOST_REQUIRE((small.size() == cv::Size((403 + reduction - 1) / reduction, (301 + reduction - 1) / reduction)));
        cv::Mat expected;   // means of blocks, except for the last row and column, where blocks are incomplete
        cv::resize(whole(cv::Rect(0, 0, 400, 296)), expected, cv::Size(400 / reduction, 296 / reduction), 0, 0, cv::INTER_AREA);
        BOOST_TEST(cv::norm(expected, small(cv::Rect(cv::Point(), expected.size())), cv::NORM_INF) <= 12);
        BOOST_TEST(cv::norm(small, readImage(file("photo.jpg"), reason, by), cv::NORM_INF) == 0);
        BOOST_TEST((readImage(file("photo.png"), reason, by).size() == photo.size()));
    }

    // Through the loader: the same batches whatever is cached; they differ from, but are close to, those of full
    // decoding.
    const Dataset dataset = listImages({file("photo.jpg")});
    LoaderOptions options;
    options.input.imageSize = 24;
    options.input.patchSize = 8;
    options.visible = 5;
    options.batch = 2;
    options.workers = 0;
    Loader full(dataset, options, 0, nullptr);
    options.reduceJpegs = true;
    Loader reduced(dataset, options, 0, nullptr);
    options.cacheBytes = 1 << 20;
    options.workers = 2;
    Loader cached(dataset, options, 0, nullptr);
    for (int i = 0; i < 5; i++)
    {
        const std::vector<float> a = full.next().pixels, b = reduced.next().pixels;
        BOOST_TEST((cached.next().pixels == b));
        BOOST_TEST((a != b));
        double difference = 0;
        for (size_t k = 0; k < a.size(); k++)
            difference += std::abs(a[k] - b[k]) / static_cast<double>(a.size());
        BOOST_TEST(difference < 0.1);
    }
    BOOST_TEST(cached.cachedBytes() < full.cachedBytes() + static_cast<size_t>(403 * 301 * 3) / 4);
}

BOOST_AUTO_TEST_CASE(batches_do_not_depend_on_workers_cache_or_start)
{
    const Dataset dataset = listImages({file("images")});
    LoaderOptions options;
    options.input.imageSize = 24;
    options.input.patchSize = 8;
    options.seed = 4;
    options.batch = 4;
    options.visible = 5;
    options.batchesPerEpoch = 3;
    options.workers = 0;
    std::vector<Batch> wanted;
    Loader plain(dataset, options, 0, nullptr);
    for (int i = 0; i < 9; i++)
        wanted.push_back(plain.next());
    for (const int workers : {1, 2, 5})
        for (const int first : {0, 2, 5})
        {
            options.workers = workers;
            options.cacheBytes = workers == 2 ? 20000 : workers == 5 ? 1 << 30 : 0;
            Loader loader(dataset, options, first, nullptr);
            for (size_t i = static_cast<size_t>(first); i < wanted.size(); i++)
            {
                const Batch& batch = loader.next();
                BOOST_REQUIRE((batch.pixels == wanted[i].pixels));
                BOOST_REQUIRE((batch.idsKeep == wanted[i].idsKeep));
                for (size_t k = 0; k < batch.keys.size(); k++)
                {
                    BOOST_REQUIRE(batch.keys[k].epoch == wanted[i].keys[k].epoch);
                    BOOST_REQUIRE(batch.keys[k].sample == wanted[i].keys[k].sample);
                }
                BOOST_REQUIRE((batch.images == wanted[i].images));
            }
            BOOST_TEST(loader.cachedBytes() <= options.cacheBytes);
        }

    for (int epoch = 0; epoch < 3; epoch++)   // each image once per epoch, in a different order each time
    {
        std::set<int> seen;
        for (int i = 0; i < 3; i++)
        {
            const std::vector<int>& images = wanted[static_cast<size_t>(3 * epoch + i)].images;
            seen.insert(images.begin(), images.end());
        }
        BOOST_TEST(seen.size() == 12u);
    }
    BOOST_TEST((wanted[0].images != wanted[3].images || wanted[1].images != wanted[4].images));
    std::set<std::vector<int>> masks;
    for (const Batch& batch : wanted)
        for (size_t row = 0; row < 4; row++)
        {
            const int* first = &batch.idsKeep[row * 5];
            const std::vector<int> mask(first, first + 5);
            BOOST_REQUIRE(std::is_sorted(mask.begin(), mask.end()));
            BOOST_REQUIRE(std::set<int>(mask.begin(), mask.end()).size() == 5u);
            BOOST_REQUIRE(mask.front() >= 0);
            BOOST_REQUIRE(mask.back() < 9);
            masks.insert(mask);
        }
    BOOST_TEST(masks.size() > 15u);   // of 36 drawn among 126
}

BOOST_AUTO_TEST_SUITE_END()
