// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Methods that OpenCV's generator of Python bindings cannot create: those with Python callbacks, and support for
// pickle. They precede the generated methods of the same name in their class's table, and Python uses the first.

#ifdef HAVE_OPENCV_LTRP

#include "served_call.hpp"

/// Runs a statement and converts C++ exceptions to Python's; false if it threw.
template <class Statement>
static bool ltrp_python_try(Statement statement)
{
    try
    {
        statement();
        return true;
    }
    catch (const cv::Exception& error)
    {
        pyRaiseCVException(error);
    }
    catch (const std::exception& error)
    {
        PyErr_SetString(opencv_error, error.what());
    }
    catch (...)
    {
        PyErr_SetString(opencv_error, "Unknown C++ exception from OpenCV code");
    }
    return false;
}

static PyObject* pyopencv_cv_ltrp_Trainer_run_callbacks(PyObject* self, PyObject* args, PyObject* kw)
{
    cv::Ptr<cv::ltrp::Trainer>* holder = NULL;
    if (!pyopencv_ltrp_Trainer_getp(self, holder))
        return failmsgp("Incorrect type of self (must be 'ltrp_Trainer' or its derivative)");
    const cv::Ptr<cv::ltrp::Trainer> trainer = *holder;
    PyObject *progress = NULL, *message = NULL;
    const char* keywords[] = {"progress", "message", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|OO:ltrp_Trainer.run", const_cast<char**>(keywords), &progress, &message) ||
        !ltrp_python::checkCallable(progress, "progress") || !ltrp_python::checkCallable(message, "message"))
        return NULL;
    const ltrp_python::Exclusive exclusive(trainer.get());
    if (!exclusive.mine())
    {
        PyErr_SetString(opencv_error, "this Trainer is running already");
        return NULL;
    }

    ltrp_python::ServedCall call(progress, message);
    if (progress && progress != Py_None)
        trainer->setProgress([&](const cv::ltrp::TrainProgress& state)
        {
            return call.ask([&state]() { return Py_BuildValue("(N)", pyopencv_ltrp_TrainProgress_Instance(state)); });
        });
    if (message && message != Py_None)
        trainer->setMessage([&](const cv::String& line) { call.tell(line); });
    trainer->setStop([&]() { return call.stopped(); });
    bool finished = false;
    const bool good = ltrp_python_try([&]() { call.run([&]() { finished = trainer->run(); }); });
    trainer->setProgress(cv::ltrp::Trainer::Progress());
    trainer->setMessage(cv::ltrp::Trainer::Message());
    trainer->setStop(cv::ltrp::Trainer::Stop());
    if (call.raise() || !good)
        return NULL;
    return PyBool_FromLong(finished);
}

static PyObject* pyopencv_cv_ltrp_Scorer_scoreMap_callbacks(PyObject* self, PyObject* args, PyObject* kw)
{
    cv::Ptr<cv::ltrp::Scorer>* holder = NULL;
    if (!pyopencv_ltrp_Scorer_getp(self, holder))
        return failmsgp("Incorrect type of self (must be 'ltrp_Scorer' or its derivative)");
    const cv::Ptr<cv::ltrp::Scorer> scorer = *holder;
    PyObject *imageObject = NULL, *paramsObject = NULL, *progress = NULL;
    const char* keywords[] = {"image", "params", "progress", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OO:ltrp_Scorer.scoreMap", const_cast<char**>(keywords), &imageObject,
                                     &paramsObject, &progress) ||
        !ltrp_python::checkCallable(progress, "progress"))
        return NULL;
    cv::Mat image;
    if (!pyopencv_to_safe(imageObject, image, ArgInfo("image", 0)))
        return NULL;
    cv::ltrp::ScoreParams params;
    if (paramsObject && paramsObject != Py_None)
    {
        cv::ltrp::ScoreParams* given = NULL;
        if (!pyopencv_ltrp_ScoreParams_getp(paramsObject, given))
            return failmsgp("Expected cv::ltrp::ScoreParams for argument 'params'");
        params = *given;
    }

    ltrp_python::Callbacks callbacks;
    cv::ltrp::PatchRanking ranking;
    const bool good = ltrp_python_try([&]()
    {
        ltrp_python::Unlocked unlocked;
        ranking = scorer->scoreMap(image, params, [&](int done, int total)
        {
            const ltrp_python::Locked locked(unlocked);
            return callbacks.call(progress, [&]() { return Py_BuildValue("(ii)", done, total); });
        });
    });
    if (callbacks.raise() || !good)
        return NULL;
    return pyopencv_ltrp_PatchRanking_Instance(ranking);
}

/// Returns an empty ranking and the properties that pickle sets on it.
static PyObject* pyopencv_cv_ltrp_PatchRanking_reduce(PyObject* self, PyObject*)
{
    cv::ltrp::PatchRanking* ranking = NULL;
    if (!pyopencv_ltrp_PatchRanking_getp(self, ranking))
        return failmsgp("Incorrect type of self (must be 'ltrp_PatchRanking' or its derivative)");
    return Py_BuildValue("(O()(O{sNsN}))", reinterpret_cast<PyObject*>(Py_TYPE(self)), Py_None,
                         "imageSize", pyopencv_from(ranking->imageSize), "scores", pyopencv_from(ranking->scores));
}

#define PYOPENCV_EXTRA_METHODS_ltrp_PatchRanking \
    {"__reduce__", CV_PY_FN_NOARGS_(pyopencv_cv_ltrp_PatchRanking_reduce, 0), "__reduce__() -> retval\n.   For pickle and copy."},

#define PYOPENCV_EXTRA_METHODS_ltrp_Trainer \
    {"run", CV_PY_FN_WITH_KW_(pyopencv_cv_ltrp_Trainer_run_callbacks, 0), \
     "run([, progress[, message]]) -> retval\n.   @brief Trains to the end or until a callback ends it.\n" \
     ".   @param progress function of a TrainProgress, called after every update; returning False or raising ends the\n" \
     ".   training with a checkpoint\n" \
     ".   @param message function of a str, one line at a time; OpenCV's log by default\n" \
     ".   @return True when final.safetensors is written; False when the callback ended it"},

#define PYOPENCV_EXTRA_METHODS_ltrp_Scorer \
    {"scoreMap", CV_PY_FN_WITH_KW_(pyopencv_cv_ltrp_Scorer_scoreMap_callbacks, 0), \
     "scoreMap(image[, params[, progress]]) -> retval\n.   @brief A full score map: every patch's mean over many masks.\n" \
     ".   @param image as for Ranker.rank\n.   @param params what to compute\n" \
     ".   @param progress function of (masks done, masks in all); returning False cancels with an error"},

#endif  // HAVE_OPENCV_LTRP
