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
    Global,    ///< a name from the list of those allowed
    Storage,   ///< integer: place in Pickle::storages
    Tensor,    ///< integer: place in Pickle::tensors
    Object     ///< any other allowed object, inert; items: its attributes (a Dict) where it has any
};

struct PickleValue
{
    PickleKind kind = PickleKind::None;
    int64_t integer = 0;
    double real = 0;
    std::string_view text;         ///< Text, Bytes, Global: points into the pickle
    std::vector<uint32_t> items;   ///< places in Pickle::values
};

/// torch.FloatStorage and its like: `count` values in the archive's entry "data/<key>".
struct PickleStorage
{
    std::string_view key;
    DType dtype;
    uint64_t count;
};

/// A view on a storage; the constructor's arguments have been checked against the storage's count.
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

    /// Value of a text key in a Dict, null when absent.
    const PickleValue* get(const PickleValue& dict, std::string_view key) const;
};

/// Reads what torch.save writes for dictionaries of tensors and plain settings. A pickle is a program for a small stack
/// machine; here it can only build the values above. Names of classes and functions (which an ordinary unpickler
/// imports and calls) are compared with a list of a few known ones, and any other, "os.system" for one, ends the
/// reading with an error that gives the name. `where` begins every message; texts point into `data`, which must
/// outlive the result.
Pickle parsePickle(const uint8_t* data, size_t size, const std::string& where);

}}}  // namespace

#endif
