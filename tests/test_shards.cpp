// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include <boost/test/unit_test.hpp>

#include "shard_bytes.hpp"
#include "tool_fixture.hpp"
#include "train_fixture.hpp"
#include "image/shard.hpp"
#include "train/loader.hpp"

#include <algorithm>
#include <csignal>
#include <set>
#include <thread>

using namespace cv::ltrp;
using namespace cv::ltrp::train;
using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::runProcess;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

struct ShardFixture : TrainFixture
{
    static std::string must(std::vector<std::string> command)
    {
        if (command[0][0] != '/')
            command.insert(command.begin(), "/usr/bin/env");
        const Outcome outcome = runProcess(command);
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, command[0] << ": " << outcome.err);
        return outcome.out;
    }
    std::string pack(const std::string& out, const std::vector<std::string>& more = {}) const
    {
        std::vector<std::string> command{LTRP_TOOL, "pack", file("images"), "--out", file(out)};
        command.insert(command.end(), more.begin(), more.end());
        must(command);
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
    static std::string contents(const Dataset& dataset, size_t i)
    {
        const std::vector<uchar> bytes = image::readPhotoBytes(dataset.paths[i], dataset.place(static_cast<int>(i)), dataset.shards);
        return std::string(bytes.begin(), bytes.end());
    }
};

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(shards, ShardFixture)

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

    // Five bytes by the records of a pax header, but a thousand in the archive.
    const std::string records = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=5\n";
    const image::ShardIndex apart = read(
        member("pax", records, 'x') + member("s.jpg", "1\n0\n5\n" + std::string(506, '\0') + std::string(1000, 's')) +
        member("a.jpg", photo) + ending());
    BOOST_TEST(apart.photos.size() == 0u);   // libarchive finds no header behind it either
    BOOST_REQUIRE(apart.skipped.size() == 3u);
    BOOST_TEST(has(apart.skipped[0].reason, "do not lie together"), apart.skipped[0].reason);

    // Archives appended to each other are read to the end.
    BOOST_TEST(read(member("a.jpg", photo) + ending() + member("b.jpg", photo) + ending()).photos.size() == 2u);
    BOOST_TEST(read(ending()).skipped.size() == 1u);
    BOOST_TEST(has(refusal(std::string("\x1f\x8b", 2) + std::string(600, 'z')), "compressed (gzip)"));
    BOOST_TEST(has(refusal(std::string(2000, 'z')), "not a tar archive"));
    BOOST_TEST(has(refusal(""), "empty"));
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
            // Beyond one block of zeros nothing can be missing.
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

    // Four windows of 250: each holds whole groups but for its first and last one, and the groups' order is one of all.
    const auto groupOf = [&](int image)
    { return std::upper_bound(groups.begin(), groups.end(), image) - groups.begin() - 1; };
    std::set<std::vector<std::ptrdiff_t>> orders;
    for (uint32_t epoch = 0; epoch < 20; epoch++)
    {
        std::vector<std::ptrdiff_t> sequence;   // groups in the order in which they are read
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

    // Stopped on the files, it goes on with the shards.
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

BOOST_FIXTURE_TEST_SUITE(tool_pack, ShardFixture)

BOOST_AUTO_TEST_CASE(shards_hold_the_files_and_depend_on_nothing_else)
{
    pack("a", {"--shard-mib", "1"});
    fs::last_write_time(file("images/p0.png"), fs::file_time_type::clock::now() - std::chrono::hours(1000));
    pack("b", {"--shard-mib", "1"});
    BOOST_TEST((bytes("a/shard-000000.tar") == bytes("b/shard-000000.tar")));
    fs::create_directories(file("unpacked"));
    must({"tar", "-xf", file("a/shard-000000.tar"), "-C", file("unpacked")});
    must({"diff", "-r", file("images"), file("unpacked")});
    BOOST_TEST(listImages({file("a")}).fingerprint == listImages({file("images")}).fingerprint);

    // The same photos in another order; shards as photos.
    pack("c", {"--shuffle", "3"});
    BOOST_TEST(listImages({file("c")}).fingerprint != listImages({file("a")}).fingerprint);
    must({LTRP_TOOL, "pack", file("a"), "--out", file("d")});
    BOOST_TEST((bytes("d/shard-000000.tar") == bytes("a/shard-000000.tar")));
}

BOOST_AUTO_TEST_CASE(a_shard_is_no_larger_than_wanted)
{
    for (int i = 0; i < 5; i++)
        writeText(file("images/large" + std::to_string(i) + ".png"), std::string(400000, static_cast<char>('a' + i)));
    pack("out", {"--shard-mib", "1"});
    BOOST_TEST(ToolFixture::namesIn(file("out")) == (std::vector<std::string>{"shard-000000.tar", "shard-000001.tar", "shard-000002.tar"}),
               boost::test_tools::per_element());
    for (const std::string& name : ToolFixture::namesIn(file("out")))
        BOOST_TEST(fs::file_size(file("out/" + name)) <= uintmax_t(1) << 20);
    const Dataset files = listImages({file("images")}), packed = listImages({file("out")});
    BOOST_REQUIRE(packed.paths.size() == files.paths.size());
    for (size_t i = 0; i < files.paths.size(); i++)
        BOOST_TEST((contents(packed, i) == readText(files.paths[i])));
}

BOOST_AUTO_TEST_CASE(names_follow_the_convention)
{
    fs::create_directories(file("other/b"));
    for (const char* name : {"p1.png", "p1.bmp", "my.photo.png"})
        fs::copy_file(file("images/p0.png"), file(std::string("other/b/") + name));
    fs::copy_file(file("images/p0.png"), file("other/plain"));
    writeText(file("list"), file("other/plain") + "\n../" + root.path().filename().string() + "/images/p2.png\n");
    must({LTRP_TOOL, "pack", file("images/b"), file("other/b"), file("list"), "--out", file("out")});
    std::set<std::string> names;
    std::string folder = file("other").substr(1);
    std::istringstream list(must({"tar", "-tf", file("out/shard-000000.tar")}));
    for (std::string line; std::getline(list, line);)
        names.insert(line);
    for (const std::string& name : {std::string("p1.png"), std::string("p1~2.bmp"), std::string("p1~3.png"), std::string("my_photo.png"),
                                   folder + "/plain.png", root.path().filename().string() + "/images/p2.png"})
        BOOST_TEST(names.count(name) == 1u, name);
    BOOST_TEST(listImages({file("out")}).paths.size() == 11u);
}

BOOST_AUTO_TEST_CASE(photos_are_reduced)
{
    must({LTRP_TOOL, "pack", ToolFixture::photoFolder(), file("images/p0.png"), "--side", "64", "--out", file("out")});
    const Dataset dataset = listImages({file("out")});
    BOOST_TEST(dataset.paths.size() == ToolFixture::photos().size() + 1);
    for (int i = 0; i < static_cast<int>(dataset.paths.size()); i++)
    {
        std::string reason;
        const cv::Mat image = readImage(dataset, i, reason);
        const bool small = has(dataset.paths[static_cast<size_t>(i)], "/p0.jpg");
        BOOST_TEST(std::min(image.rows, image.cols) == (small ? 40 : 64), dataset.paths[static_cast<size_t>(i)] << reason);
        const std::string start = contents(dataset, static_cast<size_t>(i)).substr(0, 2);
        BOOST_TEST((start == "\xff\xd8"));
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_done_is_said)
{
    ToolFixture::expectError({"pack", file("images"), "--out", file("images")}, 1, {"not an empty folder", "--out"});
    ToolFixture::expectError({"pack", file("images")}, 2, {"--out"});
    ToolFixture::expectError({"pack", file("images"), "--out", file("o"), "--side", "0"}, 2, {"--side"});
    ToolFixture::expectError({"pack", file("images"), "--out", file("o"), "--shard-mib", "0"}, 2, {"--shard-mib"});
    ToolFixture::expectError({"pack", file("none"), "--out", file("o")}, 1, {"no such file"});
    BOOST_TEST(!fs::exists(file("o")));
    fs::create_directories(file("some"));
    writeText(file("some/empty.png"), "");
    fs::copy_file(file("images/p0.png"), file("some/good.png"));
    const Outcome outcome = ToolFixture::tool({"pack", file("some"), "--out", file("o")});
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(has(outcome.err, "empty.png: the file is empty"));
    BOOST_TEST(has(outcome.out, "1 photos in 1 shard"));
    ToolFixture::expectError({"rank", file("o/shard-000000.tar")}, 1, {"is a shard", "unpack it"});
    fs::remove(file("some/good.png"));
    BOOST_TEST(ToolFixture::tool({"pack", file("some"), "--out", file("p")}).status == 1);
    BOOST_TEST(!fs::exists(file("p")));
}

BOOST_AUTO_TEST_CASE(an_interrupt_leaves_whole_shards)
{
    const std::string content(600000, 'x');
    fs::create_directories(file("many"));
    for (int i = 0; i < 300; i++)
        writeText(file("many/" + std::to_string(i) + ".png"), content);
    Process process({LTRP_TOOL, "pack", file("many"), "--out", file("out"), "--shard-mib", "1"});
    while (!fs::exists(file("out/shard-000003.tar")) && process.running())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    process.signal(SIGINT);
    const Outcome outcome = process.wait();
    BOOST_TEST((outcome.status == 130 || outcome.status == 0));
    const std::vector<std::string> names = ToolFixture::namesIn(file("out"));
    BOOST_TEST(names.size() >= 4u);
    for (const std::string& name : names)
    {
        const image::ShardIndex index = image::readShard(file("out/" + name));
        BOOST_TEST(index.photos.size() == 1u);
        BOOST_TEST(index.skipped.size() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(score_maps_of_shards_are_those_of_the_files)
{
    for (int i = 12; i < 20; i++)   // the teacher `features` wants 16
        cv::imwrite(file("images/q" + std::to_string(i) + ".png"), picture(i));
    pack("shards");
    const auto score = [&](const std::string& data, const std::string& out)
    {
        must({LTRP_TOOL, "score", file(data), "--mae", ToolFixture::models().mae, "--teacher",
              "features+spectral", "--targets", file(out)});
    };
    score("images", "a");
    score("shards", "b");
    must({"diff", "-r", file("a"), file("b")});
}

BOOST_AUTO_TEST_CASE(parts_of_score_maps_are_those_of_one_process)
{
    std::string list;
    for (int i = 0; i < 513; i++)   // two files of maps
        list += file("images/p" + std::to_string(i % 2 ? 2 : 4) + ".png") + "\n";
    writeText(file("list"), list);
    const auto score = [&](const std::string& out, const std::string& part)
    {
        std::vector<std::string> command{"score", file("list"), "--mae", ToolFixture::models().mae, "--teacher", "spectral",
                                         "--targets", file(out)};
        if (!part.empty())
            command.insert(command.end(), {"--part", part});
        return command;
    };
    BOOST_TEST(ToolFixture::tool(score("whole", "")).status == 0);
    BOOST_TEST(ToolFixture::tool(score("parts", "2/2")).status == 0);
    BOOST_TEST(ToolFixture::namesIn(file("parts")).size() == 1u);
    BOOST_TEST(ToolFixture::tool(score("parts", "1/2")).status == 0);
    BOOST_TEST(has(ToolFixture::tool(score("parts", "2/2")).err, "1 of 1 files are there already"));
    must({"diff", "-r", file("whole"), file("parts")});
    for (const char* wrong : {"3/2", "0/2", "1/2x", "x", "1"})
        ToolFixture::expectError(score("parts", wrong), 2, {"--part", "expected I/N"});
    ToolFixture::expectError({"score", file("list"), "--part", "1/2"}, 2, {"--part goes with --targets"});
}

BOOST_AUTO_TEST_SUITE_END()
