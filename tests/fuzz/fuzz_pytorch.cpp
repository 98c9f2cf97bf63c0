// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../checkpoint_builder.hpp"
#include "fuzz.hpp"
#include "io/tensor_readers.hpp"
#include "read_everything.hpp"

using namespace checkpoints;
using namespace cv::ltrp::io;

namespace
{

const std::string storageBytes = "012345678901234567890123";

}  // namespace

/// The first byte selects the form: after an even one follows an archive, after an odd one a pickle, which is put into
/// a valid archive (within an archive, its checksum would reject nearly every changed pickle).
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size == 0)
        return -1;
    std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    if (data[0] & 1u)
        bytes = checkpoint(bytes, {storageBytes, std::string(2, '\0')});
    try
    {
        readEverything(*readTensorFile(FileBytes::copy("input", bytes.data(), bytes.size())));
        return 0;
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
}

std::vector<std::string> fuzzSeeds()
{
    using namespace pickle;
    const std::string halves = tensor(storage("HalfStorage", "1", 1), 0, {1}, {1});
    const std::string transposed = tensor(storage("FloatStorage", "0", 6), 0, {3, 2}, {1, 3});
    const std::string settings = global("argparse", "Namespace") + ")\x81" + dict({{"a", "\x88"}}) + "b";
    const std::vector<std::string> pickles{
        program(dict({{"model", dict({{"w", floats("0", {2, 3})}, {"h", halves}})}, {"args", settings}})),
        program(dict({{"w", transposed}, {"n", dict({{"x", "N"}, {"epoch", "K\x07"}})}})),
        program("}q\x01(" + text("a") + "]q\x02" + text("b") + "h\x02(K\x01K\x02" "eu"),
        // The same content in the shorter forms that picklers write.
        program("}q\x01X\x01" + std::string(3, '\0') + "w" + global("torch._utils", "_rebuild_tensor_v2") +
                "((X\x07" + std::string(3, '\0') + "storage" + global("torch", "FloatStorage") + "X\x01" +
                std::string(3, '\0') + "0X\x03" + std::string(3, '\0') + "cpuK\x06tQK\x01K\x05\x85K\x01\x85\x89" +
                global("collections", "OrderedDict") + ")RtRs"),
    };
    ArchiveOptions zip64;
    zip64.zip64 = true;
    std::vector<std::string> seeds;
    for (const std::string& bytes : pickles)
        seeds.push_back("\x01" + bytes);
    const std::string even = "P";
    std::vector<Entry> entries{{"a/data.pkl", pickles[1]}, {"a/data/0", storageBytes}};
    seeds.push_back(even + archive(entries));
    seeds.push_back(even + archive(entries, zip64));
    entries[1].zip64 = true;
    seeds.push_back(even + archive(entries));
    entries[1].zip64 = false;
    entries[1].flags = 8;
    seeds.push_back(even + archive(entries));
    return seeds;
}
