// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "pickle_globals.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace io {

namespace
{

const KnownGlobal knownGlobals[] = {
    {"collections.OrderedDict", GlobalRole::Dict, DType::U8},
    {"collections.defaultdict", GlobalRole::Dict, DType::U8},
    {"torch._utils._rebuild_tensor", GlobalRole::RebuildTensor, DType::U8},
    {"torch._utils._rebuild_tensor_v2", GlobalRole::RebuildTensor, DType::U8},
    {"torch._utils._rebuild_parameter", GlobalRole::RebuildParameter, DType::U8},
    {"torch._utils._rebuild_parameter_with_state", GlobalRole::RebuildParameter, DType::U8},
    {"torch.BoolStorage", GlobalRole::Storage, DType::Bool},
    {"torch.ByteStorage", GlobalRole::Storage, DType::U8},
    {"torch.CharStorage", GlobalRole::Storage, DType::I8},
    {"torch.ShortStorage", GlobalRole::Storage, DType::I16},
    {"torch.IntStorage", GlobalRole::Storage, DType::I32},
    {"torch.LongStorage", GlobalRole::Storage, DType::I64},
    {"torch.HalfStorage", GlobalRole::Storage, DType::F16},
    {"torch.BFloat16Storage", GlobalRole::Storage, DType::BF16},
    {"torch.FloatStorage", GlobalRole::Storage, DType::F32},
    {"torch.DoubleStorage", GlobalRole::Storage, DType::F64},
    {"argparse.Namespace", GlobalRole::Inert, DType::U8},
    {"types.SimpleNamespace", GlobalRole::Inert, DType::U8},
    {"torch.device", GlobalRole::Inert, DType::U8},
    {"torch.Size", GlobalRole::Inert, DType::U8},
    {"torch.float32", GlobalRole::Inert, DType::U8},
    {"torch.float64", GlobalRole::Inert, DType::U8},
    {"torch.float16", GlobalRole::Inert, DType::U8},
    {"torch.bfloat16", GlobalRole::Inert, DType::U8},
    {"torch.bool", GlobalRole::Inert, DType::U8},
    {"torch.uint8", GlobalRole::Inert, DType::U8},
    {"torch.int8", GlobalRole::Inert, DType::U8},
    {"torch.int16", GlobalRole::Inert, DType::U8},
    {"torch.int32", GlobalRole::Inert, DType::U8},
    {"torch.int64", GlobalRole::Inert, DType::U8},
    {"numpy.dtype", GlobalRole::Inert, DType::U8},
    {"numpy.core.multiarray.scalar", GlobalRole::Inert, DType::U8},
    {"numpy._core.multiarray.scalar", GlobalRole::Inert, DType::U8},
    {"_codecs.encode", GlobalRole::Inert, DType::U8},
    {"pathlib.Path", GlobalRole::Inert, DType::U8},
    {"pathlib.PosixPath", GlobalRole::Inert, DType::U8},
    {"pathlib.PurePosixPath", GlobalRole::Inert, DType::U8},
    {"pathlib.WindowsPath", GlobalRole::Inert, DType::U8},
    {"pathlib.PureWindowsPath", GlobalRole::Inert, DType::U8},
    {"pathlib._local.PosixPath", GlobalRole::Inert, DType::U8},
    {"pathlib._local.WindowsPath", GlobalRole::Inert, DType::U8},
    {"__builtin__.set", GlobalRole::Inert, DType::U8},
    {"__builtin__.frozenset", GlobalRole::Inert, DType::U8},
    {"__builtin__.dict", GlobalRole::Inert, DType::U8},
    {"__builtin__.list", GlobalRole::Inert, DType::U8},
    {"__builtin__.tuple", GlobalRole::Inert, DType::U8},
    {"__builtin__.int", GlobalRole::Inert, DType::U8},
    {"__builtin__.float", GlobalRole::Inert, DType::U8},
    {"__builtin__.bool", GlobalRole::Inert, DType::U8},
    {"__builtin__.str", GlobalRole::Inert, DType::U8},
    {"__builtin__.unicode", GlobalRole::Inert, DType::U8},
    {"builtins.set", GlobalRole::Inert, DType::U8},
    {"builtins.frozenset", GlobalRole::Inert, DType::U8},
    {"builtins.dict", GlobalRole::Inert, DType::U8},
    {"builtins.list", GlobalRole::Inert, DType::U8},
    {"builtins.tuple", GlobalRole::Inert, DType::U8},
    {"builtins.int", GlobalRole::Inert, DType::U8},
    {"builtins.float", GlobalRole::Inert, DType::U8},
    {"builtins.bool", GlobalRole::Inert, DType::U8},
    {"builtins.str", GlobalRole::Inert, DType::U8},
};

}  // namespace

int findGlobal(std::string_view name)
{
    const auto found = std::find_if(std::begin(knownGlobals), std::end(knownGlobals),
                                    [name](const KnownGlobal& global) { return global.name == name; });
    return found == std::end(knownGlobals) ? -1 : static_cast<int>(found - std::begin(knownGlobals));
}

const KnownGlobal& globalAt(int index)
{
    return knownGlobals[index];
}

}}}  // namespace
