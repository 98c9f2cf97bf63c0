// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_BUMP_ALLOCATOR_HPP
#define OPENCV_LTRP_OPS_BUMP_ALLOCATOR_HPP

#include <cstddef>

namespace cv { namespace ltrp { namespace ops {

/// Bump allocator: divides a block of floats into arrays aligned to 64 bytes. With a null base it only counts.
class BumpAllocator
{
public:
    explicit BumpAllocator(float* base) : base_(base) {}

    template <class Value = float>
    Value* take(size_t count)
    {
        float* const part = base_ ? base_ + used_ : nullptr;
        used_ += (count * sizeof(Value) + 63) / 64 * 16;
        return reinterpret_cast<Value*>(part);
    }
    size_t used() const { return used_; }   ///< floats

private:
    float* base_;
    size_t used_ = 0;
};

}}}  // namespace

#endif
