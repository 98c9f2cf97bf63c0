// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYTHON_INTERPRETER_LOCK_HPP
#define OPENCV_LTRP_PYTHON_INTERPRETER_LOCK_HPP

// The interpreter lock and the interpreter's shutdown, for cv2.ltrp (pyopencv_ltrp.hpp) and the package ltrp (pybind/).
// Only C++11 and Python's C API: OpenCV 4 compiles its bindings that way.

#include <Python.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#endif

namespace ltrp_python
{

[[noreturn]] inline void sleepForEver()
{
    for (;;)
        std::this_thread::sleep_for(std::chrono::hours(1));
}

/// Calls Python from a thread that may have to wait for the interpreter lock. During shutdown it never gets the lock:
/// Python up to 3.13 ends such a thread by unwinding its stack, and the C++ runtime ends the process when that passes a
/// noexcept destructor. Such a thread therefore waits here for the end of the process, as Python itself does from 3.14
/// on.
template <class Call>
void callPython(Call call)
{
#ifdef __GLIBCXX__
    try
    {
        call();
    }
    catch (abi::__forced_unwind&)
    {
        sleepForEver();
    }
#else
    call();
#endif
}

/// The threads that compute without the interpreter lock.
///
/// These may include daemon threads when the interpreter shuts down. Afterwards exit() destroys static objects of other
/// libraries that they use: oneDNN unmaps its generated machine code, and OpenCV has static objects. This cannot be
/// prevented here, so the shutdown waits until no thread computes. No new computation starts, because that needs the
/// lock. A call with callbacks ends or blocks at its next callback, any other one finishes; Ctrl-C, whose default
/// handler Python has restored by then, ends the process earlier.
class Computing
{
public:
    /// First called with the lock held, to register for the interpreter's shutdown.
    static Computing& threads() { return *instance(); }

    void begin()   ///< with the interpreter's lock held
    {
        const std::lock_guard<std::mutex> lock(mutex);
        ++count;
    }

    void end()
    {
        const std::lock_guard<std::mutex> lock(mutex);
        --count;
        changed.notify_all();
    }

    std::mutex mutex;                  ///< guards the members below and ServedCall's state
    std::condition_variable changed;
    int count = 0;
    bool ending = false;               ///< the interpreter is gone: waiting for Python is in vain

private:
    static Computing*& instance()
    {
        static Computing* computing = first();   // never destroyed: threads outlive exit()
        return computing;
    }

    static Computing* first()
    {
        // Runs after everything that Python does at shutdown, including functions of the module atexit, and before
        // exit().
        if (Py_AtExit(&Computing::waitForAll) != 0)   // Python's table is full
            std::atexit(&Computing::waitForAll);
#ifndef _WIN32
        pthread_atfork(NULL, NULL, &Computing::forked);
#endif
        return new Computing;
    }

    static void forked() { instance() = new Computing; }   // the parent keeps the threads and their locks

    static void waitForAll()
    {
        Computing& all = threads();
        std::unique_lock<std::mutex> lock(all.mutex);
        all.ending = true;
        all.changed.notify_all();
        all.changed.wait(lock, [&all]() { return all.count == 0; });
    }
};

/// Releases the interpreter lock while C++ works.
class Unlocked
{
public:
    Unlocked() { release(); }
    ~Unlocked() { retake(); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

private:
    friend class Locked;

    void release()
    {
        Computing::threads().begin();
        state_ = PyEval_SaveThread();
    }

    void retake()
    {
        Computing::threads().end();
        callPython([this]() { PyEval_RestoreThread(state_); });
    }

    PyThreadState* state_;
};

/// Re-acquires the lock temporarily, on the thread that released it.
class Locked
{
public:
    explicit Locked(Unlocked& unlocked) : unlocked_(unlocked) { unlocked_.retake(); }
    ~Locked() { unlocked_.release(); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

private:
    Unlocked& unlocked_;
};

}  // namespace ltrp_python

#endif
