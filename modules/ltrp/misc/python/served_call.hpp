// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYTHON_SERVED_CALL_HPP
#define OPENCV_LTRP_PYTHON_SERVED_CALL_HPP

#include "callbacks.hpp"

#include <exception>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace ltrp_python
{

/// Runs a long call that has its own threads (a training) on a separate thread, while the calling thread runs its
/// callbacks.
///
/// A thread that waits for the interpreter lock or runs Python code when the interpreter shuts down never returns. If
/// that were the call's own thread, its reader threads would continue while exit() destroys objects that they use. This
/// way only the calling thread blocks; the call is told to stop, writes its checkpoint and ends before exit() begins.
class ServedCall
{
public:
    /// @param progress, message functions or None, borrowed
    ServedCall(PyObject* progress, PyObject* message) : progress_(progress), message_(message) {}
    ServedCall(const ServedCall&) = delete;
    ServedCall& operator=(const ServedCall&) = delete;

    /// Runs work() and its callbacks until it ends, with the interpreter lock held before and after. @throws what work
    /// throws
    template <class Work>
    void run(Work work)
    {
        std::exception_ptr failure;
        {
            Unlocked unlocked;
            std::thread thread = start([&]()
            {
                try
                {
                    work();
                }
                catch (...)
                {
                    failure = std::current_exception();
                }
                finish();
            });
            serve(unlocked);
            thread.join();
            computing_.end();
        }
        if (failure)
            std::rethrow_exception(failure);
    }

    /// Sets the Python error of a callback or Ctrl-C. @return whether there is one
    bool raise() { return callbacks_.raise(); }

    // For the call, on any of its threads:

    /// Whether the call is to stop.
    bool stopped()
    {
        const std::lock_guard<std::mutex> lock(computing_.mutex);
        return stop_ || computing_.ending;
    }

    /// Calls progress(*arguments()) on the calling thread and returns its result: false if the call is to stop. @param
    /// arguments as for Callbacks::call
    bool ask(const std::function<PyObject*()>& arguments)
    {
        std::unique_lock<std::mutex> lock(computing_.mutex);
        request_ = &arguments;
        computing_.changed.notify_all();
        computing_.changed.wait(lock, [this]() { return !request_ || computing_.ending; });
        return !stop_ && !computing_.ending;
    }

    /// Queues message(line).
    void tell(const std::string& line)
    {
        const std::lock_guard<std::mutex> lock(computing_.mutex);
        lines_.push_back(line);
        computing_.changed.notify_all();
    }

private:
    template <class Body>
    std::thread start(Body body)
    {
        computing_.begin();
        try
        {
            return std::thread(body);
        }
        catch (const std::system_error& error)
        {
            computing_.end();
            throw std::runtime_error(std::string("no thread for the call can be started (") + error.what() + ")");
        }
        catch (...)   // out of memory
        {
            computing_.end();
            throw;
        }
    }

    /// Loop of the calling thread; returns when the call has ended.
    void serve(Unlocked& unlocked)
    {
        std::unique_lock<std::mutex> lock(computing_.mutex);
        for (;;)
        {
            computing_.changed.wait_for(lock, std::chrono::milliseconds(250),
                                        [this]() { return request_ || done_ || !lines_.empty(); });
            if (done_ && lines_.empty() && !computing_.ending)
            {
                joined_ = true;
                computing_.changed.notify_all();
                return;
            }
            const std::function<PyObject*()>* const request = request_;
            std::vector<std::string> lines;
            lines.swap(lines_);
            lock.unlock();
            const std::function<PyObject*()> none;
            bool goOn;
            {
                const Locked locked(unlocked);   // does not return after the interpreter's shutdown
                for (const std::string& line : lines)
                    callbacks_.call(message_, [&line]() { return Callbacks::textArgument(line); });
                goOn = callbacks_.call(request ? progress_ : NULL, request ? *request : none);
            }
            lock.lock();
            stop_ = stop_ || !goOn;
            if (request)
                request_ = NULL;
            computing_.changed.notify_all();
        }
    }

    /// End of the call's thread. Destructors of thread_local objects use static objects, which may be destroyed soon:
    /// either the calling thread waits for these destructors, or they are never run.
    void finish()
    {
        std::unique_lock<std::mutex> lock(computing_.mutex);
        done_ = true;
        computing_.changed.notify_all();
        computing_.changed.wait(lock, [this]() { return joined_ || computing_.ending; });
        if (joined_)
            return;
        lock.unlock();
        computing_.end();
        sleepForEver();
    }

    Computing& computing_ = Computing::threads();
    Callbacks callbacks_;
    PyObject *progress_, *message_;
    const std::function<PyObject*()>* request_ = NULL;   ///< of a call that waits for its result
    std::vector<std::string> lines_;
    bool stop_ = false, done_ = false, joined_ = false;
};

}  // namespace ltrp_python

#endif
