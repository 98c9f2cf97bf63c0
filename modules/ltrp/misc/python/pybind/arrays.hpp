// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYBIND_ARRAYS_HPP
#define OPENCV_LTRP_PYBIND_ARRAYS_HPP

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <opencv2/core.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace ltrp_python
{

namespace py = pybind11;

/// An argument whose memory a Mat borrows: the Mat is valid as long as this object exists, which must be destroyed with
/// the interpreter lock held.
struct ArrayArgument
{
    py::object owner;   ///< the array itself, or a contiguous copy if a Mat cannot have its layout
    cv::Mat mat;
};

/// None gives an empty Mat, as everywhere in cv2. @throws py::type_error naming the argument and what was found
ArrayArgument arrayArgument(const py::object& object, const char* name);

/// A list, a tuple or a 4-D array of images. @throws py::type_error as above
struct ArrayList
{
    std::vector<py::object> owners;
    std::vector<cv::Mat> mats;
};
ArrayList arrayList(const py::object& object, const char* name);

/// The optional output array of a function. None: a new array is created.
/// @throws py::type_error for an array that is read-only or has a layout that a Mat cannot have
class OutputArgument
{
public:
    OutputArgument(const py::object& object, const char* name);
    cv::Mat mat;            ///< to be written through cv::OutputArray
    py::object result();    ///< the given array if it had the right size and type, else a new one

private:
    py::object given_;
    const uchar* data_ = nullptr;
};

/// An array on the Mat's own memory, which it keeps alive; None for an empty Mat.
py::object arrayOf(const cv::Mat& mat);

/// A one-dimensional array on the vector's memory.
template <class T>
py::array arrayOf(std::vector<T> values)
{
    const auto size = static_cast<py::ssize_t>(values.size());
    auto holder = std::make_unique<std::vector<T>>(std::move(values));
    const T* data = holder->data();
    const py::capsule owner(holder.get(), [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
    holder.release();
    return py::array_t<T>({size}, {static_cast<py::ssize_t>(sizeof(T))}, data, owner);
}

inline py::tuple tupleOf(const cv::Size& size)
{
    return py::make_tuple(size.width, size.height);
}

inline py::tuple tupleOf(const cv::Rect& rect)
{
    return py::make_tuple(rect.x, rect.y, rect.width, rect.height);
}

inline py::tuple tupleOf(const cv::Scalar& values)
{
    return py::make_tuple(values[0], values[1], values[2], values[3]);
}

/// Width and height, columns and rows.
inline cv::Size sizeOf(const std::array<int, 2>& pair)
{
    return cv::Size(pair[0], pair[1]);
}

/// A path as str, bytes or os.PathLike. @throws the TypeError or ValueError of Python
std::string pathArgument(const py::object& object);

}  // namespace ltrp_python

#endif
