// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

#include <opencv2/core/utility.hpp>

namespace ltrp_python
{

namespace
{

const int highestThreads = 4096;

PyObject* errorClass = nullptr;   // never released: exceptions may be raised while modules are unloaded

void raiseError(const cv::Exception& error)
{
    const auto text = [](const std::string& value)
    {
        // The message may contain a file name, whose bytes need not be UTF-8.
        return py::reinterpret_steal<py::object>(
            PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), "replace"));
    };
    const py::object instance = py::reinterpret_borrow<py::object>(errorClass)(text(error.what()));
    instance.attr("code") = static_cast<int>(error.code);
    instance.attr("err") = text(error.err);
    instance.attr("func") = text(error.func);
    instance.attr("file") = text(error.file);
    instance.attr("line") = error.line;
    instance.attr("msg") = text(error.msg);
    PyErr_SetObject(errorClass, instance.ptr());
}

const char* const errorText =
    "What the library refuses: cv::Exception.\n\n"
    "str() is the whole text. Attributes as cv2.error has them: code (int, one of OpenCV's error codes), err (what is\n"
    "wrong), func, file and line (where it was found), msg.";

void bindErrors(py::module_& module)
{
    const py::dict defaults;
    for (const char* name : {"err", "func", "file", "msg"})
        defaults[name] = "";
    for (const char* name : {"code", "line"})
        defaults[name] = 0;
    errorClass = PyErr_NewExceptionWithDoc("ltrp.error", errorText, nullptr, defaults.ptr());
    if (!errorClass)
        throw py::error_already_set();
    module.attr("error") = py::reinterpret_borrow<py::object>(errorClass);
    py::register_local_exception_translator([](std::exception_ptr pointer)
    {
        try
        {
            if (pointer)
                std::rethrow_exception(pointer);
        }
        catch (const cv::Exception& error)
        {
            raiseError(error);
        }
    });
}

void bindThreads(py::module_& module)
{
    const auto set = [](int nthreads)
    {
        if (nthreads > highestThreads)
            CV_Error(cv::Error::StsOutOfRange, "setNumThreads: expected at most " + std::to_string(highestThreads) +
                                                   ", found " + std::to_string(nthreads));
        cv::setNumThreads(nthreads);
    };
    module.def("setNumThreads", set, py::arg("nthreads"),
               "setNumThreads(nthreads: int) -> None\n\n"
               "Number of threads that one call computes with, 1: no other than the caller's; negative: one a core.\n"
               "Applies only to this package: cv2 contains a separate OpenCV.");
    module.def("getNumThreads", []() { return cv::getNumThreads(); },
               "getNumThreads() -> int\n\nNumber of threads that one call computes with.");
}

}  // namespace

}  // namespace ltrp_python

PYBIND11_MODULE(_ltrp, module)
{
    using namespace ltrp_python;
    py::options options;
    options.disable_function_signatures();   // written by hand, with the accepted types
    module.attr("__name__") = "ltrp";        // the public module name of classes and functions
    // pybind11 imports NumPy at its first use and releases the lock meanwhile. If a thread does not get it back there
    // because the interpreter shuts down, the process is terminated. The first use is therefore here.
    py::dtype::of<float>();
    bindErrors(module);
    bindThreads(module);
    bindRankings(module);
    bindNetworks(module);
    bindUses(module);
    bindTraining(module);
    module.attr("__version__") = LTRP_VERSION;
    module.attr("__name__") = "ltrp._ltrp";
}
