// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "arrays.hpp"

#include "../interpreter_lock.hpp"

#include <climits>

namespace ltrp_python
{

namespace
{

std::string typeName(const py::handle& object)
{
    return py::str(py::type::of(object).attr("__name__"));
}

/// The cv::Mat depth for this dtype, -1 if there is none.
int depthOf(const py::dtype& type)
{
    if (!py::cast<bool>(type.attr("isnative")))
        return -1;
    const char kind = type.kind();
    switch (type.itemsize())
    {
    case 1: return kind == 'u' ? CV_8U : kind == 'i' ? CV_8S : -1;
    case 2: return kind == 'u' ? CV_16U : kind == 'i' ? CV_16S : kind == 'f' ? CV_16F : -1;
    case 4: return kind == 'i' ? CV_32S : kind == 'f' ? CV_32F : -1;
    case 8: return kind == 'f' ? CV_64F : -1;
    default: return -1;
    }
}

/// Rows, columns and channels of an array, without strides.
struct Layout
{
    int rows, cols, type;
    size_t pixel;   ///< bytes
};

[[noreturn]] void refuse(const char* name, const std::string& expected, const std::string& found)
{
    throw py::type_error(std::string(name) + ": expected " + expected + ", found " + found);
}

std::string shapeText(const py::array& array)
{
    std::string text;
    for (py::ssize_t i = 0; i < array.ndim(); i++)
        text += (i ? ", " : "") + std::to_string(array.shape(i));
    return "shape (" + text + (array.ndim() == 1 ? ",)" : ")");
}

Layout layoutOf(const py::array& array, const char* name)
{
    const int depth = depthOf(array.dtype());
    if (depth < 0)
        refuse(name, "an array of uint8, uint16, float32 or float64 in the machine's byte order",
               "dtype " + std::string(py::str(array.dtype())));
    if (array.ndim() != 2 && array.ndim() != 3)
        refuse(name, "an array of 2 dimensions (rows, columns) or 3 (rows, columns, channels)", shapeText(array));
    const py::ssize_t channels = array.ndim() == 3 ? array.shape(2) : 1;
    if (array.shape(0) > INT_MAX || array.shape(1) > INT_MAX || channels < 1 || channels > CV_CN_MAX)
        refuse(name, "1 to " + std::to_string(CV_CN_MAX) + " channels and sides below 2^31", shapeText(array));
    const int type = CV_MAKETYPE(depth, static_cast<int>(channels));
    return {static_cast<int>(array.shape(0)), static_cast<int>(array.shape(1)), type, static_cast<size_t>(CV_ELEM_SIZE(type))};
}

/// Whether pixels and rows are contiguous enough for a Mat. A dimension of one element may have any stride.
bool fitsMat(const py::array& array, const Layout& layout)
{
    const auto pixel = static_cast<py::ssize_t>(layout.pixel), item = array.itemsize();
    if (reinterpret_cast<uintptr_t>(array.data()) % static_cast<uintptr_t>(item) != 0)
        return false;
    if (array.ndim() == 3 && array.shape(2) > 1 && array.strides(2) != item)
        return false;
    if (layout.cols > 1 && array.strides(1) != pixel)
        return false;
    return layout.rows <= 1 || (array.strides(0) >= pixel * layout.cols && array.strides(0) % item == 0);
}

cv::Mat borrow(const py::array& array, const Layout& layout)
{
    const size_t step = layout.rows > 1 ? static_cast<size_t>(array.strides(0)) : size_t(cv::Mat::AUTO_STEP);
    return cv::Mat(layout.rows, layout.cols, layout.type, const_cast<void*>(array.data()), step);
}

}  // namespace

ArrayArgument arrayArgument(const py::object& object, const char* name)
{
    if (object.is_none())
        return {object, cv::Mat()};
    if (!py::isinstance<py::array>(object))
        refuse(name, "a NumPy array", typeName(object));
    py::array array = py::reinterpret_borrow<py::array>(object);
    const Layout layout = layoutOf(array, name);
    if (array.size() == 0)
        return {object, cv::Mat()};
    if (!fitsMat(array, layout))
    {
        // NumPy may release the lock meanwhile.
        callPython([&]() { array = py::array::ensure(array.attr("copy")("C")); });
        if (!array)
            throw py::error_already_set();
    }
    return {array, borrow(array, layout)};
}

ArrayList arrayList(const py::object& object, const char* name)
{
    const bool single = py::isinstance<py::array>(object) && py::reinterpret_borrow<py::array>(object).ndim() < 4;
    if (single || !py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
        py::isinstance<py::bytes>(object))
        refuse(name, "a list or tuple of arrays", single ? "a single array" : typeName(object));
    ArrayList list;
    for (const py::handle item : object)
    {
        const std::string itemName = std::string(name) + "[" + std::to_string(list.mats.size()) + "]";
        ArrayArgument argument = arrayArgument(py::reinterpret_borrow<py::object>(item), itemName.c_str());
        list.owners.push_back(std::move(argument.owner));
        list.mats.push_back(argument.mat);
    }
    return list;
}

OutputArgument::OutputArgument(const py::object& object, const char* name)
{
    if (object.is_none())
        return;
    if (!py::isinstance<py::array>(object))
        refuse(name, "a NumPy array or None", typeName(object));
    const py::array array = py::reinterpret_borrow<py::array>(object);
    const Layout layout = layoutOf(array, name);
    if (!array.writeable())
        refuse(name, "an array that can be written", "a read-only one");
    if (array.size() == 0)
        return;
    if (!fitsMat(array, layout))
        refuse(name, "rows of pixels side by side", "another layout of memory");
    given_ = object;
    mat = borrow(array, layout);
    data_ = mat.data;
}

py::object OutputArgument::result()
{
    return given_ && mat.data == data_ ? given_ : arrayOf(mat);
}

py::object arrayOf(const cv::Mat& mat)
{
    if (mat.empty())
        return py::none();
    static const char* const types[] = {"u1", "i1", "u2", "i2", "i4", "f4", "f8", "f2"};
    CV_Assert(mat.dims == 2 && mat.depth() <= CV_16F);
    std::vector<py::ssize_t> shape = {mat.rows, mat.cols};
    std::vector<py::ssize_t> strides = {static_cast<py::ssize_t>(mat.step[0]), static_cast<py::ssize_t>(mat.elemSize())};
    if (mat.channels() > 1)
    {
        shape.push_back(mat.channels());
        strides.push_back(static_cast<py::ssize_t>(mat.elemSize1()));
    }
    auto holder = std::make_unique<cv::Mat>(mat);
    const py::capsule owner(holder.get(), [](void* pointer) { delete static_cast<cv::Mat*>(pointer); });
    holder.release();
    return py::array(py::dtype(types[mat.depth()]), shape, strides, mat.data, owner);
}

std::string pathArgument(const py::object& object)
{
    PyObject* encoded = nullptr;
    if (!PyUnicode_FSConverter(object.ptr(), &encoded))
        throw py::error_already_set();
    return py::cast<std::string>(py::reinterpret_steal<py::bytes>(encoded));
}

}  // namespace ltrp_python
