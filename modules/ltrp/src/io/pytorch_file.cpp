// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "pickle.hpp"
#include "tensor_readers.hpp"
#include "zip_archive.hpp"

#include <locale>

namespace cv { namespace ltrp { namespace io {

// torch.save's zip format: one folder that contains "data.pkl" (the object, a pickle), "data/<key>" (the values of each
// storage) and, in newer files, "byteorder".

namespace
{

constexpr size_t maxNameBytes = 1024, maxMetadata = 1000, maxMetadataBytes = 4096, maxVisits = 1u << 17, maxNamesBytes = 1 << 16;
constexpr int maxDepth = 16;

class Collector
{
public:
    Collector(const FileBytes& file, ZipArchive& archive, const Pickle& pickle, const std::string& folder)
        : file_(file), archive_(archive), pickle_(pickle), folder_(folder) {}

    TensorFileContents run()
    {
        const PickleValue& root = pickle_.values[pickle_.root];
        LTRP_REQUIRE(root.kind == PickleKind::Dict, Error::StsUnsupportedFormat,
                     file_.path() << ": the checkpoint is not a dictionary (a whole pickled network is not read; save "
                                     "its state_dict())");
        const PickleValue* weights = &root;
        for (const char* wrapper : {"model", "state_dict"})
        {
            const PickleValue* const found = pickle_.get(root, wrapper);
            if (found && found->kind == PickleKind::Dict)
            {
                weights = found;
                break;
            }
        }
        contents_.format = "pytorch";
        collectTensors(*weights, "", 0);
        stripParallelPrefix();
        collectMetadata(root, weights, "", 0);
        return std::move(contents_);
    }

private:
    /// Dictionaries may be shared or contain themselves, so both the depth and the number of visits are limited.
    void visit(int depth)
    {
        LTRP_REQUIRE(depth <= maxDepth && ++visits_ <= maxVisits, Error::StsParseError,
                     file_.path() << ": the checkpoint's dictionaries are nested too deeply or hold too much");
    }

    void collectTensors(const PickleValue& dict, const std::string& prefix, int depth)
    {
        for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
        {
            visit(depth);
            const PickleValue& key = pickle_.values[dict.items[i]];
            const PickleValue& value = pickle_.values[dict.items[i + 1]];
            if (value.kind != PickleKind::Tensor && value.kind != PickleKind::Dict)
                continue;
            LTRP_REQUIRE(key.kind == PickleKind::Text || key.kind == PickleKind::Int, Error::StsParseError,
                         file_.path() << ": the checkpoint holds a tensor or dictionary whose key is no text");
            LTRP_REQUIRE(key.text.size() <= maxNameBytes && prefix.size() <= maxNameBytes, Error::StsParseError,
                         file_.path() << ": tensor name " << printable(key.text) << " is longer than " << maxNameBytes);
            const std::string name =
                prefix + (key.kind == PickleKind::Text ? std::string(key.text) : std::to_string(key.integer));
            // Shared dictionaries are visited repeatedly: a small file could create many long names.
            nameBytes_ += name.size();
            LTRP_REQUIRE(nameBytes_ <= maxNamesBytes + 8 * file_.size(), Error::StsParseError,
                         file_.path() << ": the checkpoint's dictionaries are nested too deeply or hold too much: the names of their tensors take more bytes "
                         "than the file");
            if (value.kind == PickleKind::Dict)
                collectTensors(value, name + ".", depth + 1);
            else
                addTensor(name, pickle_.tensors[static_cast<size_t>(value.integer)]);
        }
    }

    void addTensor(const std::string& name, const PickleTensor& tensor)
    {
        LTRP_REQUIRE(contents_.tensors.size() < 4 * pickle_.tensors.size(), Error::StsParseError,
                     file_.path() << ": the checkpoint names its " << pickle_.tensors.size() << " tensors over and over");
        const PickleStorage& storage = pickle_.storages[tensor.storage];
        const std::string what = file_.path() + ": tensor " + printable(name);
        LTRP_REQUIRE(storage.key.size() <= maxNameBytes, Error::StsParseError, what << " has an overlong storage key");
        const ZipEntry* const entry = archive_.find(folder_ + "data/" + std::string(storage.key));
        LTRP_REQUIRE(entry, Error::StsParseError,
                     what << " needs the storage " << printable(storage.key) << ", which is not in the archive");
        const size_t valueBytes = dtypeSize(storage.dtype);
        uint64_t storageBytes = 0;
        LTRP_REQUIRE(checkedMultiply(storage.count, valueBytes, storageBytes) && storageBytes == entry->size,
                     Error::StsParseError,
                     what << " needs a storage of " << storage.count << " " << dtypeName(storage.dtype)
                          << " values, but its entry in the archive has " << entry->size << " bytes");

        TensorView view;
        view.name = name;
        view.dtype = storage.dtype;
        view.shape = tensor.shape;
        uint64_t count = 1;   // parsePickle() has checked the product and that all values are inside the storage
        bool contiguous = true;
        for (size_t k = tensor.shape.size(); k-- > 0;)
        {
            contiguous = contiguous && (tensor.shape[k] == 1 || tensor.strides[k] == count);
            count *= static_cast<uint64_t>(tensor.shape[k]);
        }
        view.bytes = static_cast<size_t>(count * valueBytes);
        view.data = archive_.data(*entry) + tensor.offset * valueBytes;
        if (count > 0 && !contiguous)
            view.data = copyStrided(view, tensor, what);
        contents_.tensors.push_back(std::move(view));
    }

    const uint8_t* copyStrided(const TensorView& view, const PickleTensor& tensor, const std::string& what)
    {
        // All views may share one storage: without a limit, a small file could cause many copies.
        LTRP_REQUIRE(view.bytes <= file_.size() - copiedBytes_, Error::StsParseError,
                     what << ": the checkpoint's transposed tensors take more bytes than the whole file");
        copiedBytes_ += view.bytes;
        const size_t valueBytes = dtypeSize(view.dtype), rank = tensor.shape.size();
        std::unique_ptr<uint8_t[]> copy(new uint8_t[view.bytes]);
        std::vector<uint64_t> at(rank, 0);
        uint64_t from = 0;
        for (uint8_t* to = copy.get(); to != copy.get() + view.bytes; to += valueBytes)
        {
            std::memcpy(to, view.data + from * valueBytes, valueBytes);
            for (size_t k = rank; k-- > 0;)
            {
                from += tensor.strides[k];
                if (++at[k] < static_cast<uint64_t>(tensor.shape[k]))
                    break;
                from -= at[k] * tensor.strides[k];
                at[k] = 0;
            }
        }
        contents_.copies.push_back(std::move(copy));
        return contents_.copies.back().get();
    }

    /// torch.nn.DataParallel adds the prefix "module." to every name.
    void stripParallelPrefix()
    {
        const std::string prefix = "module.";
        for (const TensorView& tensor : contents_.tensors)
            if (tensor.name.compare(0, prefix.size(), prefix) != 0)
                return;
        for (TensorView& tensor : contents_.tensors)
            tensor.name.erase(0, prefix.size());
    }

    /// Numbers and short plain texts stored with the weights, and one level further down ("args.norm_pix_loss").
    void collectMetadata(const PickleValue& dict, const PickleValue* weights, const std::string& prefix, int depth)
    {
        for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
        {
            visit(depth);
            const PickleValue& key = pickle_.values[dict.items[i]];
            const PickleValue& value = pickle_.values[dict.items[i + 1]];
            if (key.kind != PickleKind::Text || !isPlain(key.text) || &value == weights)
                continue;
            const std::string name = prefix + std::string(key.text);
            std::string text;
            if (describe(value, text))
            {
                if (contents_.metadata.size() < maxMetadata)
                    contents_.metadata.emplace(name, text);
            }
            else if (depth == 0 && value.kind == PickleKind::Dict)
                collectMetadata(value, weights, name + ".", depth + 1);
            else if (depth == 0 && value.kind == PickleKind::Object && value.items.size() == 1 &&
                     pickle_.values[value.items[0]].kind == PickleKind::Dict)
                collectMetadata(pickle_.values[value.items[0]], weights, name + ".", depth + 1);
        }
    }

    static bool isPlain(std::string_view text)
    {
        if (text.size() > maxMetadataBytes)
            return false;
        for (const char c : text)
            if (c < 0x20 || c > 0x7e)
                return false;
        return true;
    }

    static bool describe(const PickleValue& value, std::string& text)
    {
        std::ostringstream number;
        switch (value.kind)
        {
        case PickleKind::Bool: text = value.integer ? "True" : "False"; return true;
        case PickleKind::Int: text = std::to_string(value.integer); return true;
        case PickleKind::Text: text = std::string(value.text.substr(0, maxMetadataBytes)); return isPlain(value.text);
        case PickleKind::Float:
            number.imbue(std::locale::classic());
            number.precision(17);
            number << value.real;
            text = number.str();
            return true;
        default: return false;
        }
    }

    const FileBytes& file_;
    ZipArchive& archive_;
    const Pickle& pickle_;
    const std::string& folder_;
    TensorFileContents contents_;
    size_t visits_ = 0;
    uint64_t copiedBytes_ = 0, nameBytes_ = 0;
};

}  // namespace

TensorFileContents readPytorch(const FileBytes& file)
{
    const std::string& path = file.path();
    ZipArchive archive(file);
    const std::string pickleName = "data.pkl";
    const ZipEntry* pickleEntry = nullptr;
    std::string folder;
    for (const ZipEntry& entry : archive.entries())
    {
        const size_t slash = entry.name.find('/');
        if (slash == std::string::npos || entry.name.compare(slash + 1, std::string::npos, pickleName) != 0)
            continue;
        LTRP_REQUIRE(!pickleEntry, Error::StsParseError, path << ": the archive has two data.pkl");
        pickleEntry = &entry;
        folder = entry.name.substr(0, slash + 1);
    }
    LTRP_REQUIRE(pickleEntry, Error::StsUnsupportedFormat,
                 path << ": is a zip archive without data.pkl, not a PyTorch checkpoint");
    if (const ZipEntry* const order = archive.find(folder + "byteorder"))
        LTRP_REQUIRE(order->size == 6 && std::memcmp(archive.data(*order), "little", 6) == 0,
                     Error::StsUnsupportedFormat, path << ": the byte order is not 'little'");

    const std::string where = path + ": data.pkl";
    const Pickle pickle = parsePickle(archive.data(*pickleEntry), static_cast<size_t>(pickleEntry->size), where);
    return Collector(file, archive, pickle, folder).run();
}

}}}  // namespace
