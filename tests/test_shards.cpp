// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include <boost/test/unit_test.hpp>

#include "shard_bytes.hpp"
#include "shard_fixture.hpp"
#include "train/loader.hpp"

#include <algorithm>
#include <set>

using namespace cv::ltrp;
using namespace cv::ltrp::train;
using testing_tools::readText;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

struct ReaderFixture : ShardFixture
{
    /// Packs the images into a shard in a separate folder.
    std::string pack(const std::string& out) const
    {
        fs::create_directories(file(out));
        must({"tar", "-C", file("images"), "--sort=name", "-cf", file(out + "/shard-000000.tar"), "."});
        return file(out);
    }
    image::ShardIndex read(const std::string& bytes) const
    {
        writeText(file("x.tar"), bytes);
        return image::readShard(file("x.tar"));
    }
    std::string refusal(const std::string& bytes) const
    {
        try
        {
            read(bytes);
        }
        catch (const image::PhotoError& error)
        {
            return error.what();
        }
        return std::string();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(shards, ReaderFixture)

BOOST_AUTO_TEST_CASE(members_of_all_formats_of_tar_have_the_names_and_bytes_of_the_files)
{
    const std::string longName = "images/" + std::string(90, 'd') + "/" + std::string(90, 'n') + ".png";
    fs::create_directories(fs::path(file(longName)).parent_path());
    fs::copy_file(file("images/p0.png"), file(longName));
    fs::copy_file(file("images/p2.png"), file("images/gr\xc3\xbc\xc3\x9f.png"));
    const Dataset files = listImages({file("images")});
    for (const std::string format : {"gnu", "pax", "ustar"})
    {
        BOOST_TEST_CONTEXT(format)
        {
            must({"tar", "-C", file("images"), "--format=" + format, "--sort=name", "-cf", file(format + ".tar"), "."});
            const Dataset dataset = listImages({file(format + ".tar")});
            BOOST_TEST(dataset.skipped.size() == 0u);
            BOOST_REQUIRE(dataset.paths.size() == files.paths.size());
            std::map<std::string, std::string> expected, found;
            for (size_t i = 0; i < files.paths.size(); i++)
            {
                expected[fs::relative(files.paths[i], file("images")).string()] = readText(files.paths[i]);
                found[dataset.paths[i].substr(file(format + ".tar/").size())] = contents(dataset, i);
            }
            BOOST_TEST((expected == found));
        }
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_photo_is_left_out_and_damage_is_named)
{
    using namespace shard_bytes;
    const std::string photo(700, 'p');
    const image::ShardIndex index = read(
        member("a.jpg", photo) + member("a.cls", "7") + member("a.json", "{}") + member("a.seg.png", "mask") +
        member("x/b.v2.PNG", photo) + member("x/._b.png", "resource fork") + member("link.jpg", "", '2') +
        member("hard.jpg", "", '1') + member("device.jpg", "", '3') + member("folder.jpg/", "", '5') + member("empty.jpg", "") +
        member("a.jpg", "again") + member("/etc/c.jpg", photo) + member("../d.jpg", photo) +
        badChecksum(member("e.jpg", photo)) + member("./f.jpg", "last") + ending());
    std::vector<std::string> names;
    for (const image::ShardMember& found : index.photos)
        names.push_back(found.name);
    BOOST_TEST(names == (std::vector<std::string>{"a.jpg", "x/b.v2.PNG", "/etc/c.jpg", "../d.jpg", "f.jpg"}), boost::test_tools::per_element());
    const std::string bytes = readText(file("x.tar"));
    BOOST_TEST(bytes.substr(static_cast<size_t>(index.photos.back().offset), static_cast<size_t>(index.photos.back().bytes)) == "last");

    const std::vector<std::pair<std::string, std::string>> expected{
        {"link.jpg", "a link"}, {"hard.jpg", "a link"}, {"device.jpg", "device"},
        {"empty.jpg", "empty"}, {"a.jpg", "this name already"}, {"bytes ", "no member can be read here"}};
    for (const image::Skipped& skipped : index.skipped)
        BOOST_TEST_MESSAGE(skipped.place << ": " << skipped.reason);
    BOOST_REQUIRE(index.skipped.size() == expected.size());
    for (size_t i = 0; i < expected.size(); i++)
    {
        BOOST_TEST(has(index.skipped[i].place, expected[i].first), index.skipped[i].place);
        BOOST_TEST(has(index.skipped[i].reason, expected[i].second), index.skipped[i].reason);
    }

    const image::ShardIndex large = read(member("a.jpg", photo) + header("b.jpg", uint64_t(1) << 40) + member("c.jpg", photo) + ending());
    BOOST_TEST(large.photos.size() == 1u);
    BOOST_REQUIRE(large.skipped.size() == 1u);
    BOOST_TEST(large.skipped[0].place == "b.jpg");
    BOOST_TEST(has(large.skipped[0].reason, "1099511627776 bytes"));

    // Five bytes according to the records of a pax header, but a thousand in the archive.
    const std::string records = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=5\n";
    const image::ShardIndex apart = read(
        member("pax", records, 'x') + member("s.jpg", "1\n0\n5\n" + std::string(506, '\0') + std::string(1000, 's')) +
        member("a.jpg", photo) + ending());
    BOOST_TEST(apart.photos.size() == 0u);   // libarchive finds no header after it either
    BOOST_REQUIRE(apart.skipped.size() == 3u);
    BOOST_TEST(has(apart.skipped[0].reason, "do not lie together"), apart.skipped[0].reason);

    // Zeros before a damaged header do not invalidate the photo before them.
    const image::ShardIndex behind = read(member("a.jpg", photo) + ending() + std::string(512, 'j'));
    BOOST_TEST(behind.photos.size() == 1u);
    BOOST_REQUIRE(behind.skipped.size() >= 1u);
    for (const image::Skipped& skipped : behind.skipped)
        BOOST_TEST(!has(skipped.reason, "do not lie together"), skipped.place);
    BOOST_TEST(behind.skipped[0].place == "bytes 1536 to 3072");
    BOOST_TEST(has(behind.skipped[0].reason, "no member can be read here"), behind.skipped[0].reason);

    // Concatenated archives are read to the end.
    BOOST_TEST(read(member("a.jpg", photo) + ending() + member("b.jpg", photo) + ending()).photos.size() == 2u);
    BOOST_TEST(read(ending()).skipped.size() == 1u);
    BOOST_TEST(has(refusal(std::string("\x1f\x8b", 2) + std::string(600, 'z')), "compressed (gzip)"));
    BOOST_TEST(has(refusal(std::string(2000, 'z')), "not a tar archive"));
    BOOST_TEST(has(refusal(""), "empty"));
}

BOOST_AUTO_TEST_CASE(a_mask_is_no_photo_where_its_photo_is_skipped)
{
    using namespace shard_bytes;
    const image::ShardIndex index = read(member("a.jpg", "") + member("a.seg.png", "mask") + member("b.seg.png", "mask") +
                                         member("b.jpg", "", '2') + member("c.v2.png", "photo") + ending());
    BOOST_REQUIRE(index.photos.size() == 1u);
    BOOST_TEST(index.photos[0].name == "c.v2.png");
    BOOST_TEST(index.skipped.size() == 2u);
}

BOOST_AUTO_TEST_CASE(names_of_members_do_not_steer_a_terminal)
{
    using namespace shard_bytes;
    const std::string steering = "a\x1b[2J.jpg";
    writeText(file("x.tar"), member(steering, "photo") + member("b\x1b[2J.jpg", "") + ending());
    image::PhotoList list;
    list.takesShards = true;
    image::addArgument(file("x.tar"), std::string(), list);
    BOOST_REQUIRE(list.photos.size() == 1u);
    BOOST_TEST(list.photos[0].name == steering);
    BOOST_TEST(list.photos[0].path == file("x.tar/a\\x1b[2J.jpg"));
    BOOST_REQUIRE(list.skipped.size() == 1u);
    BOOST_TEST(list.skipped[0].place == file("x.tar/b\\x1b[2J.jpg"));
}

BOOST_AUTO_TEST_CASE(a_sparse_member_is_skipped)
{
    writeText(file("sparse.png"), readText(file("images/p0.png")));
    fs::resize_file(file("sparse.png"), 1 << 20);
    for (const std::string format : {"gnu", "pax"})
    {
        must({"tar", "-C", root.path().string(), "--format=" + format, "--sparse", "-cf", file(format + ".tar"), "sparse.png",
              "images/p2.png"});
        const image::ShardIndex index = image::readShard(file(format + ".tar"));
        BOOST_REQUIRE(index.skipped.size() == 1u);
        BOOST_TEST(has(index.skipped[0].reason, "sparse"));
        BOOST_REQUIRE(index.photos.size() == 1u);
        const std::string bytes = readText(file(format + ".tar"));
        BOOST_TEST((bytes.substr(static_cast<size_t>(index.photos[0].offset), static_cast<size_t>(index.photos[0].bytes)) ==
                    readText(file("images/p2.png"))));
    }
}

BOOST_AUTO_TEST_CASE(a_truncated_shard_gives_whole_photos_and_says_so)
{
    using namespace shard_bytes;
    const std::string photo(700, 'p'), whole = member("a.jpg", photo) + member("b.jpg", "bb") + member("c.jpg", photo) + ending();
    const size_t ends[] = {512 + 700, 1536 + 512 + 2, 1536 + 1024 + 512 + 700};   // of the photos
    for (size_t length = 1; length < whole.size() - 512; length += 37)
    {
        BOOST_TEST_CONTEXT(length << " of " << whole.size() << " bytes")
        {
            if (length < 512)
            {
                BOOST_TEST(refusal(whole.substr(0, length)) != "");
                continue;
            }
            const image::ShardIndex index = read(whole.substr(0, length));
            BOOST_TEST(static_cast<std::ptrdiff_t>(index.photos.size()) ==
                       std::count_if(std::begin(ends), std::end(ends), [&](size_t end) { return end <= length; }));
            // After one block of zeros nothing can be missing.
            const bool complete = length >= whole.size() - 512 - 512 + 512;
            BOOST_TEST((index.skipped.size() == 1u || complete));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_shard_that_was_changed_after_it_was_listed_is_not_read)
{
    pack("shards");
    const std::string shard = file("shards/shard-000000.tar");
    const Dataset dataset = listImages({shard});
    std::string reason;
    BOOST_TEST(!readImage(dataset, 0, reason).empty());
    fs::last_write_time(shard, fs::last_write_time(shard) + std::chrono::seconds(1));
    BOOST_TEST(readImage(dataset, 0, reason).empty());
    BOOST_TEST(has(reason, "was changed"));
}

BOOST_AUTO_TEST_CASE(large_sets_of_shards_are_shuffled_by_shards_and_within_windows)
{
    const int count = 1000, window = 300;
    const std::vector<int> groups{0, 100, 150, 400, 401, 900};
    const std::vector<int> order = epochOrder(5, 3, count, groups, window);
    BOOST_TEST((order == epochOrder(5, 3, count, groups, window)));
    BOOST_TEST((order != epochOrder(5, 4, count, groups, window)));
    std::vector<int> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < count; i++)
        BOOST_REQUIRE(sorted[static_cast<size_t>(i)] == i);

    // Four windows of 250: each contains whole groups except the first and last one, and the order of the groups is
    // random over all.
    const auto groupOf = [&](int image)
    { return std::upper_bound(groups.begin(), groups.end(), image) - groups.begin() - 1; };
    std::set<std::vector<std::ptrdiff_t>> orders;
    for (uint32_t epoch = 0; epoch < 20; epoch++)
    {
        std::vector<std::ptrdiff_t> sequence;   // groups in reading order
        const std::vector<int> images = epochOrder(5, epoch, count, groups, window);
        std::map<std::ptrdiff_t, std::pair<int, int>> span;   // first and last window of each group
        for (int i = 0; i < count; i++)
        {
            const auto at = span.emplace(groupOf(images[static_cast<size_t>(i)]), std::make_pair(i / 250, i / 250)).first;
            at->second.second = i / 250;
        }
        for (const auto& group : span)
        {
            const size_t g = static_cast<size_t>(group.first);
            const int size = (g + 1 < groups.size() ? groups[g + 1] : count) - groups[g];
            BOOST_TEST(group.second.second - group.second.first <= (size + 248) / 250 + 1);
            sequence.push_back(group.second.first);
        }
        orders.insert(sequence);
        BOOST_TEST(!std::is_sorted(images.begin(), images.begin() + 250));
    }
    BOOST_TEST(orders.size() > 5u);

    // Every image keeps its own data: small sets, and sets without shards, have the order of single files.
    pack("shards");
    BOOST_TEST(listImages({file("shards")}).groups().empty());
    Dataset many = listImages({file("shards")});
    many.places.resize(shuffleWindow + 1, many.places.back());
    many.places.push_back({});
    BOOST_TEST(many.groups() == (std::vector<int>{0, shuffleWindow + 1}), boost::test_tools::per_element());
    BOOST_TEST(orderText(many) != "");
}

BOOST_AUTO_TEST_CASE(a_training_on_shards_ends_with_the_bytes_of_one_on_files)
{
    pack("shards");
    const MaePretrainParams onFiles = pretrain("files");
    BOOST_TEST(make(onFiles)->run());
    MaePretrainParams onShards = pretrain("whole");
    onShards.data.assign(1, file("shards"));
    BOOST_TEST(make(onShards)->run());
    BOOST_TEST((bytes("whole/final.safetensors") == bytes("files/final.safetensors")));

    // Stopped with files, it continues with the shards.
    MaePretrainParams stopped = pretrain("stopped");
    cv::Ptr<Trainer> trainer = make(stopped);
    trainer->setProgress([](const TrainProgress& progress) { return progress.step < 4; });
    BOOST_TEST(!trainer->run());
    stopped.data = onShards.data;
    stopped.resume = true;
    BOOST_TEST(make(stopped)->run());
    BOOST_TEST((bytes("stopped/final.safetensors") == bytes("files/final.safetensors")));
}

BOOST_AUTO_TEST_CASE(a_training_names_and_counts_what_it_skips)
{
    using namespace shard_bytes;
    writeText(file("x.tar"), member("link.png", "", '2') + member("good.png", readText(file("images/p0.png"))) +
                             member("bad.png", "no picture") + ending());
    fs::create_directories(file("data"));
    fs::rename(file("x.tar"), file("data/x.tar"));
    writeText(file("data/y.tar.gz"), std::string("\x1f\x8b", 2) + std::string(600, 'z'));
    MaePretrainParams p = pretrain("out");
    p.data.assign(1, file("data"));
    BOOST_TEST(make(p)->run());
    std::map<std::string, std::string> skipped;
    for (const nlohmann::json& line : log("out"))
        if (line["event"] == "skipped")
            skipped[line["image"].get<std::string>()] = line["reason"].get<std::string>();
    BOOST_REQUIRE(skipped.size() == 3u);
    BOOST_TEST(has(skipped[file("data/x.tar/link.png")], "a link"));
    BOOST_TEST(has(skipped[file("data/x.tar/bad.png")], "not an image"));
    BOOST_TEST(has(skipped[file("data/y.tar.gz")], "decompress it"));
    BOOST_TEST(log("out").back()["event"] == "end");
    for (const nlohmann::json& line : log("out"))
        if (line["event"] == "step")
            BOOST_TEST(line["skipped"] == 3);

    p = pretrain("none");
    p.data.assign(1, file("data/y.tar.gz"));
    BOOST_CHECK_EXCEPTION(make(p)->run(), cv::Exception, [](const cv::Exception& e) { return has(e.err, "compressed (gzip)"); });
}

BOOST_AUTO_TEST_SUITE_END()
