// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PYBIND_BIND_HPP
#define OPENCV_LTRP_PYBIND_BIND_HPP

#include "../callbacks.hpp"
#include "arrays.hpp"

#include <opencv2/ltrp.hpp>

namespace ltrp_python
{

/// Runs C++ code without the interpreter lock.
template <class Work>
auto unlocked(Work work)
{
    const Unlocked release;
    return work();
}

/// Disables Class() and Class.__new__(Class): otherwise pybind11 would create an object with uninitialised memory.
template <class Class>
void onlyMadeBy(Class& cls, const char* makers)
{
    const std::string text = py::cast<std::string>(cls.attr("__name__")) + " objects are made by " + makers;
    cls.def_static("__new__", [text](const py::args&, const py::kwargs&) -> py::object { throw py::type_error(text); });
}

void bindRankings(py::module_& module);    // PatchRanking, patchRect, selection, drawing, shippedModel
void bindNetworks(py::module_& module);    // Ranker, Scorer and their parameters
void bindUses(py::module_& module);        // tokens, points, regions, RankingTracker, RankSaliency
void bindTraining(py::module_& module);    // Trainer and its parameters

}  // namespace ltrp_python

#endif
