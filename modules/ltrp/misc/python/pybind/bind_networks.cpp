// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

namespace ltrp_python
{

namespace
{

using namespace cv::ltrp;

const char* const imageText =
    "image: uint8, uint16, float32 or float64 (floating values in [0, 1]); shape (rows, columns), (rows, columns, 1),\n"
    "(rows, columns, 3) BGR or (rows, columns, 4) BGRA; any size, finite. Views with contiguous rows of pixels are used\n"
    "in place, others are copied.";

std::string withImage(const std::string& text)
{
    return text + "\n" + imageText;
}

void bindConstants(py::module_& module)
{
    const std::pair<const char*, int> constants[] = {
        {"REMOVAL_DECODER", REMOVAL_DECODER}, {"REMOVAL_ENCODER", REMOVAL_ENCODER}, {"METRIC_L1", METRIC_L1},
        {"METRIC_L2", METRIC_L2}, {"METRIC_SSIM", METRIC_SSIM}, {"METRIC_PSNR", METRIC_PSNR},
        {"SPACE_DECODER", SPACE_DECODER}, {"SPACE_PIXEL", SPACE_PIXEL}, {"AVERAGE_SCORE", AVERAGE_SCORE},
        {"AVERAGE_RANK", AVERAGE_RANK}, {"CONTEXT_UNIFORM", CONTEXT_UNIFORM}, {"CONTEXT_BORDER", CONTEXT_BORDER},
        {"TARGET_CPU", TARGET_CPU}, {"TARGET_CPU_BF16", TARGET_CPU_BF16},
        {"TARGET_CPU_INT8", TARGET_CPU_INT8}, {"TARGET_CUDA", TARGET_CUDA}, {"TARGET_CUDA_FP16", TARGET_CUDA_FP16},
        {"TARGET_CUDA_BF16", TARGET_CUDA_BF16}, {"TARGET_CUDA_TF32", TARGET_CUDA_TF32}};
    for (const auto& constant : constants)
        module.attr(constant.first) = constant.second;
    module.def("missingForTarget", [](int target) { return missingForTarget(target); }, py::arg("target"),
               "missingForTarget(target: int) -> str\n\n"
               "Empty when that target can be had here, else what is missing. target: TARGET_CPU, TARGET_CPU_BF16,\n"
               "TARGET_CPU_INT8, TARGET_CUDA, TARGET_CUDA_FP16, TARGET_CUDA_BF16, TARGET_CUDA_TF32.");
}

/// Common members of Ranker and Scorer.
template <class Network, class Class>
void bindCommon(Class& cls)
{
    cls.def("setPreferableBackend", [](Network& self, int backendId) { self.setPreferableBackend(backendId); },
            py::arg("backendId"),
            "setPreferableBackend(backendId: int) -> None\n\n"
            "cv2.dnn's backend: DNN_BACKEND_OPENCV, DNN_BACKEND_DEFAULT or DNN_BACKEND_CUDA. Must not run during another call.")
        .def("setPreferableTarget", [](Network& self, int targetId) { self.setPreferableTarget(targetId); },
             py::arg("targetId"),
             "setPreferableTarget(targetId: int) -> None\n\n"
             "Device and precision: TARGET_CPU (default), TARGET_CPU_BF16, TARGET_CPU_INT8, TARGET_CUDA, ...; an error says what\n"
             "is missing for it here. Must not run during another call.")
        .def("getInputSize", [](const Network& self) { return tupleOf(self.getInputSize()); },
             "getInputSize() -> tuple[int, int]\n\n(width, height) of the network's input in pixels.")
        .def("getGrid", [](const Network& self) { return tupleOf(self.getGrid()); },
             "getGrid() -> tuple[int, int]\n\n(columns, rows) of the patch grid.")
        .def("info", [](const Network& self) { return self.info(); },
             "info() -> str\n\nModel, geometry, backend, device, precision and library really in use.");
}

/// Releases the lock while loading, because it takes a while.
template <class Network, class Option>
std::shared_ptr<Network> load(const py::object& model, Option option)
{
    if (model.is_none())
        return unlocked([]() { return Network::create(); });
    const std::string path = pathArgument(model);
    return unlocked([&]() { return Network::create(path, option); });
}

const char* const createText =
    "\nmodel: path of a weight file; without it the one that comes with the package, see shippedModel.\n"
    "Raises error naming the file, the tensor, the expected and the found.";

void bindRanker(py::module_& module)
{
    py::class_<Ranker, std::shared_ptr<Ranker>> cls(
        module, "Ranker",
        "Ranks the patches of images with a trained vision transformer.\n\n"
        "One object may be used from several threads at once, except for the setters. Created by Ranker.create.");
    const auto text = "create(model=None, trusted=False) -> Ranker\n\nLoads a ranker. trusted: ONNX files of any origin, which cv::dnn believes all that\nthey say." + std::string(createText);
    const auto create = &load<Ranker, bool>;
    cls.def_static("create", create, py::arg("model") = py::none(), py::arg("trusted") = false, text.c_str());
    module.def("Ranker_create", create, py::arg("model") = py::none(), py::arg("trusted") = false, text.c_str());
    module.def("exportOnnx",
               [](const py::object& model, const py::object& onnx, const std::array<int, 2>& inputSize)
               {
                   const std::string from = pathArgument(model), to = pathArgument(onnx);
                   unlocked([&]() { exportOnnx(from, to, sizeOf(inputSize)); });
               },
               py::arg("model"), py::arg("onnx"), py::arg("inputSize") = std::array<int, 2>{0, 0},
               "exportOnnx(model, onnx, inputSize=(0, 0)) -> None\n\nWrites a ranker's weight file as ONNX: image [N,3,H,W], RGB in "
               "[0, 1] less mean, over std -> scores [N,L].\ninputSize: (width, height) in pixels, multiples of the patch size; "
               "(0, 0): as in training.");
    onlyMadeBy(cls, "Ranker.create");
    bindCommon<Ranker>(cls);
    cls.def("rank",
            [](const Ranker& self, const py::object& image)
            {
                const ArrayArgument array = arrayArgument(image, "image");
                return unlocked([&]() { return self.rank(array.mat); });
            },
            py::arg("image"),
            withImage("rank(image) -> PatchRanking\n\nScores the patches of one image.").c_str())
        .def("rankBatch",
             [](const Ranker& self, const py::object& images)
             {
                 const ArrayList list = arrayList(images, "images");
                 const std::vector<PatchRanking> rankings = unlocked([&]() { return self.rankBatch(list.mats); });
                 return py::tuple(py::cast(rankings));
             },
             py::arg("images"),
             withImage("rankBatch(images) -> tuple[PatchRanking, ...]\n\n"
                       "Scores a list of images of any sizes in one pass; one ranking per image, in order.").c_str())
        .def("setInputSize",
             [](Ranker& self, const std::array<int, 2>& size) { unlocked([&]() { self.setInputSize(sizeOf(size)); }); },
             py::arg("size"),
             "setInputSize(size) -> None\n\nSets the size to which images are resized, (width, height) in "
             "pixels, multiples of the patch size, and thus the grid.\nOnly rankers with a token head accept a size other than "
             "in training. Must not run during another call.")
        .def("fittingInputSize",
             [](const Ranker& self, const std::array<int, 2>& imageSize, int patches)
             { return tupleOf(self.fittingInputSize(sizeOf(imageSize), patches)); },
             py::arg("imageSize"), py::arg("patches") = 0,
             "fittingInputSize(imageSize, patches=0) -> tuple[int, int]\n\nAn input size whose patches are nearly square on an "
             "image of (width, height) pixels:\nabout `patches` of them, 1 to 65536; 0: as many as in training.")
        .def("getInputMean", [](const Ranker& self) { return tupleOf(self.getInputMean()); },
             "getInputMean() -> tuple[float, float, float, float]\n\nR, G, B for values in [0, 1], and 0.")
        .def("getInputStd", [](const Ranker& self) { return tupleOf(self.getInputStd()); },
             "getInputStd() -> tuple[float, float, float, float]\n\nR, G, B for values in [0, 1], and 0.");
}

void bindScoring(py::module_& module)
{
    py::class_<ScoreParams>(module, "ScoreParams", "What Scorer is to compute.")
        .def(py::init<>())
        .def_readwrite("maskRatio", &ScoreParams::maskRatio,
                       "share hidden, in (0, 1); int(patches * (1 - maskRatio)) patches stay, 2 or more; 0.9")
        .def_readwrite("removal", &ScoreParams::removal, "REMOVAL_DECODER (default) or REMOVAL_ENCODER")
        .def_readwrite("metric", &ScoreParams::metric, "METRIC_L1 (default), METRIC_L2, METRIC_SSIM or METRIC_PSNR")
        .def_readwrite("space", &ScoreParams::space, "SPACE_DECODER (default) or SPACE_PIXEL")
        .def_readwrite("average", &ScoreParams::average, "AVERAGE_SCORE (default) or AVERAGE_RANK, for scoreMap()")
        .def_readwrite("masks", &ScoreParams::masks, "random masks averaged by scoreMap(), >= 1; 32")
        .def_readwrite("seed", &ScoreParams::seed, "masks are a function of (seed, mask number) alone; 0")
        .def_readwrite("sampleShare", &ScoreParams::sampleShare,
                       "in (0, 1]; 1 (default): exact; below: estimates from that share of the masked patches")
        .def_readwrite("teacher", &ScoreParams::teacher,
                       "what scoreMap() measures: leave-one-out (default; the paper's), own-error, features, gradient,\n"
                       "barrier, spectral, fine-grained or centre, or a weighted sum of their ranks:\n"
                       "\"features*1+barrier*0.7+spectral*0.5+centre*0.1\"")
        .def_readwrite("smooth", &ScoreParams::smooth,
                       "standard deviation, in patches, of a Gaussian that the map goes through, 0 to 100; 0: none; 0")
        .def_readwrite("context", &ScoreParams::context,
                       "which patches the masks of leave-one-out and own-error leave visible: CONTEXT_UNIFORM (default)\n"
                       "or CONTEXT_BORDER, three quarters of them at the image's border")
        .def_property("featureBlocks", [](const ScoreParams& self) { return arrayOf(self.featureBlocks); },
                      [](ScoreParams& self, const std::vector<int>& blocks) { self.featureBlocks = blocks; },
                      "int32 array: encoder blocks whose attention keys the cue features compares, from 0; empty\n"
                      "(default): those at 40, 60 and 70 % of the depth");

    py::class_<VisibleScores>(module, "VisibleScores", "Pseudo-scores of the visible patches under one random mask.")
        .def(py::init<>())
        .def_property("patches", [](const VisibleScores& self) { return arrayOf(self.patches); },
                      [](VisibleScores& self, const std::vector<int>& patches) { self.patches = patches; },
                      "int32 array: visible patch numbers, raster order, ascending")
        .def_property("scores", [](const VisibleScores& self) { return arrayOf(self.scores); },
                      [](VisibleScores& self, const std::vector<float>& scores) { self.scores = scores; },
                      "float32 array: one score per visible patch, same order");
}

PatchRanking scoreMap(const Scorer& self, const py::object& image, const ScoreParams& params, const py::object& progress)
{
    const ArrayArgument array = arrayArgument(image, "image");
    const ScoreParams paramsNow = params;
    if (!checkCallable(progress.ptr(), "progress"))
        throw py::error_already_set();
    Callbacks callbacks;
    try
    {
        Unlocked unlocked;
        return self.scoreMap(array.mat, paramsNow, [&](int done, int total)
        {
            const Locked locked(unlocked);
            return callbacks.call(progress.ptr(), [&]() { return Py_BuildValue("(ii)", done, total); });
        });
    }
    catch (const cv::Exception&)
    {
        if (callbacks.raise())
            throw py::error_already_set();
        throw;
    }
}

void bindScorer(py::module_& module)
{
    py::class_<Scorer, std::shared_ptr<Scorer>> cls(
        module, "Scorer",
        "Measures what patches are worth with a masked autoencoder, no labels and no trained ranker needed.\n\n"
        "One object may be used from several threads at once, except for the setters. Created by Scorer.create.");
    const auto text = "create(model=None, normPixLoss=-1) -> Scorer\n\nLoads a masked autoencoder (encoder and decoder).\n"
                      "normPixLoss: whether it predicts pixels normalised per patch: 1, 0, or -1: as the file says." +
                      std::string(createText);
    const auto create = &load<Scorer, int>;
    cls.def_static("create", create, py::arg("model") = py::none(), py::arg("normPixLoss") = -1, text.c_str());
    module.def("Scorer_create", create, py::arg("model") = py::none(), py::arg("normPixLoss") = -1, text.c_str());
    onlyMadeBy(cls, "Scorer.create");
    bindCommon<Scorer>(cls);
    cls.def("score",
            [](const Scorer& self, const py::object& image, const ScoreParams& params)
            {
                const ArrayArgument array = arrayArgument(image, "image");
                const ScoreParams paramsNow = params;
                return unlocked([&]() { return self.score(array.mat, paramsNow); });
            },
            py::arg("image"), py::arg("params") = ScoreParams(),
            withImage("score(image, params=ScoreParams()) -> VisibleScores\n\n"
                      "Scores the visible patches of one random mask, which params.seed picks.").c_str())
        .def("scoreMap", &scoreMap, py::arg("image"), py::arg("params") = ScoreParams(), py::arg("progress") = py::none(),
             withImage("scoreMap(image, params=ScoreParams(), progress=None) -> PatchRanking\n\n"
                       "A full score map by params.teacher. For leave-one-out it is every patch's mean over those of many\n"
                       "random masks in which it was visible, for own-error over those in which it was hidden.\n"
                       "progress: function of (masks done, masks in all); returning False cancels with an error, raising\n"
                       "cancels too.").c_str())
        .def("addFeaturePhoto",
             [](Scorer& self, const py::object& photo)
             {
                 const ArrayArgument array = arrayArgument(photo, "photo");
                 unlocked([&]() { self.addFeaturePhoto(array.mat); });
             },
             py::arg("photo"),
             "addFeaturePhoto(photo) -> None\n\n"
             "Adds a photo to those whose mean attention keys the cue features takes away. The cue needs 16 photos or\n"
             "more, similar to those to be scored; 64 are enough. Must not run during another call.\n"
             "photo: as the image of scoreMap.");
}

}  // namespace

void bindNetworks(py::module_& module)
{
    bindConstants(module);
    bindRanker(module);
    bindScoring(module);
    bindScorer(module);
}

}  // namespace ltrp_python
