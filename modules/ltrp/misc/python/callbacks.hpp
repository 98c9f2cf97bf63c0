// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYTHON_CALLBACKS_HPP
#define OPENCV_LTRP_PYTHON_CALLBACKS_HPP

// Calls from C++ back into Python.

#include "interpreter_lock.hpp"

#include <set>
#include <string>

namespace ltrp_python
{

/// Python functions called during one long C++ call. If one raises an exception, it is kept, because it must not
/// propagate through C++: the call is told to stop, and the exception is raised again after it. All members require the
/// interpreter lock.
class Callbacks
{
public:
    Callbacks() : type_(NULL), value_(NULL), traceback_(NULL) {}
    ~Callbacks()
    {
        Py_XDECREF(type_);
        Py_XDECREF(value_);
        Py_XDECREF(traceback_);
    }
    Callbacks(const Callbacks&) = delete;
    Callbacks& operator=(const Callbacks&) = delete;

    /// Calls function(*arguments()) unless function is NULL or None; checks for Ctrl-C in any case. @param arguments
    /// returns a new tuple, or NULL with a Python error set
    /// @return false if the function, or an earlier one, raised or returned a false value other than None
    template <class Arguments>
    bool call(PyObject* function, const Arguments& arguments)
    {
        bool goOn = false;
        callPython([&]() { goOn = tryCall(function, arguments); });
        return goOn;
    }

    /// Lines may contain file names, whose bytes need not be UTF-8.
    static PyObject* textArgument(const std::string& line)
    {
        PyObject* const text = PyUnicode_DecodeUTF8(line.data(), static_cast<Py_ssize_t>(line.size()), "replace");
        return text ? Py_BuildValue("(N)", text) : NULL;
    }

    /// Sets the Python error that was kept. @return whether there is one
    bool raise()
    {
        if (!type_)
            return false;
        PyErr_Restore(type_, value_, traceback_);
        type_ = value_ = traceback_ = NULL;
        return true;
    }

private:
    template <class Arguments>
    bool tryCall(PyObject* function, const Arguments& arguments)
    {
        if (type_)
            return false;
        if (PyErr_CheckSignals() != 0)
            return keep();
        if (!function || function == Py_None)
            return true;
        PyObject* const tuple = arguments();
        PyObject* const result = tuple ? PyObject_CallObject(function, tuple) : NULL;
        Py_XDECREF(tuple);
        if (!result)
            return keep();
        const int wanted = result == Py_None ? 1 : PyObject_IsTrue(result);
        Py_DECREF(result);
        return wanted < 0 ? keep() : wanted != 0;
    }

    bool keep()
    {
        PyErr_Fetch(&type_, &value_, &traceback_);
        return false;
    }

    PyObject *type_, *value_, *traceback_;
};

/// Marks an object as in use by a call that releases the interpreter lock; a second such call raises an error. Created
/// and destroyed with the lock held, which guards the set.
class Exclusive
{
public:
    explicit Exclusive(const void* object) : object_(object), mine_(busy().insert(object).second) {}
    ~Exclusive()
    {
        if (mine_)
            busy().erase(object_);
    }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;
    bool mine() const { return mine_; }

private:
    static std::set<const void*>& busy()
    {
        static std::set<const void*>* const objects = new std::set<const void*>;   // outlives exit()
        return *objects;
    }

    const void* object_;
    bool mine_;
};

/// Sets a TypeError unless the argument is None or callable.
inline bool checkCallable(PyObject* function, const char* name)
{
    if (!function || function == Py_None || PyCallable_Check(function))
        return true;
    PyErr_Format(PyExc_TypeError, "%s: expected a function or None, found %R", name, function);
    return false;
}

}  // namespace ltrp_python

#endif
