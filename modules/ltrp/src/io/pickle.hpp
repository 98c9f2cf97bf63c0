// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_PICKLE_HPP
#define OPENCV_LTRP_IO_PICKLE_HPP

#include "file_bytes.hpp"
#include "tensor_file.hpp"

namespace cv { namespace ltrp { namespace io {

enum class PickleKind : uint8_t
{
    None,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    List,
    Tuple,
    Dict,      ///< dict, OrderedDict, defaultdict: items are key, value, key, value, ...
    Global,    ///< a name in the list of allowed ones
    Storage,   ///< integer: index in Pickle::storages
    Tensor,    ///< integer: index in Pickle::tensors
    Object     ///< any other allowed object, not constructed; items: its attributes (a Dict), if any
};

struct PickleValue
{
    PickleKind kind = PickleKind::None;
    int64_t integer = 0;
    double real = 0;
    std::string_view text;         ///< Text, Bytes, Global: points into the pickle
    std::vector<uint32_t> items;   ///< indices in Pickle::values
};

/// torch.FloatStorage and the other storage types: `count` values in the archive's entry "data/<key>".
struct PickleStorage
{
    std::string_view key;
    DType dtype;
    uint64_t count;
};

/// A view of a storage, checked against the storage's count.
struct PickleTensor
{
    size_t storage;
    uint64_t offset;   ///< in values
    std::vector<int64_t> shape;
    std::vector<uint64_t> strides;
};

struct Pickle
{
    std::vector<PickleValue> values;
    std::vector<PickleStorage> storages;
    std::vector<PickleTensor> tensors;
    uint32_t root = 0;

    /// Value of a text key in a Dict; null if absent.
    const PickleValue* get(const PickleValue& dict, std::string_view key) const;
};

/// Parses what torch.save writes for dictionaries of tensors and plain settings. A pickle is a program for a stack
/// machine; this parser executes only the opcodes that create the values above. Names of classes and functions must be
/// in a list of known ones; any other, such as "os.system", is an error that contains the name. `where` begins each
/// message. Texts point into `data`, which must outlive the result.
Pickle parsePickle(const uint8_t* data, size_t size, const std::string& where);

}}}  // namespace

#endif
