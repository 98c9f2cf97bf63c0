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

/// A long call with threads of its own (a training), in a further thread, while the calling thread runs its callbacks.
///
/// A thread that waits for the interpreter's lock or runs Python code when the interpreter ends never comes back. If the
/// call were stuck in it, the threads that read images would go on while exit() destroys what they use. So only the
/// calling thread is stuck then; the call is told to stop, writes its checkpoint and is over before exit() begins.
class ServedCall
{
public:
    /// @param progress, message functions or None, borrowed
    ServedCall(PyObject* progress, PyObject* message) : progress_(progress), message_(message) {}
    ServedCall(const ServedCall&) = delete;
    ServedCall& operator=(const ServedCall&) = delete;

    /// Does work() and serves it until it ends, with the interpreter's lock held before and after.
    /// @throws what work throws
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

    /// Sets the Python error that a callback or Ctrl-C left. @return whether there is one
    bool raise() { return callbacks_.raise(); }

    // For the call, in any of its threads:

    /// Whether it is to end.
    bool stopped()
    {
        const std::lock_guard<std::mutex> lock(computing_.mutex);
        return stop_ || computing_.ending;
    }

    /// progress(*arguments()), and its answer: false when the call is to end. @param arguments as for Callbacks::call
    bool ask(const std::function<PyObject*()>& arguments)
    {
        std::unique_lock<std::mutex> lock(computing_.mutex);
        request_ = &arguments;
        computing_.changed.notify_all();
        computing_.changed.wait(lock, [this]() { return !request_ || computing_.ending; });
        return !stop_ && !computing_.ending;
    }

    /// message(line), soon.
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
        catch (...)   // no memory for it
        {
            computing_.end();
            throw;
        }
    }

    /// The calling thread's part: returns when the call is over.
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
                const Locked locked(unlocked);   // does not return when the interpreter has ended
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

    /// The end of the call's thread. Objects of static storage may be gone soon, and the destructors of thread_local
    /// ones use them: either the calling thread waits for those as well, or they are never run.
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
    const std::function<PyObject*()>* request_ = NULL;   ///< of a call that waits for the answer
    std::vector<std::string> lines_;
    bool stop_ = false, done_ = false, joined_ = false;
};

}  // namespace ltrp_python

#endif
