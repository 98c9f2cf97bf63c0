// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "checkpoint_builder.hpp"
#include "io/checksum.hpp"
#include "io/tensor_file.hpp"
#include "io/tensor_readers.hpp"
#include "io/zip_archive.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace checkpoints;
using namespace cv::ltrp::io;

namespace
{

const std::string fileName = "checkpoint.pth";
const std::string sixFloats = "012345678901234567890123";

std::shared_ptr<const TensorFile> parse(const std::string& bytes)
{
    return readTensorFile(FileBytes::copy(fileName, bytes.data(), bytes.size()));
}

void expectRefused(const std::string& bytes, const std::string& reason)
{
    std::string message = "it was read without an error";
    try
    {
        parse(bytes);
    }
    catch (const cv::Exception& error)
    {
        message = error.err;
    }
    BOOST_TEST(message.compare(0, fileName.size() + 1, fileName + ":") == 0, "message: " << message);
    BOOST_TEST(message.find(reason) != std::string::npos, "message: " << message << "; expected in it: " << reason);
}

/// A pickle with this program in an otherwise valid checkpoint.
std::string withProgram(const std::string& opcodes) { return checkpoint(pickle::program(opcodes), {sixFloats}); }

const std::string soundPickle =
    pickle::program(pickle::dict({{"w", pickle::floats("0", {2, 3})}, {"epoch", "K\x05"}}));
const std::vector<Entry> soundEntries{{"a/data.pkl", soundPickle}, {"a/data/0", sixFloats}};

bool isSound(const TensorFile& file)
{
    return file.tensors().size() == 1 && file.tensors()[0].name == "w" && file.tensors()[0].dtype == DType::F32 &&
           file.tensors()[0].shape == std::vector<int64_t>{2, 3} && file.tensors()[0].bytes == sixFloats.size() &&
           std::memcmp(file.tensors()[0].data, sixFloats.data(), sixFloats.size()) == 0 &&
           file.metadata() == std::map<std::string, std::string>{{"epoch", "5"}};
}

/// The valid archive with one entry (the storage) changed.
std::string withStorageEntry(const std::function<void(Entry&)>& change)
{
    std::vector<Entry> entries = soundEntries;
    change(entries[1]);
    return archive(entries);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(PytorchPickle)

// Pickles that would run a command. The names are rejected when they are read, before any object is built.
BOOST_AUTO_TEST_CASE(pickleThatRunsCodeIsRefusedByName)
{
    const std::string command = pickle::tuple({pickle::text("touch hacked")});
    for (const auto& name : std::vector<std::pair<std::string, std::string>>{
             {"os", "system"}, {"posix", "system"}, {"nt", "system"}, {"subprocess", "Popen"}, {"builtins", "eval"},
             {"__builtin__", "eval"}, {"builtins", "exec"}, {"builtins", "getattr"}, {"builtins", "__import__"},
             {"importlib", "import_module"}, {"torch", "load"}, {"torch.hub", "load"}, {"numpy", "load"},
             {"collections", "namedtuple"}, {"argparse", "Namespace.__init__"}, {"operator", "attrgetter"}})
    {
        const std::string reason = "refers to '" + name.first + "." + name.second + "'";
        expectRefused(withProgram(pickle::call(pickle::global(name.first, name.second), command)), reason);
        const std::string onStack = pickle::text(name.first) + pickle::text(name.second) + "\x93";
        expectRefused(withProgram(onStack + command + "R"), reason);
        expectRefused(withProgram(pickle::dict({{"w", pickle::global(name.first, name.second)}})), reason);
    }
}

BOOST_AUTO_TEST_CASE(opcodesThatCallByOtherMeansAreRefused)
{
    const std::string refused = "which dictionaries of tensors do not need";
    expectRefused(withProgram("(" + pickle::text("touch hacked") + "ios\nsystem\n"), "opcode 'i'");
    expectRefused(withProgram("(" + pickle::global("argparse", "Namespace") + "o"), "opcode 'o'");
    for (const char opcode : {'\x82', '\x83', '\x84', '\x92', '\x96', '\x97', '\x98', 'P', 'S', 'V', 'I', 'L', 'F',
                              'g', 'p', '2', '\0', '\xff'})
        expectRefused(withProgram(std::string(1, opcode) + "1\n"), refused);
}

BOOST_AUTO_TEST_CASE(allowedNamesCannotBeMisused)
{
    const std::string storageType = pickle::global("torch", "FloatStorage");
    expectRefused(withProgram(pickle::call(storageType, ")")), "calls 'torch.FloatStorage'");
    expectRefused(withProgram(pickle::call("K\x01", ")")), "calls an int with a tuple");
    expectRefused(withProgram(pickle::call(pickle::global("argparse", "Namespace"), "K\x01")), "with an int");
    expectRefused(withProgram("K\x01}b"), "gives attributes to an int");
    expectRefused(withProgram(pickle::global("argparse", "Namespace") + "}b"), "gives attributes to a class");
    expectRefused(withProgram("}K\x01" "a"), "adds items to a dict");
    expectRefused(withProgram("]K\x01K\x01s"), "adds items to a list");
    expectRefused(withProgram("K\x01Q"), "refers to storage by an int");
    expectRefused(withProgram(")Q"), "too few arguments");
    const std::string zero = pickle::text("0"), cpu = pickle::text("cpu");
    expectRefused(withProgram(pickle::tuple({pickle::text("module"), storageType, zero, cpu, "K\x06"}) + "Q"),
                  "a storage that is none");
    const std::string rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
    expectRefused(withProgram(pickle::call(rebuild, ")")), "makes a tensor from too few arguments");
    expectRefused(withProgram(pickle::call(rebuild, pickle::tuple({"K\x01", "K\x01", ")", ")"}))),
                  "makes a tensor from an int where a storage is expected");
    expectRefused(withProgram(pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                                           pickle::tuple({"N", "\x88", "}"}))), "a parameter from None");
    expectRefused(withProgram(pickle::call(pickle::global("collections", "OrderedDict"), "]K\x01" "a\x85")),
                  "things that are no pairs");
}

BOOST_AUTO_TEST_CASE(stackUnderflowIsRefused)
{
    const std::string reason = "takes more from the stack than is on it";
    for (const std::string opcodes : {"0", "a", "s", "R", "b", "Q", "\x85", "\x86", "\x87", "\x93", "\x81", "q\x01",
                                      "r\1\1\1\1", "\x94", "]a", "}K\x01s", "K\x01R", "K\x01\x86"})
        expectRefused(withProgram(opcodes), reason);
    // Opcodes must not reach below a mark, even if there are values.
    for (const std::string opcodes : {"K\x01(0", "K\x01(\x85", "}K\x01(K\x01s", "](K\x01(a", "K\x01(q\x01"})
        expectRefused(withProgram(opcodes), reason);
}

BOOST_AUTO_TEST_CASE(missingMarksAreRefused)
{
    for (const std::string opcodes : {"t", "]K\x01" "e", "}u", "1", "l", "d", "\x91", "\x90"})
        expectRefused(withProgram(opcodes), "looks for a mark that is not there");
    expectRefused(withProgram("}(K\x01u"), "a key without a value");
    expectRefused(withProgram("(K\x01" "d"), "a key without a value");
}

BOOST_AUTO_TEST_CASE(badMemoIsRefused)
{
    const std::string reason = "recalls an object that it never stored";
    expectRefused(withProgram("h\x01"), reason);
    expectRefused(withProgram("}q\x01h\x02"), reason);
    expectRefused(withProgram(std::string("}\x94h\x01")), reason);
    expectRefused(withProgram("j\xff\xff\xff\xff"), reason);
}

BOOST_AUTO_TEST_CASE(cutOrOverlongPicklesAreRefused)
{
    for (size_t n = 0; n < soundPickle.size(); ++n)
        BOOST_CHECK_THROW(parse(checkpoint(soundPickle.substr(0, n), {sixFloats})), cv::Exception);
    expectRefused(checkpoint("", {}), "is cut off");
    expectRefused(checkpoint(soundPickle + "x", {sixFloats}), "goes on after its end");
    expectRefused(withProgram("}}"), "leaves a disordered stack");
    expectRefused(withProgram("}("), "leaves a disordered stack");
    expectRefused(withProgram(""), "leaves a disordered stack");
    expectRefused(checkpoint("\x80\x06}.", {}), "protocol above 5");
    const std::string huge(8, '\xff');
    for (const std::string& opcodes : {"X" + huge, "\x8d" + huge, std::string("\x8a\xff"), std::string("T\xff"),
                                       "\x8b" + huge, "\x95" + huge, std::string("cos"), std::string("cos\nsys")})
        expectRefused(withProgram(opcodes), "is cut off");
}

BOOST_AUTO_TEST_CASE(picklesThatMakeTooMuchAreRefused)
{
    expectRefused(withProgram(std::string(2000000, '}')), "makes too many objects");
    expectRefused(withProgram(std::string(10000000, 'N')), "piles up too many objects");
    expectRefused(withProgram(std::string(10000000, '(')), "piles up too many objects");
    expectRefused(withProgram("N" + std::string(2000000, '\x94')), "remembers too many objects");
    // A list of 4000 pairs, copied repeatedly by three bytes each.
    std::string pairs = "](";
    for (int i = 0; i < 4000; ++i)
        pairs += "NN\x86";
    pairs += "e\x85q\x01" "0" + pickle::global("collections", "OrderedDict") + "q\x02" "0";
    for (int i = 0; i < 2000; ++i)
        pairs += "h\x02h\x01R0";
    expectRefused(withProgram(pairs), "too many items");
    expectRefused(checkpoint(std::string((64u << 20) + 1, 'N'), {}), "more than 64 MiB");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(PytorchArchive)

BOOST_AUTO_TEST_CASE(crcIsThatOfZipFiles)
{
    std::string bytes;
    for (int i = 0; i < 300; ++i)
    {
        Crc32 crc;
        crc.add(bytes);
        BOOST_REQUIRE(crc.value() == crcOf(bytes));
        bytes += static_cast<char>(i * 89 + 7);
    }
}

BOOST_AUTO_TEST_CASE(formsOfSoundArchivesAreRead)
{
    BOOST_TEST(isSound(*parse(archive(soundEntries))));
    ArchiveOptions options;
    options.comment = "a comment";
    BOOST_TEST(isSound(*parse(archive(soundEntries, options))));
    options.zip64 = true;
    BOOST_TEST(isSound(*parse(archive(soundEntries, options))));
    BOOST_TEST(isSound(*parse(withStorageEntry([](Entry& entry) { entry.zip64 = true; }))));
    BOOST_TEST(isSound(*parse(withStorageEntry([](Entry& entry) { entry.flags = 8; }))));   // as torch.save does
    BOOST_TEST(isSound(*parse(archive({soundEntries[1], {"a/", ""}, soundEntries[0]}))));
}

BOOST_AUTO_TEST_CASE(truncatedAtEveryByteIsRefused)
{
    for (const bool zip64 : {false, true})
    {
        ArchiveOptions options;
        options.zip64 = zip64;
        const std::string bytes = archive(soundEntries, options);
        BOOST_TEST(isSound(*parse(bytes)));
        for (size_t n = 1; n < bytes.size(); ++n)
            BOOST_CHECK_THROW(parse(bytes.substr(0, n)), cv::Exception);
    }
}

BOOST_AUTO_TEST_CASE(everyByteChangedIsRefusedOrHarmless)
{
    for (const bool zip64 : {false, true})
    {
        ArchiveOptions options;
        options.zip64 = zip64;
        std::vector<Entry> entries = soundEntries;
        entries[0].zip64 = zip64;
        const std::string bytes = archive(entries, options);
        size_t refused = 0, same = 0;
        for (size_t at = 0; at < bytes.size(); ++at)
            for (const int change : {0x01, 0x08, 0x20, 0x80, 0xff})
            {
                std::string changed = bytes;
                changed[at] = static_cast<char>(changed[at] ^ change);
                bool sound = true;
                try
                {
                    sound = isSound(*parse(changed));
                    ++same;
                }
                catch (const cv::Exception&)
                {
                    ++refused;
                }
                BOOST_REQUIRE_MESSAGE(sound, "byte " << at << " changed by " << change);
            }
        BOOST_TEST(refused > 5 * same);   // time stamps, versions and attributes are ignored by readers
    }
}

BOOST_AUTO_TEST_CASE(damagedStorageIsRefusedByItsCrc)
{
    expectRefused(withStorageEntry([](Entry& entry) { entry.crc = 0x12345678; }), "its CRC-32 is");
}

BOOST_AUTO_TEST_CASE(compressedEntryIsRefused)
{
    expectRefused(withStorageEntry([](Entry& entry) { entry.method = 8; }), "'a/data/0' is compressed (method 8)");
    expectRefused(withStorageEntry([](Entry& entry) { entry.flags = 1; }), "'a/data/0' is encrypted");
}

BOOST_AUTO_TEST_CASE(lyingEntriesAreRefused)
{
    const std::string beyond = "more than lie before the directory", nowhere = "is not at byte";
    expectRefused(withStorageEntry([](Entry& entry) { entry.size = 25; }), beyond);
    expectRefused(withStorageEntry([](Entry& entry) { entry.size = 0xfffffffe; }), beyond);
    expectRefused(withStorageEntry([](Entry& entry) { entry.size = INT64_MAX; entry.zip64 = true; }), beyond);
    expectRefused(withStorageEntry([](Entry& entry) { entry.size = 0xffffffff; }), "no valid zip64 field");
    expectRefused(withStorageEntry([](Entry& entry) { entry.offset = 1; }), nowhere);
    expectRefused(withStorageEntry([](Entry& entry) { entry.offset = 0x7ffffff0; }), nowhere);
    expectRefused(withStorageEntry([](Entry& entry) { entry.offset = INT64_MAX; entry.zip64 = true; }), nowhere);
    expectRefused(withStorageEntry([](Entry& entry) { entry.offset = 0; }), "another name in its local header");
    expectRefused(withStorageEntry([](Entry& entry) { entry.localName = "a/data/1"; }), "another name");
    expectRefused(withStorageEntry([](Entry& entry) { entry.size = 20; }), "has 20 bytes");   // headers agree
}

BOOST_AUTO_TEST_CASE(entriesThatShareBytesAreRefused)
{
    const std::string inner = archive({soundEntries[1]});
    std::vector<Entry> entries = soundEntries;
    entries.push_back({"a/outer", inner});
    const std::string outside = archive(entries);
    // The directory's entry for the storage points at the copy within "a/outer".
    entries[1].offset = static_cast<int64_t>(outside.find(inner));
    expectRefused(archive(entries), "overlap");
    expectRefused(archive({soundEntries[0], soundEntries[1], soundEntries[1]}), "is there twice");
}

BOOST_AUTO_TEST_CASE(lyingEndRecordsAreRefused)
{
    for (const bool zip64 : {false, true})
    {
        const auto lying = [zip64](const std::function<void(ArchiveOptions&)>& change) {
            ArchiveOptions options;
            options.zip64 = zip64;
            change(options);
            return archive(soundEntries, options);
        };
        expectRefused(lying([](ArchiveOptions& o) { o.count = 3; }), "entries");
        expectRefused(lying([](ArchiveOptions& o) { o.count = 1; }), "bytes follow the last entry");
        expectRefused(lying([](ArchiveOptions& o) { o.count = 65000; }), "claims 65000 entries");
        expectRefused(lying([](ArchiveOptions& o) { o.directoryOffset = 0; }), "expected to end at byte");
        expectRefused(lying([](ArchiveOptions& o) { o.directoryOffset = 0xfffffff0; }), "expected to end at byte");
        expectRefused(lying([](ArchiveOptions& o) { o.directorySize = 0; }), "expected to end at byte");
        expectRefused(lying([](ArchiveOptions& o) { o.directorySize = 0xfffffff0; }), "expected to end at byte");
        expectRefused(lying([](ArchiveOptions& o) { o.trailing = "x"; }), "no end record");
    }
}

BOOST_AUTO_TEST_CASE(otherArchivesAreRefused)
{
    expectRefused(archive({{"a/readme.txt", "hello"}}), "without data.pkl");
    expectRefused(archive({{"data.pkl", soundPickle}}), "without data.pkl");
    expectRefused(archive({soundEntries[0], soundEntries[1], {"b/data.pkl", soundPickle}}), "two data.pkl");
    expectRefused(archive({soundEntries[0], soundEntries[1], {"a/byteorder", "big"}}), "byte order is not 'little'");
}

BOOST_AUTO_TEST_CASE(oldCheckpointsAreRefusedWithAdvice)
{
    const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    expectRefused(magic, "torch.save(torch.load(");
    std::string tar(512, '\0');
    tar.replace(0, 7, "pickle\n").replace(257, 5, "ustar");
    expectRefused(tar, "torch.save(torch.load(");
}

BOOST_AUTO_TEST_SUITE_END()
