// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_PICKLE_GLOBALS_HPP
#define OPENCV_LTRP_IO_PICKLE_GLOBALS_HPP

#include "tensor_file.hpp"
#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// Meaning of a class or function that a pickle refers to.
enum class GlobalRole
{
    Dict,               ///< creates a dictionary
    RebuildTensor,      ///< creates a tensor from storage, offset, shape and strides
    RebuildParameter,   ///< returns its first argument, a tensor
    Storage,            ///< type of a tensor's values
    Inert               ///< settings that training scripts save with the weights: skipped, never constructed
};

struct KnownGlobal
{
    std::string_view name;   ///< "module.name"
    GlobalRole role;
    DType dtype;             ///< of Storage
};

/// Index in the list of allowed names, -1 for any other name.
int findGlobal(std::string_view name);
const KnownGlobal& globalAt(int index);

}}}  // namespace

#endif
