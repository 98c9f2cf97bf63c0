// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include <boost/test/unit_test.hpp>

#include "io/descriptor.hpp"
#include "shard_fixture.hpp"
#include "tool_fixture.hpp"

#include <csignal>
#include <set>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>

using namespace cv::ltrp;
using namespace cv::ltrp::train;
using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

struct PackFixture : ShardFixture
{
    std::string pack(const std::string& out, const std::vector<std::string>& more = {}) const
    {
        std::vector<std::string> command{LTRP_TOOL, "pack", file("images"), "--out", file(out)};
        command.insert(command.end(), more.begin(), more.end());
        must(command);
        return file(out);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_pack, PackFixture)

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

BOOST_AUTO_TEST_CASE(a_name_that_gets_an_extension_keeps_a_key_of_its_own)
{
    cv::imwrite(file("0001.jpg"), picture(1));
    fs::copy_file(file("0001.jpg"), file("0001.orig"));
    writeText(file("list"), "0001.orig\n0001.jpg\n");
    must({LTRP_TOOL, "pack", file("list"), "--out", file("out")});
    const std::string names = must({"tar", "-tf", file("out/shard-000000.tar")});
    BOOST_TEST(has(names, "0001_orig.jpeg\n"), names);
    BOOST_TEST(has(names, "0001.jpg\n"), names);
    BOOST_TEST(listImages({file("out")}).paths.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_folder_into_which_another_process_packs_is_refused)
{
    fs::create_directories(file("out"));
    const cv::ltrp::io::Descriptor other(::open(file("out").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    BOOST_REQUIRE(::flock(other.fd, LOCK_EX | LOCK_NB) == 0);
    ToolFixture::expectError({"pack", file("images"), "--out", file("out")}, 1, {"another process", "--out"});
    BOOST_TEST(fs::is_empty(file("out")));
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
    for (int i = 12; i < 20; i++)   // the teacher `features` needs 16
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

    // A training on the maps uses whole photos, unless a crop is requested.
    const auto smallestCrop = [&](const std::string& out, std::vector<std::string> more)
    {
        more.insert(more.begin(), {LTRP_TOOL, "train", file("shards"), "--targets", file("b"), "--out", file(out), "--embed-dim", "24",
                                   "--depth", "1", "--heads", "2", "--epochs", "1", "--threads", "1"});
        must(more);
        const std::string log = readText(file(out + "/log.jsonl"));
        return ToolFixture::Json::parse(log.substr(0, log.find('\n'))).at("options").at("scale-min").get<std::string>();
    };
    BOOST_TEST(smallestCrop("whole", {}) == "1");
    BOOST_TEST(smallestCrop("crops", {"--scale-max", "0.9"}) == "0.2");
}

BOOST_AUTO_TEST_CASE(score_maps_without_some_photos_are_kept_and_the_exit_status_says_so)
{
    writeText(file("images/damaged.png"), "no picture");
    const auto score = [&]
    {
        return ToolFixture::tool({"score", file("images"), "--mae", ToolFixture::models().mae, "--teacher", "spectral",
                                  "--targets", file("t")});
    };
    Outcome outcome = score();
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(has(outcome.err, "damaged.png"), outcome.err);
    BOOST_TEST(has(outcome.out, "score maps of 13 images"), outcome.out);
    BOOST_TEST(fs::exists(file("t/targets-00000.safetensors")));

    // A shard and a folder that are skipped, also if all maps already exist.
    fs::remove_all(file("t"));
    fs::remove(file("images/damaged.png"));
    writeText(file("images/x.tar.gz"), std::string("\x1f\x8b", 2) + std::string(600, 'z'));
    fs::create_directory_symlink(file("images"), file("images/b/back"));
    for (int run = 0; run < 2; run++)
    {
        outcome = score();
        BOOST_TEST(outcome.status == 1);
        BOOST_TEST(has(outcome.err, "x.tar.gz"), outcome.err);
        BOOST_TEST(has(outcome.err, "a link back"), outcome.err);
        BOOST_TEST(has(outcome.out, "score maps of 12 images"), outcome.out);
    }
}

BOOST_AUTO_TEST_CASE(score_maps_of_a_shard_that_changes_meanwhile_are_not_written)
{
    pack("shards");
    const std::string shard = file("shards/shard-000000.tar");
    Process process({LTRP_TOOL, "score", shard, "--mae", ToolFixture::models().mae, "--masks", "100", "--targets",
                     file("t")});
    while (!fs::exists(file("t")) && process.running())   // created once the shard is listed
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    fs::last_write_time(shard, fs::last_write_time(shard) + std::chrono::seconds(1));
    const Outcome outcome = process.wait();
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.out == "");
    BOOST_TEST(has(outcome.err, "shard-000000.tar: was changed while"), outcome.err);
    BOOST_TEST(ToolFixture::namesIn(file("t")).empty());
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
