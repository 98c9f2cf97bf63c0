// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_CHECKPOINT_BUILDER_HPP
#define LTRP_TESTS_CHECKPOINT_BUILDER_HPP

#include <boost/crc.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

/// Creates PyTorch checkpoints, valid and invalid ones, byte by byte and independently of the reader under test.
namespace checkpoints
{

inline std::string littleEndian(uint64_t value, int bytes)
{
    std::string out;
    for (int i = 0; i < bytes; ++i)
        out += i < 8 ? static_cast<char>(value >> (8 * i)) : '\0';
    return out;
}

/// Parts of a pickle: each function returns the opcodes that leave one value on the stack.
namespace pickle
{

inline std::string text(const std::string& value) { return "X" + littleEndian(value.size(), 4) + value; }
inline std::string integer(int64_t value) { return "\x8a\x08" + littleEndian(static_cast<uint64_t>(value), 8); }
inline std::string global(const std::string& module, const std::string& name)
{
    return "c" + module + "\n" + name + "\n";
}
inline std::string call(const std::string& callee, const std::string& arguments) { return callee + arguments + "R"; }

inline std::string tuple(std::initializer_list<std::string> items)
{
    std::string out = "(";
    for (const std::string& item : items)
        out += item;
    return out + "t";
}

inline std::string integers(const std::vector<int64_t>& values)
{
    std::string out = "(";
    for (const int64_t value : values)
        out += integer(value);
    return out + "t";
}

using Items = std::vector<std::pair<std::string, std::string>>;   // text key, opcodes of the value

inline std::string dict(const Items& items)
{
    std::string out = "}(";
    for (const auto& item : items)
        out += text(item.first) + item.second;
    return out + "u";
}

inline std::string storage(const std::string& type, const std::string& key, int64_t count)
{
    return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(count)}) + "Q";
}

inline std::string tensor(const std::string& storageOpcodes, int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides)
{
    return call(global("torch._utils", "_rebuild_tensor_v2"),
                tuple({storageOpcodes, integer(offset), integers(shape), integers(strides), "\x89",
                       call(global("collections", "OrderedDict"), ")")}));
}

/// A contiguous float tensor in a separate storage.
inline std::string floats(const std::string& key, const std::vector<int64_t>& shape)
{
    std::vector<int64_t> strides(shape.size());
    int64_t count = 1;
    for (size_t k = shape.size(); k-- > 0;)
    {
        strides[k] = count;
        count *= shape[k];
    }
    return tensor(storage("FloatStorage", key, count), 0, shape, strides);
}

inline std::string program(const std::string& opcodes) { return "\x80\x02" + opcodes + "."; }

}  // namespace pickle

struct Entry
{
    std::string name, data;
    unsigned method = 0, flags = 0;
    bool zip64 = false;   ///< sizes and offset in zip64 fields
    // Values in the headers, where they differ from the actual ones.
    int64_t size = -1, crc = -1, offset = -1;
    std::string localName{};   ///< empty: the same
};

struct ArchiveOptions
{
    bool zip64 = false;
    int64_t count = -1, directoryOffset = -1, directorySize = -1;   ///< wrong values in the end record
    std::string comment{}, trailing{};
};

inline uint32_t crcOf(const std::string& data)
{
    boost::crc_32_type crc;
    crc.process_bytes(data.data(), data.size());
    return crc.checksum();
}

inline std::string archive(const std::vector<Entry>& entries, const ArchiveOptions& options = {})
{
    std::string out, directory;
    for (const Entry& entry : entries)
    {
        const uint64_t size = entry.size >= 0 ? static_cast<uint64_t>(entry.size) : entry.data.size();
        const uint64_t offset = entry.offset >= 0 ? static_cast<uint64_t>(entry.offset) : out.size();
        const uint64_t crc = entry.crc >= 0 ? static_cast<uint64_t>(entry.crc) : crcOf(entry.data);
        const bool streamed = (entry.flags & 8u) != 0;
        const std::string localName = entry.localName.empty() ? entry.name : entry.localName;
        const std::string marker(4, '\xff');
        const std::string sizes64 = littleEndian(size, 8) + littleEndian(size, 8);
        const std::string localExtra = entry.zip64 ? littleEndian(1, 2) + littleEndian(16, 2) + sizes64 : "";
        const std::string extra = entry.zip64 ? littleEndian(1, 2) + littleEndian(24, 2) + sizes64 +
                                                    littleEndian(offset, 8) : "";
        const std::string head = littleEndian(20, 2) + littleEndian(entry.flags, 2) + littleEndian(entry.method, 2) +
                                 littleEndian(0, 4);
        const std::string size32 = entry.zip64 ? marker : littleEndian(size, 4);

        directory += "PK\1\2" + littleEndian(20, 2) + head + littleEndian(crc, 4) + size32 + size32 +
                     littleEndian(entry.name.size(), 2) + littleEndian(extra.size(), 2) + littleEndian(0, 10) +
                     (entry.zip64 ? marker : littleEndian(offset, 4)) + entry.name + extra;
        out += "PK\3\4" + head;
        out += streamed ? std::string(12, '\0') : littleEndian(crc, 4) + size32 + size32;
        out += littleEndian(localName.size(), 2) + littleEndian(localExtra.size(), 2) + localName + localExtra +
               entry.data;
        if (streamed)
            out += "PK\7\10" + littleEndian(crc, 4) + littleEndian(size, 4) + littleEndian(size, 4);
    }
    const uint64_t count = options.count >= 0 ? static_cast<uint64_t>(options.count) : entries.size();
    const uint64_t offset = options.directoryOffset >= 0 ? static_cast<uint64_t>(options.directoryOffset) : out.size();
    const uint64_t size = options.directorySize >= 0 ? static_cast<uint64_t>(options.directorySize) : directory.size();
    out += directory;
    if (options.zip64)
    {
        const uint64_t end64 = out.size();
        out += "PK\6\6" + littleEndian(44, 8) + littleEndian(45, 4) + littleEndian(0, 8) + littleEndian(count, 8) +
               littleEndian(count, 8) + littleEndian(size, 8) + littleEndian(offset, 8);
        out += "PK\6\7" + littleEndian(0, 4) + littleEndian(end64, 8) + littleEndian(1, 4);
        out += "PK\5\6" + littleEndian(0, 4) + std::string(12, '\xff');
    }
    else
        out += "PK\5\6" + littleEndian(0, 4) + littleEndian(count, 2) + littleEndian(count, 2) + littleEndian(size, 4) +
               littleEndian(offset, 4);
    return out + littleEndian(options.comment.size(), 2) + options.comment + options.trailing;
}

/// As written by torch.save: the pickle, its storages, the byte order.
inline std::string checkpoint(const std::string& pickleBytes, const std::vector<std::string>& storages)
{
    std::vector<Entry> entries{{"archive/data.pkl", pickleBytes}, {"archive/byteorder", "little"}};
    for (size_t i = 0; i < storages.size(); ++i)
        entries.push_back({"archive/data/" + std::to_string(i), storages[i]});
    entries.push_back({"archive/version", "3\n"});
    return archive(entries);
}

}  // namespace checkpoints

#endif
