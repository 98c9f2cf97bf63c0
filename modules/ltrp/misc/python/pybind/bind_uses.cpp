// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

namespace ltrp_python
{

namespace
{

using namespace cv::ltrp;

void bindTracker(py::module_& module)
{
    py::class_<RankingTracker, std::shared_ptr<RankingTracker>> cls(
        module, "RankingTracker",
        "Keeps the choice of patches steady over the frames of a video.\n\n"
        "Scores are standardised and smoothed over time, and kept patches are favoured by a margin; a new scene forgets both.\n"
        "One object follows one video, in one thread at a time. Made by RankingTracker.create.");
    const char* const text =
        "create(select=SelectParams(), memory=0.7, margin=0.2, cut=0.5) -> RankingTracker\n\n"
        "select: SelectParams; memory: weight of the past in the smoothed scores, in [0, 1); margin: what a kept patch's score\n"
        "is favoured by, in standard deviations, >= 0; cut: share of pixels, in [0, 1], whose colour must change for a new\n"
        "scene, by half the L1 distance of colour histograms; 1: only frames of another size begin a scene.";
    const auto create = [](const SelectParams& select, double memory, double margin, double cut)
    { return std::shared_ptr<RankingTracker>(RankingTracker::create(select, memory, margin, cut)); };
    cls.def_static("create", create, py::arg("select") = SelectParams(), py::arg("memory") = 0.7, py::arg("margin") = 0.2,
                   py::arg("cut") = 0.5, text);
    module.def("RankingTracker_create", create, py::arg("select") = SelectParams(), py::arg("memory") = 0.7,
               py::arg("margin") = 0.2, py::arg("cut") = 0.5, text);
    onlyMadeBy(cls, "RankingTracker.create");
    cls.def("update",
            [](RankingTracker& self, const py::object& frame, const PatchRanking& ranking)
            {
                const ArrayArgument array = arrayArgument(frame, "frame");
                return self.update(array.mat, ranking);
            },
            py::arg("frame"), py::arg("ranking"),
            "update(frame, ranking) -> bool\n\nTakes the next frame; True if it begins a new scene.\n"
            "frame: the ranked frame, as for Ranker.rank; ranking: its PatchRanking, whose scores are finite.")
        .def("getRanking", [](const RankingTracker& self) { return self.getRanking(); },
             "getRanking() -> PatchRanking\n\nThe smoothed scores in standard deviations; without scores before the first frame.")
        .def("getKept", [](const RankingTracker& self) { return arrayOf(self.getKept()); },
             "getKept() -> numpy.ndarray\n\nKept patch numbers as int32, raster order, ascending; none before the first frame.")
        .def("reset", [](RankingTracker& self) { self.reset(); },
             "reset() -> None\n\nForgets all frames: the next one begins a new scene.");
}

void bindSaliency(py::module_& module)
{
    py::class_<RankSaliency, std::shared_ptr<RankSaliency>> cls(
        module, "RankSaliency",
        "Saliency maps from patch scores, in the manner of cv2.saliency.StaticSaliency. Made by RankSaliency.create.");
    const char* const text = "create(model=None) -> RankSaliency\n\n"
                             "model: weight file of a ranker, see Ranker.create; without it the one that comes with the package.";
    const auto create = [](const py::object& model) -> std::shared_ptr<RankSaliency>
    {
        const std::string path = model.is_none() ? std::string() : pathArgument(model);
        return unlocked([&]() { return RankSaliency::create(path); });
    };
    cls.def_static("create", create, py::arg("model") = py::none(), text);
    module.def("RankSaliency_create", create, py::arg("model") = py::none(), text);
    onlyMadeBy(cls, "RankSaliency.create");
    cls.def("computeSaliency",
            [](const RankSaliency& self, const py::object& image, const py::object& saliencyMap)
            {
                const ArrayArgument array = arrayArgument(image, "image");
                OutputArgument output(saliencyMap, "saliencyMap");
                const bool computed = unlocked([&]() { return self.computeSaliency(array.mat, output.mat); });
                return py::make_tuple(computed, computed ? output.result() : py::object(py::none()));
            },
            py::arg("image"), py::arg("saliencyMap") = py::none(),
            "computeSaliency(image, saliencyMap=None) -> tuple[bool, numpy.ndarray]\n\n"
            "Computes the saliency map of an image: float32 (rows, columns), 0 to 1. False and None for an empty image.\n"
            "image: as for Ranker.rank; saliencyMap: array to write to, when it fits.")
        .def("setEdgeAware", [](RankSaliency& self, bool edgeAware) { self.setEdgeAware(edgeAware); }, py::arg("edgeAware"),
             "setEdgeAware(edgeAware: bool) -> None\n\n"
             "Aligns maps with the edges of the image (True, the default), or only interpolates the scores linearly.\n"
             "Not to be called beside a running call.")
        .def("getEdgeAware", [](const RankSaliency& self) { return self.getEdgeAware(); },
             "getEdgeAware() -> bool\n\nWhether maps are aligned with edges.")
        .def("getRanker", [](const RankSaliency& self) -> std::shared_ptr<Ranker> { return self.getRanker(); },
             "getRanker() -> Ranker\n\nThe ranker in use, to choose its input size, backend and target.");
}

}  // namespace

void bindUses(py::module_& module)
{
    bindTracker(module);
    bindSaliency(module);
}

}  // namespace ltrp_python
