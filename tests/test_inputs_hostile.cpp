// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "onnx_cases.hpp"
#include "tool_fixture.hpp"

#include "../modules/ltrp/src/io/atomic_file.hpp"
#include "../modules/ltrp/src/io/file_bytes.hpp"
#include "../modules/ltrp/src/io/model_file.hpp"
#include "../modules/ltrp/src/io/tensor_file.hpp"
#include "../modules/ltrp/src/train/loader.hpp"

#include <opencv2/imgcodecs.hpp>

#include <csignal>
#include <thread>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace
{

namespace fs = std::filesystem;
using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::writeText;

/// Limits the tool's address space: a file that makes it allocate gigabytes fails the test with a message.
class AddressSpace
{
public:
    explicit AddressSpace(rlim_t bytes)
    {
        getrlimit(RLIMIT_AS, &before_);
        rlimit limit = before_;
        limit.rlim_cur = bytes;
        setrlimit(RLIMIT_AS, &limit);
    }
    ~AddressSpace() { setrlimit(RLIMIT_AS, &before_); }

private:
    rlimit before_;
};

rlim_t addressSpaceNow()
{
    std::ifstream file("/proc/self/statm");
    rlim_t pages = 0;
    file >> pages;
    return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

/// Thread stacks so large that only few threads fit into the address space, while images still do.
class LargeStacks
{
public:
    static const rlim_t bytes = rlim_t(1) << 30;

    LargeStacks()
    {
        pthread_getattr_default_np(&before_);
        pthread_attr_t large;
        pthread_attr_init(&large);
        pthread_attr_setstacksize(&large, bytes);
        BOOST_REQUIRE(pthread_setattr_default_np(&large) == 0);
        pthread_attr_destroy(&large);
    }
    ~LargeStacks()
    {
        pthread_setattr_default_np(&before_);
        pthread_attr_destroy(&before_);
    }
    LargeStacks(const LargeStacks&) = delete;
    LargeStacks& operator=(const LargeStacks&) = delete;

private:
    pthread_attr_t before_;
};

struct HostileFixture : ToolFixture
{
    static std::string hostile(const std::string& name)
    {
        return std::string(LTRP_SOURCE_DIR) + "/tests/data/cases/hostile/" + name;
    }

    /// Expects one line that names the file and the reason, within the memory that runs on valid files need.
    void refused(const std::vector<std::string>& command, const std::vector<std::string>& parts) const
    {
        const AddressSpace limit(rlim_t(3) << 30);
        expectError(command, 1, parts);
    }

    std::string deep(const std::string& around) const
    {
        return around + std::string(100000, '[') + std::string(100000, ']');
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(inputs_hostile, HostileFixture)

BOOST_AUTO_TEST_CASE(foreign_graphs_are_not_run)
{
    for (const char* name : {"onnx-conv-group0.onnx", "onnx-resize-bomb.onnx"})
        refused({"rank", photos()[0], "--model", hostile(name)}, {name, "ltrp convert", "--trusted"});
    // A file written by convert is accepted; with one byte of its structure changed it is not.
    const std::string file = folder.file("r.onnx");
    expectOk({"convert", models().ranker, file});
    const std::string good = expectOk({"rank", photos()[0], "--model", file});
    const std::string bytes = readText(file);
    for (const char* word : {"Softmax", "blocks.0.attn.q.split.shape", "patch_embed"})
    {
        std::string changed = bytes;
        const size_t at = changed.rfind(word);
        BOOST_REQUIRE(at != std::string::npos);
        changed[at] = 'X';
        writeText(folder.file("x.onnx"), changed);
        refused({"rank", photos()[0], "--model", folder.file("x.onnx")}, {"x.onnx", "--trusted"});
    }
    // A shape in a constant determines how much memory is allocated.
    std::string changed = bytes;
    const std::string shape("\x10\x07\x42\x0dpatches.shape\x4a\x18", 19);
    const size_t at = changed.find(shape);
    BOOST_REQUIRE(at != std::string::npos);
    changed[at + shape.size() + 8]++;
    writeText(folder.file("x.onnx"), changed);
    refused({"rank", photos()[0], "--model", folder.file("x.onnx")}, {"x.onnx", "not those of the geometry"});
    BOOST_TEST(expectOk({"rank", photos()[0], "--model", file, "--trusted"}) == good);
}

BOOST_AUTO_TEST_CASE(images_are_measured_before_they_are_decoded)
{
    refused({"rank", hostile("bmp-rle8-30000.bmp"), "--model", models().ranker}, {"30000x30000", "--max-pixels"});
    refused({"rank", hostile("png-1bit-26000.png"), "--model", models().ranker}, {"26000x26000", "--max-pixels"});
    refused({"rank", hostile("bmp-rle8-30000.bmp"), "--model", models().ranker, "--max-pixels", "2000000000"}, {"truncated BMP"});
    expectError({"rank", photos()[0], "--model", models().ranker, "--max-pixels", "1000"}, 1, {"more than the limit of 1000"});
    fs::create_directories(folder.file("data"));
    fs::copy_file(hostile("png-1bit-26000.png"), folder.file("data/large.png"));
    const AddressSpace limit(rlim_t(3) << 30);
    const Outcome outcome = tool({"pretrain", folder.file("data"), "--out", folder.file("out"), "--preset", "tiny", "--size", "32",
                                  "--batch", "1", "--epochs", "1"});
    BOOST_TEST(outcome.status == 1);
    BOOST_TEST(outcome.err.find("26000x26000") != std::string::npos, outcome.err);

    // The header of each format is checked: the image has one byte more than the limit.
    const cv::Mat image(40, 50, CV_8UC3, cv::Scalar(1, 2, 3));
    for (const char* name : {"a.png", "a.jpg", "a.bmp", "a.webp", "a.tiff", "a.ppm", "a.jp2", "a.ras", "a.hdr"})
    {
        if (!cv::haveImageWriter(name))
            continue;
        cv::Mat floats;
        image.convertTo(floats, CV_32F, 1 / 255.0);
        BOOST_REQUIRE(cv::imwrite(folder.file(name), std::string(name) == "a.hdr" ? floats : image));
        expectError({"rank", folder.file(name), "--model", models().ranker, "--max-pixels", "1999"}, 1, {"50x40 pixels"});
        expectOk({"rank", folder.file(name), "--model", models().ranker, "--max-pixels", "2000"});
    }
}

BOOST_AUTO_TEST_CASE(depth_and_repetition_in_files)
{
    refused({"info", hostile("pth-name-bomb.pth")}, {"pth-name-bomb.pth"});
    const std::string metadata = deep("{\"format\":") + "}";
    cv::ltrp::io::writeSafetensors(folder.file("deep.safetensors"), {}, {{"ltrp", metadata}});
    for (const char* command : {"info", "rank"})
        refused(std::string(command) == "info" ? std::vector<std::string>{"info", folder.file("deep.safetensors")}
                                               : std::vector<std::string>{"rank", photos()[0], "--model", folder.file("deep.safetensors")},
                {"deep.safetensors", "at most 64 levels"});
    fs::copy(std::string(LTRP_SOURCE_DIR) + "/tests/data/cases/weights/hf_new", folder.file("hf"));
    for (const char* name : {"config.json", "preprocessor_config.json"})
    {
        const fs::path file = folder.path() / "hf" / name;
        const std::string before = fs::exists(file) ? readText(file.string()) : std::string();
        writeText(file.string(), deep("{\"model_type\":") + "}");
        refused({"info", folder.file("hf")}, {name, "at most 64 levels"});
        before.empty() ? static_cast<void>(fs::remove(file)) : writeText(file.string(), before);
    }
    expectOk({"info", folder.file("hf")});
}

BOOST_AUTO_TEST_CASE(many_patches_take_no_memory_by_their_square)
{
    cv::ltrp::io::saveModel(folder.file("fine.safetensors"), untrainedRanker(1024, 8, {8, 1, 2, 16}));
    const AddressSpace limit(rlim_t(2) << 30);   // one matrix of 16384 x 16384 floats has 1 GiB
    expectOk({"rank", photos()[0], photos()[1], "--model", folder.file("fine.safetensors"), "--threads", "2"});
}

BOOST_AUTO_TEST_CASE(nothing_from_a_file_steers_the_terminal)
{
    const Outcome outcome = tool({"info", hostile("escape-provenance-key.safetensors")});
    for (const std::string& text : {outcome.out, outcome.err})
        for (const char c : text)
            BOOST_TEST((c == '\n' || static_cast<unsigned char>(c) >= 0x20));
    BOOST_TEST((outcome.out + outcome.err).find("\\x1b") != std::string::npos);

    using cv::ltrp::io::harmless;
    BOOST_TEST(harmless("a\x1b]0;x\x07" "b") == "a\\x1b]0;x\\x07b");
    BOOST_TEST(harmless("\xe2\x80\xae" "abc") == "\\xe2\\x80\\xae" "abc");   // right to left
    BOOST_TEST(harmless("\xc2\x9b" "31m") == "\\xc2\\x9b" "31m");             // C1: CSI
    BOOST_TEST(harmless("caf\xc3\xa9 \xe6\x97\xa5") == "caf\xc3\xa9 \xe6\x97\xa5");
    BOOST_TEST(harmless("\xff\xc3") == "\\xff\\xc3");

    const std::string name = folder.file("x\x1b[31m.jpg");
    fs::copy_file(photos()[0], name);
    BOOST_TEST(expectOk({"rank", name, "--model", models().ranker}).find("x\\x1b[31m.jpg") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(special_files_and_replaced_ones)
{
    BOOST_REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
    fs::create_directories(folder.file("case"));
    BOOST_REQUIRE(mkfifo(folder.file("case/case.json").c_str(), 0600) == 0);
    const Outcome golden = tool({"golden", folder.file("case")});   // reports failures among its results
    BOOST_TEST(golden.status == 1);
    BOOST_TEST(golden.out.find("case.json: is not a regular file") != std::string::npos, golden.out);
    expectError({"pretrain", folder.file("pipe"), "--out", folder.file("o")}, 1, {"not a regular file"});
    expectError({"rank", "/dev/zero", "--model", models().ranker}, 1, {"not a regular file"});

    const std::string file = folder.file("kept"), link = folder.file("link");
    writeText(file, "old");
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    fs::create_symlink(file, link);
    cv::ltrp::io::writeTextFile(link, "new");
    BOOST_TEST(readText(file) == "new");
    BOOST_TEST(fs::is_symlink(link));
    struct stat info;
    BOOST_REQUIRE(stat(file.c_str(), &info) == 0);
    BOOST_TEST((info.st_mode & 07777) == 0640u);
}

BOOST_AUTO_TEST_CASE(text_goes_into_devices_and_pipes)
{
    const std::vector<std::string> rank{"rank", photos()[0], "--model", models().ranker};
    const auto with = [&](const std::vector<std::string>& more)
    {
        std::vector<std::string> args = rank;
        args.insert(args.end(), more.begin(), more.end());
        return tool(args);
    };
    for (const char* option : {"--json", "--jsonl"})
    {
        const Outcome nowhere = with({option, "/dev/null"}), there = with({option, "/dev/stdout"}), plain = with({option, "-"});
        BOOST_TEST(nowhere.status == 0, nowhere.err);
        BOOST_TEST(nowhere.out == "");
        BOOST_TEST(there.out == plain.out);
        BOOST_TEST(with({option, "/dev/stderr"}).err == plain.out);

        const std::string pipe = folder.file(std::string("pipe") + option);
        BOOST_REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
        expectError({rank[0], rank[1], rank[2], rank[3], option, pipe}, 1, {pipe, "no process reads it"});
        const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
        BOOST_REQUIRE(reader >= 0);
        BOOST_TEST(with({option, pipe}).status == 0);
        std::string text(1 << 16, '\0');
        text.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(reader, &text[0], text.size()))));
        ::close(reader);
        BOOST_TEST(text == plain.out);
        BOOST_TEST(fs::is_fifo(pipe));
    }
    // Meanwhile photos are decoded ahead, with stderr redirected.
    std::string list;
    for (int i = 0; i < 150; i++)
        list += photos()[0] + "\n";
    testing_tools::writeText(folder.file("many.txt"), list);
    const std::string lines = tool({"rank", folder.file("many.txt"), "--model", models().ranker, "--batch", "1", "--threads", "2",
                                    "--jsonl", "/dev/stderr"}).err;
    BOOST_TEST(std::count(lines.begin(), lines.end(), '{') == 150);
    BOOST_TEST(fs::is_character_file("/dev/null"));
    BOOST_TEST(with({"--json", folder.file("same"), "--jsonl", folder.file("same")}).status == 2);
    BOOST_TEST(!fs::exists(folder.file("same")));
    expectError({rank[0], rank[1], rank[2], rank[3], "--overlay", "/dev/null"}, 2, {"/dev/null"});
}

BOOST_AUTO_TEST_CASE(a_pipe_whose_reader_has_gone_ends_the_run)
{
    const std::string pipe = folder.file("pipe");
    BOOST_REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    {
        testing_tools::Process process({LTRP_TOOL, "score", photos()[0], "--mae", models().mae, "--masks", "1000000",
                                        "--json", pipe});   // would take hours
        ::close(::open(pipe.c_str(), O_RDONLY));   // waits for the tool to open it
        const Outcome outcome = process.wait();
        BOOST_TEST(outcome.status == 1);
        BOOST_TEST(outcome.err.find(pipe + ": cannot be written: no process reads it any more") != std::string::npos, outcome.err);
    }
    // JSON lines: the first line that cannot be written is the last, with one message instead of one per image.
    std::string list;
    for (int i = 0; i < 150; i++)
        list += photos()[0] + "\n";
    testing_tools::writeText(folder.file("many.txt"), list);
    testing_tools::Process process({LTRP_TOOL, "rank", folder.file("many.txt"), "--model", models().ranker, "--jsonl", pipe});
    ::close(::open(pipe.c_str(), O_RDONLY));
    const Outcome outcome = process.wait();
    BOOST_TEST(outcome.status == 1);
    const std::string complaint = ToolFixture::withoutProgress(outcome.err);
    BOOST_TEST(complaint.find("ltrp rank: " + pipe + ": cannot be written: ") == 0u, complaint);
    BOOST_TEST(std::count(complaint.begin(), complaint.end(), '\n') == 1, complaint);
}

BOOST_AUTO_TEST_CASE(no_room_for_reading_threads)
{
    cv::ltrp::train::Dataset dataset;
    dataset.paths = photos();
    cv::ltrp::train::LoaderOptions options;
    options.input.imageSize = 32;
    options.input.patchSize = 8;
    options.batch = 8;
    options.workers = 0;
    const auto first = [&]
    {
        cv::ltrp::train::Loader loader(dataset, options, 0, [](const std::string&, const std::string&) {});
        return loader.next().pixels;
    };
    const std::vector<float> expected = first();   // starts OpenCV's own threads, too
    options.workers = 256;
    {
        const LargeStacks stacks;
        const AddressSpace limit(addressSpaceNow() + 3 * LargeStacks::bytes + LargeStacks::bytes / 2);
        BOOST_TEST((first() == expected));   // with fewer threads
    }
    {
        const LargeStacks stacks;
        const AddressSpace limit(addressSpaceNow() + LargeStacks::bytes / 2);
        BOOST_CHECK_EXCEPTION(first(), cv::Exception, [](const cv::Exception& error)
                              { return error.err.find("expected room for one, or workers 0") != std::string::npos; });
    }
}

BOOST_AUTO_TEST_CASE(signals_end_a_training_soon_and_it_goes_on_to_the_same_bytes)
{
    const auto command = [&](const std::string& out, bool resume)
    {
        std::vector<std::string> args{LTRP_TOOL, "pretrain", photoFolder(), "--out", out, "--size", "64", "--patch", "16",
                                      "--embed-dim", "48", "--depth", "2", "--heads", "2", "--decoder-embed-dim", "32",
                                      "--decoder-depth", "1", "--decoder-heads", "2", "--batch", "8", "--accumulate", "8", "--epochs", "20",
                                      "--threads", "1", "--checkpoint-every", "5"};
        if (resume)
            args.push_back("--resume");
        return args;
    };
    BOOST_REQUIRE(testing_tools::runProcess(command(folder.file("whole"), false)).status == 0);
    int stops = 0;
    bool done = false;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGINT, SIGTERM, SIGHUP})
    {
        if (done)
            break;
        Process process(command(folder.file("pieces"), stops > 0));
        while (process.running() && !process.catches(signal))
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::this_thread::sleep_for(std::chrono::milliseconds(60 + 37 * stops));
        process.signal(signal);
        const Outcome outcome = process.wait();
        done = outcome.status == 0;
        if (done)
            break;
        BOOST_TEST(outcome.status == 128 + signal, outcome.err);
        if (outcome.err.find("updates of") != std::string::npos)
            BOOST_TEST(outcome.err.find(stops > 0 ? "to go on: the same command again" : "to go on: the same command with --resume") !=
                           std::string::npos, outcome.err);
        stops++;
    }
    BOOST_TEST(stops > 0);
    while (!done)
        done = testing_tools::runProcess(command(folder.file("pieces"), true)).status == 0;
    BOOST_TEST((readText(folder.file("pieces/final.safetensors")) == readText(folder.file("whole/final.safetensors"))));
}

BOOST_AUTO_TEST_SUITE_END()
