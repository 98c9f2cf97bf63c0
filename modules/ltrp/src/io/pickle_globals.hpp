// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_PICKLE_GLOBALS_HPP
#define OPENCV_LTRP_IO_PICKLE_GLOBALS_HPP

#include "tensor_file.hpp"
#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// What a pickle's reference to a class or function stands for here.
enum class GlobalRole
{
    Dict,               ///< makes a dictionary
    RebuildTensor,      ///< makes a tensor from storage, offset, shape and strides
    RebuildParameter,   ///< gives back the tensor that is its first argument
    Storage,            ///< type of a tensor's values
    Inert               ///< plain settings that training scripts save beside the weights: read over, never built
};

struct KnownGlobal
{
    std::string_view name;   ///< "module.name"
    GlobalRole role;
    DType dtype;             ///< of a Storage
};

/// Place in the list of all names that are allowed, -1 for any other name.
int findGlobal(std::string_view name);
const KnownGlobal& globalAt(int place);

}}}  // namespace

#endif
