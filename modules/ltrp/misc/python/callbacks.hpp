// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYTHON_CALLBACKS_HPP
#define OPENCV_LTRP_PYTHON_CALLBACKS_HPP

// Calls from C++ back into Python, for cv2.ltrp (pyopencv_ltrp.hpp) and the package ltrp (pybind/) alike. C++11 and
// Python's own interface only: OpenCV 4 compiles its bindings so.

#include <Python.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace ltrp_python
{

/// Takes the interpreter's lock by `take`. A thread that comes when the interpreter is on its way out never gets it:
/// Python up to 3.13 ends such a thread, which unwinds its stack, and behind a destructor the C++ runtime then ends the
/// process. Such a thread waits here for the end instead, as it does in Python itself from 3.14 on.
template <class Take>
void takeLock(Take take)
{
#ifdef __GLIBCXX__
    try
    {
        take();
    }
    catch (abi::__forced_unwind&)
    {
        for (;;)
            std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    take();
#endif
}

/// Holds the interpreter's lock, taken in whichever thread.
class Locked
{
public:
    Locked() { takeLock([this]() { state_ = PyGILState_Ensure(); }); }
    ~Locked() { PyGILState_Release(state_); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

private:
    PyGILState_STATE state_;
};

/// Gives the interpreter's lock away while C++ works.
class Unlocked
{
public:
    Unlocked() : state_(PyEval_SaveThread()) {}
    ~Unlocked() { takeLock([this]() { PyEval_RestoreThread(state_); }); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

private:
    PyThreadState* state_;
};

/// Python functions called during one long C++ call, and the exception that one of them raised: it may not travel
/// through C++, so it ends the call by "do not go on" and is raised again behind it.
/// Made and destroyed with the interpreter's lock held; goOn() and tell() take it themselves.
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

    /// Calls function(*arguments()) unless function is NULL or None; looks for Ctrl-C in any case.
    /// @param arguments called with the lock held; returns a new tuple, or NULL with a Python error set
    /// @return false when the function, or one before it, raised or returned something false other than None
    template <class Arguments>
    bool goOn(PyObject* function, Arguments arguments)
    {
        const Locked lock;
        if (type_)
            return false;
        if (PyErr_CheckSignals() != 0)
            return keep();
        if (!function || function == Py_None)
            return true;
        PyObject* const result = call(function, arguments());
        if (!result)
            return keep();
        const int wanted = result == Py_None ? 1 : PyObject_IsTrue(result);
        Py_DECREF(result);
        return wanted < 0 ? keep() : wanted != 0;
    }

    /// Calls function(line), from any thread.
    void tell(PyObject* function, const std::string& line)
    {
        const Locked lock;
        if (type_)
            return;
        // Lines name files, whose names are bytes that need not be UTF-8.
        PyObject* const text = PyUnicode_DecodeUTF8(line.data(), static_cast<Py_ssize_t>(line.size()), "replace");
        PyObject* const result = text ? call(function, Py_BuildValue("(N)", text)) : NULL;
        if (result)
            Py_DECREF(result);
        else
            keep();
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
    static PyObject* call(PyObject* function, PyObject* arguments)
    {
        PyObject* const result = arguments ? PyObject_CallObject(function, arguments) : NULL;
        Py_XDECREF(arguments);
        return result;
    }

    bool keep()
    {
        PyErr_Fetch(&type_, &value_, &traceback_);
        return false;
    }

    PyObject *type_, *value_, *traceback_;
};

/// Marks an object as in use by a call that gives the interpreter's lock away; a second such call is refused. Made and
/// destroyed with the lock held, which guards the set.
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
        static std::set<const void*>* const objects = new std::set<const void*>;   // never destroyed: threads outlive exit
        return *objects;
    }

    const void* object_;
    bool mine_;
};

/// None or something that can be called, else a TypeError is set.
inline bool checkCallable(PyObject* function, const char* name)
{
    if (!function || function == Py_None || PyCallable_Check(function))
        return true;
    PyErr_Format(PyExc_TypeError, "%s: expected a function or None, found %R", name, function);
    return false;
}

}  // namespace ltrp_python

#endif
