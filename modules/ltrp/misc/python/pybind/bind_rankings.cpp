// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

namespace ltrp_python
{

namespace
{

using namespace cv::ltrp;

void bindRanking(py::module_& module)
{
    py::class_<PatchRanking>(module, "PatchRanking", "Scores of all patches of one image.")
        .def(py::init<>())
        .def_property("imageSize", [](const PatchRanking& self) { return tupleOf(self.imageSize); },
                      [](PatchRanking& self, const std::array<int, 2>& size) { self.imageSize = sizeOf(size); },
                      "(width, height) of the original image in pixels")
        .def_property("scores", [](const PatchRanking& self) { return arrayOf(self.scores); },
                      [](PatchRanking& self, const py::object& scores)
                      {
                          self.scores = arrayArgument(scores, "scores").mat.clone();
                      },
                      "float32 array, one row per grid row: higher = more worth keeping; no fixed range. The array shares\n"
                      "the ranking's memory; an array that is assigned is copied. None before there are scores.")
        .def(py::pickle([](const PatchRanking& self)
                        { return py::make_tuple(tupleOf(self.imageSize), arrayOf(self.scores)); },
                        [](const py::tuple& state)
                        {
                            if (state.size() != 2)
                                throw py::value_error("PatchRanking: expected a size and scores");
                            PatchRanking ranking;
                            ranking.imageSize = sizeOf(state[0].cast<std::array<int, 2>>());
                            if (!state[1].is_none())
                                ranking.scores = arrayArgument(py::object(state[1]), "scores").mat.clone();
                            return ranking;
                        }))
        .def("grid", [](const PatchRanking& self) { return tupleOf(self.grid()); },
             "grid() -> tuple[int, int]\n\n(columns, rows) of the patch grid.")
        .def("order", [](const PatchRanking& self) { return arrayOf(self.order()); },
             "order() -> numpy.ndarray\n\n"
             "Patch numbers (raster order) as int32, best first; equal scores in raster order.")
        .def("rect", [](const PatchRanking& self, int index) { return tupleOf(self.rect(index)); }, py::arg("index"),
             "rect(index: int) -> tuple[int, int, int, int]\n\n"
             "(x, y, width, height) of patch `index` on the original image, see patchRect.");

    module.def("patchRect",
               [](const std::array<int, 2>& imageSize, const std::array<int, 2>& grid, int index)
               {
                   return tupleOf(patchRect(sizeOf(imageSize), sizeOf(grid), index));
               },
               py::arg("imageSize"), py::arg("grid"), py::arg("index"),
               "patchRect(imageSize, grid, index: int) -> tuple[int, int, int, int]\n\n"
               "Rectangle of a patch on an image: (x, y, width, height) in pixels. The rectangles tile the image\n"
               "exactly.\n"
               "imageSize: (width, height) in pixels; grid: (columns, rows); index: 0 to columns * rows - 1, raster order.");
}

void bindSelection(py::module_& module)
{
    module.attr("SELECT_TOPK") = int(SELECT_TOPK);
    module.attr("SELECT_CLUSTER") = int(SELECT_CLUSTER);
    module.attr("SELECT_MASS") = int(SELECT_MASS);
    module.attr("SELECT_THRESHOLD") = int(SELECT_THRESHOLD);
    module.attr("SELECT_SAMPLE") = int(SELECT_SAMPLE);

    py::class_<SelectParams>(module, "SelectParams", "What selectPatches is to do.")
        .def(py::init<>())
        .def_readwrite("method", &SelectParams::method,
                       "SELECT_TOPK (default), SELECT_CLUSTER, SELECT_MASS, SELECT_THRESHOLD or SELECT_SAMPLE")
        .def_readwrite("keepRatio", &SelectParams::keepRatio,
                       "SELECT_TOPK, SELECT_CLUSTER, SELECT_SAMPLE: share of patches to keep, in (0, 1]; int(patches * keepRatio),\n"
                       "at least 1; 0.25")
        .def_readwrite("count", &SelectParams::count,
                       "SELECT_TOPK, SELECT_CLUSTER, SELECT_SAMPLE: number of patches to keep; 0 (default): keepRatio decides")
        .def_readwrite("scoreShare", &SelectParams::scoreShare,
                       "SELECT_CLUSTER: share of the kept ones chosen by score, in [0, 1]; 0.7")
        .def_readwrite("neighbours", &SelectParams::neighbours,
                       "SELECT_CLUSTER: k of DPC-KNN, the patch itself included, >= 1; 5")
        .def_readwrite("seed", &SelectParams::seed,
                       "SELECT_SAMPLE: of the draw, which differs between images by their scores alone: for independent draws give\n"
                       "each image a seed of its own. SELECT_CLUSTER: picks representatives, and centres among equals; 0")
        .def_readwrite("mass", &SelectParams::mass,
                       "SELECT_MASS: share of the softmax of the standardised scores that is kept, in (0, 1]; 0.75")
        .def_readwrite("temperature", &SelectParams::temperature,
                       "SELECT_MASS, SELECT_SAMPLE: of the softmax, in standard deviations of the scores, above 0; near 0\n"
                       "SELECT_SAMPLE keeps the best patches; 1")
        .def_readwrite("threshold", &SelectParams::threshold, "SELECT_THRESHOLD: lowest score that is kept, finite; 0")
        .def_readwrite("minRatio", &SelectParams::minRatio,
                       "SELECT_MASS, SELECT_THRESHOLD: at least this share of patches is kept, in [0, 1]; 0: one patch")
        .def_readwrite("maxRatio", &SelectParams::maxRatio,
                       "SELECT_MASS, SELECT_THRESHOLD: at most this share is kept, in (0, 1], not below minRatio; 1");

    module.def("keepCount", &keepCount, py::arg("numPatches"), py::arg("keepRatio"),
               "keepCount(numPatches: int, keepRatio: float) -> int\n\n"
               "Number of patches that a keep ratio in (0, 1] leaves: int(numPatches * keepRatio), at least 1.");
    module.def("selectPatches",
               [](const PatchRanking& ranking, const SelectParams& params, const py::object& image)
               {
                   const ArrayArgument array = arrayArgument(image, "image");
                   const PatchRanking rankingNow = ranking;
                   const SelectParams paramsNow = params;
                   return arrayOf(unlocked([&]() { return selectPatches(rankingNow, paramsNow, array.mat); }));
               },
               py::arg("ranking"), py::arg("params"), py::arg("image") = py::none(),
               "selectPatches(ranking, params, image=None) -> numpy.ndarray\n\n"
               "Chooses which patches to keep: their numbers as int32, raster order, ascending, all different.\n"
               "ranking: PatchRanking; params: SelectParams; image: the image that was ranked, for SELECT_CLUSTER, which\n"
               "clusters its patches' pixels and takes at most 4096 patches.");
}

void bindDrawing(py::module_& module)
{
    module.def("drawKept",
               [](const py::object& image, const std::array<int, 2>& grid, const std::vector<int>& keep,
                  const py::object& dst, double dim)
               {
                   const ArrayArgument array = arrayArgument(image, "image");
                   OutputArgument output(dst, "dst");
                   unlocked([&]() { drawKept(array.mat, sizeOf(grid), keep, output.mat, dim); });
                   return output.result();
               },
               py::arg("image"), py::arg("grid"), py::arg("keep"), py::arg("dst") = py::none(), py::arg("dim") = 0.25,
               "drawKept(image, grid, keep, dst=None, dim=0.25) -> numpy.ndarray\n\n"
               "Dims the patches that are not kept.\n"
               "image: uint8, (rows, columns), (rows, columns, 3) BGR or (rows, columns, 4) BGRA; grid: (columns, rows);\n"
               "keep: patch numbers, raster order; dst: array to write to, when it fits; dim: brightness factor of\n"
               "dropped patches, 0 to 1. Returns uint8 (rows, columns, 3).");
    module.def("drawHeatMap",
               [](const py::object& image, const py::object& scores, const py::object& dst, double alpha)
               {
                   const ArrayArgument array = arrayArgument(image, "image"), values = arrayArgument(scores, "scores");
                   OutputArgument output(dst, "dst");
                   unlocked([&]() { drawHeatMap(array.mat, values.mat, output.mat, alpha); });
                   return output.result();
               },
               py::arg("image"), py::arg("scores"), py::arg("dst") = py::none(), py::arg("alpha") = 0.55,
               "drawHeatMap(image, scores, dst=None, alpha=0.55) -> numpy.ndarray\n\n"
               "Colours an image by its patch scores, from dark for the lowest to light for the highest.\n"
               "image: as for drawKept; scores: float32 (grid rows, grid columns), finite; dst: array to write to, when\n"
               "it fits; alpha: weight of the colours, 0 to 1. Returns uint8 (rows, columns, 3).");
    module.def("drawOverlay",
               [](const py::object& image, const PatchRanking& ranking, const std::vector<int>& keep, const py::object& dst)
               {
                   const ArrayArgument array = arrayArgument(image, "image");
                   const PatchRanking rankingNow = ranking;
                   OutputArgument output(dst, "dst");
                   unlocked([&]() { drawOverlay(array.mat, rankingNow, keep, output.mat); });
                   return output.result();
               },
               py::arg("image"), py::arg("ranking"), py::arg("keep"), py::arg("dst") = py::none(),
               "drawOverlay(image, ranking, keep, dst=None) -> numpy.ndarray\n\n"
               "Kept patches bright and dropped ones dimmed on the left, a heat map with a colour bar on the right.\n"
               "image: as for drawKept; ranking: PatchRanking; keep: patch numbers; dst: array to write to, when it fits.\n"
               "Returns uint8 (rows, columns, 3), about twice as wide as the photo, which is shown 480 to 900 pixels long.");
}

}  // namespace

void bindRankings(py::module_& module)
{
    bindRanking(module);
    bindSelection(module);
    bindDrawing(module);
    module.def("shippedModel", [](const std::string& kind) { return shippedModel(kind); }, py::arg("kind"),
               "shippedModel(kind: str) -> str\n\n"
               "Path of a weight file that comes with the package, or of the one that the folder named by the environment\n"
               "variable LTRP_MODELS holds. kind: 'rank' or 'mae'.");
}

}  // namespace ltrp_python
