// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

namespace ltrp_python
{

namespace
{

using namespace cv::ltrp;

/// Points as an int32 array of rows (x, y).
py::array arrayOf(const std::vector<cv::Point>& points)
{
    py::array_t<int> array({static_cast<py::ssize_t>(points.size()), py::ssize_t(2)});
    auto view = array.mutable_unchecked<2>();
    for (size_t i = 0; i < points.size(); ++i)
    {
        view(static_cast<py::ssize_t>(i), 0) = points[i].x;
        view(static_cast<py::ssize_t>(i), 1) = points[i].y;
    }
    return std::move(array);
}

std::vector<cv::Point> pointsOf(const std::vector<std::array<int, 2>>& pairs)
{
    std::vector<cv::Point> points;
    for (const std::array<int, 2>& pair : pairs)
        points.emplace_back(pair[0], pair[1]);
    return points;
}

/// A member that is a vector of numbers: an int32 array, copied in both directions.
template <class Class>
void numbersProperty(py::class_<Class>& cls, const char* name, std::vector<int> Class::*member, const char* text)
{
    cls.def_property(name, [member](const Class& self) { return ltrp_python::arrayOf(self.*member); },
                     [member](Class& self, const std::vector<int>& values) { self.*member = values; }, text);
}

TokenSelection tokensOf(const PatchRanking& ranking, const std::array<int, 2>& grid, const SelectParams& params, int merge,
                        int order)
{
    const PatchRanking rankingNow = ranking;
    const SelectParams paramsNow = params;
    return unlocked([&]() { return selectTokens(rankingNow, sizeOf(grid), paramsNow, merge, order); });
}

void bindTokens(py::module_& module)
{
    module.attr("TOKEN_ORDER_RASTER") = int(TOKEN_ORDER_RASTER);
    module.attr("TOKEN_ORDER_WINDOWS") = int(TOKEN_ORDER_WINDOWS);

    py::class_<TokenSelection> selection(module, "TokenSelection", "The tokens of a vision transformer to keep.");
    selection.def(py::init<>())
        .def_property("grid", [](const TokenSelection& self) { return tupleOf(self.grid); },
                      [](TokenSelection& self, const std::array<int, 2>& grid) { self.grid = sizeOf(grid); },
                      "(columns, rows) of patch tokens, before merging")
        .def_readwrite("merge", &TokenSelection::merge, "side of a merge window in tokens");
    numbersProperty(selection, "indices", &TokenSelection::indices,
                    "int32 array: kept tokens, numbered in the requested order, ascending");
    numbersProperty(selection, "rows", &TokenSelection::rows, "int32 array: row of each of them in the grid");
    numbersProperty(selection, "columns", &TokenSelection::columns, "int32 array: column of each of them");
    numbersProperty(selection, "merged", &TokenSelection::merged,
                    "int32 array: kept merge windows, row by row over grid / merge, ascending");

    module.def("resampleScores",
               [](const py::object& scores, const std::array<int, 2>& grid, const py::object& dst)
               {
                   const ArrayArgument array = arrayArgument(scores, "scores");
                   OutputArgument output(dst, "dst");
                   unlocked([&]() { resampleScores(array.mat, sizeOf(grid), output.mat); });
                   return output.result();
               },
               py::arg("scores"), py::arg("grid"), py::arg("dst") = py::none(),
               "resampleScores(scores, grid, dst=None) -> numpy.ndarray\n\n"
               "Resamples a score map to another grid over the same image: by the mean of the area that a cell covers where\n"
               "there are fewer rows (columns), by linear interpolation between the centres where there are more.\n"
               "scores: float32 (grid rows, grid columns), finite; grid: (columns, rows), each 1 to 4096; dst: array to write\n"
               "to, when it fits. Returns float32 (rows, columns).");
    module.def("tokenGrid",
               [](const std::array<int, 2>& imageSize, int patchSize, int merge)
               { return tupleOf(tokenGrid(sizeOf(imageSize), patchSize, merge)); },
               py::arg("imageSize"), py::arg("patchSize"), py::arg("merge") = 1,
               "tokenGrid(imageSize, patchSize: int, merge: int = 1) -> tuple[int, int]\n\n"
               "(columns, rows) of patches of a vision transformer that takes images at their own resolution: each side is\n"
               "rounded to the nearest multiple of patchSize * merge pixels (halves to the even multiple), one at least.\n"
               "imageSize: (width, height) in pixels; patchSize: in pixels; merge: side of a merge window in patches.");
    const char* const arguments =
        "ranking: PatchRanking; grid: (columns, rows) of patch tokens, multiples of merge; params: SelectParams, the budget:\n"
        "SELECT_TOPK or SELECT_SAMPLE with count tokens or a share, SELECT_MASS or SELECT_THRESHOLD; merge: windows of\n"
        "merge x merge tokens are kept whole; order: TOKEN_ORDER_RASTER, or TOKEN_ORDER_WINDOWS for tokens numbered window\n"
        "by window (Qwen2-VL).";
    module.def("selectTokens", &tokensOf, py::arg("ranking"), py::arg("grid"), py::arg("params") = SelectParams(),
               py::arg("merge") = 1, py::arg("order") = int(TOKEN_ORDER_RASTER),
               (std::string("selectTokens(ranking, grid, params=SelectParams(), merge=1, order=TOKEN_ORDER_RASTER) -> "
                            "TokenSelection\n\nSelects the tokens of a vision transformer to keep.\n") + arguments).c_str());
    module.def("select_tokens",
               [](const PatchRanking& ranking, const std::array<int, 2>& grid, const SelectParams& params, int merge, int order)
               {
                   const TokenSelection tokens = tokensOf(ranking, grid, params, merge, order);
                   return ltrp_python::arrayOf(std::vector<int64_t>(tokens.indices.begin(), tokens.indices.end()));
               },
               py::arg("ranking"), py::arg("grid"), py::arg("params") = SelectParams(), py::arg("merge") = 1,
               py::arg("order") = int(TOKEN_ORDER_RASTER),
               (std::string("select_tokens(ranking, grid, params=SelectParams(), merge=1, order=TOKEN_ORDER_RASTER) -> "
                            "numpy.ndarray\n\nselectTokens(...).indices as int64, as torch.index_select takes them by "
                            "torch.from_numpy.\n") + arguments).c_str());
}

void bindPrompts(py::module_& module)
{
    module.def("selectPoints",
               [](const PatchRanking& ranking, int count, double spread)
               {
                   const PatchRanking rankingNow = ranking;
                   return arrayOf(unlocked([&]() { return selectPoints(rankingNow, count, spread); }));
               },
               py::arg("ranking"), py::arg("count"), py::arg("spread") = 0.5,
               "selectPoints(ranking, count: int, spread: float = 0.5) -> numpy.ndarray\n\n"
               "Points on the image, for example as prompts of an interactive segmenter: peaks of the enlarged score map by\n"
               "greedy non-maximum suppression. Returns int32 (count, 2): x and y in pixels, the most important first.\n"
               "ranking: PatchRanking; count: 1 to 1024; spread: distance between the points, 0 to 1, in\n"
               "sqrt(width * height / count).");

    py::class_<PatchRegion> region(module, "PatchRegion", "A connected area of kept patches.");
    region.def(py::init<>())
        .def_property("box", [](const PatchRegion& self) { return tupleOf(self.box); },
                      [](PatchRegion& self, const std::array<int, 4>& box)
                      { self.box = cv::Rect(box[0], box[1], box[2], box[3]); },
                      "(x, y, width, height) in pixels")
        .def_property("outline", [](const PatchRegion& self) { return arrayOf(self.outline); },
                      [](PatchRegion& self, const std::vector<std::array<int, 2>>& outline)
                      { self.outline = pointsOf(outline); },
                      "int32 array (corners, 2): x and y of the outer border in pixels, clockwise")
        .def_property("holes",
                      [](const PatchRegion& self)
                      {
                          py::list holes;
                          for (const std::vector<cv::Point>& hole : self.holes)
                              holes.append(arrayOf(hole));
                          return py::tuple(holes);
                      },
                      [](PatchRegion& self, const std::vector<std::vector<std::array<int, 2>>>& holes)
                      {
                          self.holes.clear();
                          for (const std::vector<std::array<int, 2>>& hole : holes)
                              self.holes.push_back(pointsOf(hole));
                      },
                      "tuple of such arrays: borders of the areas inside that are not kept, counter-clockwise")
        .def_readwrite("score", &PatchRegion::score, "mean score of the patches");
    numbersProperty(region, "patches", &PatchRegion::patches, "int32 array: patch numbers, ascending");

    module.def("keptRegions",
               [](const PatchRanking& ranking, const std::vector<int>& keep)
               {
                   const PatchRanking rankingNow = ranking;
                   return py::tuple(py::cast(unlocked([&]() { return keptRegions(rankingNow, keep); })));
               },
               py::arg("ranking"), py::arg("keep"),
               "keptRegions(ranking, keep) -> tuple[PatchRegion, ...]\n\n"
               "Groups kept patches that share a side into regions, the largest first.\n"
               "ranking: PatchRanking; keep: patch numbers, for example of selectPatches.");
}

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
        .def("getKept", [](const RankingTracker& self) { return ltrp_python::arrayOf(self.getKept()); },
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
             "Must not run during another call.")
        .def("getEdgeAware", [](const RankSaliency& self) { return self.getEdgeAware(); },
             "getEdgeAware() -> bool\n\nWhether maps are aligned with edges.")
        .def("getRanker", [](const RankSaliency& self) -> std::shared_ptr<Ranker> { return self.getRanker(); },
             "getRanker() -> Ranker\n\nThe ranker in use, to choose its input size, backend and target.");
}

}  // namespace

void bindUses(py::module_& module)
{
    bindTokens(module);
    bindPrompts(module);
    bindTracker(module);
    bindSaliency(module);
}

}  // namespace ltrp_python
