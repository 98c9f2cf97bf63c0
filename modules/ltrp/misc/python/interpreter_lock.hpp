// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYTHON_INTERPRETER_LOCK_HPP
#define OPENCV_LTRP_PYTHON_INTERPRETER_LOCK_HPP

// The interpreter's lock and the interpreter's end, for cv2.ltrp (pyopencv_ltrp.hpp) and the package ltrp (pybind/)
// alike. C++11 and Python's own interface only: OpenCV 4 compiles its bindings so.

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

/// Calls Python from a thread that may have to wait for the interpreter's lock. It never gets it when the interpreter
/// is on its way out: Python up to 3.13 ends such a thread, which unwinds its stack, and behind a destructor the C++
/// runtime then ends the process. Such a thread waits here for the end instead, as in Python itself from 3.14 on.
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

/// The threads that compute without the interpreter's lock.
///
/// Daemon threads may be among them when the interpreter ends. After that exit() destroys objects of static storage
/// which they use and which are not ours: oneDNN unmaps the machine code that it has made, OpenCV has objects of its
/// own. Nothing here can make them live for ever, so the end of the interpreter waits until nobody computes. Nobody
/// begins anew, since that takes the lock. A call with callbacks ends or stays behind at its next callback, any other
/// one finishes; Ctrl-C, which Python has given back to the system by then, ends the process earlier.
class Computing
{
public:
    /// With the lock held the first time, to be told of the interpreter's end.
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

    std::mutex mutex;                  ///< of what follows, and of ServedCall's state
    std::condition_variable changed;
    int count = 0;
    bool ending = false;               ///< the interpreter is gone: nothing that waits for Python gets an answer

private:
    static Computing*& instance()
    {
        static Computing* computing = first();   // never destroyed: threads outlive exit()
        return computing;
    }

    static Computing* first()
    {
        // Behind all that Python does at its end, functions of the module atexit included, and before exit().
        if (Py_AtExit(&Computing::waitForAll) != 0)   // Python's table is full
            std::atexit(&Computing::waitForAll);
#ifndef _WIN32
        pthread_atfork(NULL, NULL, &Computing::forked);
#endif
        return new Computing;
    }

    static void forked() { instance() = new Computing; }   // threads stay with the parent, and so does what they lock

    static void waitForAll()
    {
        Computing& all = threads();
        std::unique_lock<std::mutex> lock(all.mutex);
        all.ending = true;
        all.changed.notify_all();
        all.changed.wait(lock, [&all]() { return all.count == 0; });
    }
};

/// Gives the interpreter's lock away while C++ works.
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

/// Holds the lock again in between, in the thread that gave it away.
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
