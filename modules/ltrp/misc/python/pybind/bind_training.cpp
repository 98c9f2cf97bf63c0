// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bind.hpp"

#include "../../../src/train/option_table.hpp"
#include "../served_call.hpp"

namespace ltrp_python
{

namespace
{

using namespace cv::ltrp;

void bindTrainParams(py::module_& module)
{
    using P = TrainParams;
    py::class_<P> params(module, "TrainParams", "What both kinds of training share.\n\n"
                         "An effective batch is batch * accumulate images: one update of the weights.");
    params.def(py::init<>())
        .def_property("data", [](const P& self) { return py::tuple(py::cast(self.data)); },
                      [](P& self, const std::vector<std::string>& data) { self.data.assign(data.begin(), data.end()); },
                      "folders (searched recursively), image files, shards (.tar), or list files (one path per line)")
        .def_readwrite("out", &P::out, "folder for checkpoints, log.jsonl and final.safetensors; made if absent")
        .def_readwrite("init", &P::init,
                       "weight file that the weights start from, empty (default): random values. An autoencoder starts\n"
                       "from one of the same geometry; a ranker from one of the same geometry, or from the first blocks of\n"
                       "an autoencoder's encoder of the same width, heads, image and patch size")
        .def_readwrite("resume", &P::resume, "go on from the newest complete checkpoint in `out`; False")
        .def_readwrite("seed", &P::seed, "all random draws are functions of it; 0")
        .def("setWholePhotos", &P::setWholePhotos,
             "setWholePhotos() -> None\n\nSets the random crop to none: the whole image is taken; one longer than 2:1 is cut to its middle.")
        .def_readwrite("target", &P::target,
                       "device and precision of the network in training: TARGET_CPU, TARGET_CPU_BF16, TARGET_CUDA, ...; TARGET_CPU")
        .def_readwrite("reduceJpegs", &P::reduceJpegs, "decode JPEG files at the size that crops need; True")
        .def_readwrite("note", &P::note, "free text kept with the result");
    for (const train::TrainOption& option : train::trainOptions())
    {
        const std::string help = std::string(option.help) + ". " + option.range;
        if (option.real)
            params.def_readwrite(option.member, option.real, help.c_str());
        else
            params.def_readwrite(option.member, option.whole, help.c_str());
    }
}

void bindKinds(py::module_& module)
{
    using M = MaePretrainParams;
    py::class_<M, TrainParams>(module, "MaePretrainParams",
                               "Pretraining of a masked autoencoder. Defaults: He et al., CVPR 2022, ViT-B/16.")
        .def(py::init<>())
        .def("setPreset", [](M& self, const std::string& name) { self.setPreset(name); }, py::arg("name"),
             "setPreset(name: str) -> None\n\nSets patch size, widths, depths and heads: tiny, small, base, large, huge.")
        .def_readwrite("imageSize", &M::imageSize, "input side in pixels, a multiple of patchSize; 224")
        .def_readwrite("patchSize", &M::patchSize, "patch side in pixels; 16")
        .def_readwrite("embedDim", &M::embedDim, "encoder width, a multiple of 4 and of heads; 768")
        .def_readwrite("depth", &M::depth, "encoder blocks; 12")
        .def_readwrite("heads", &M::heads, "encoder attention heads; 12")
        .def_readwrite("decoderEmbedDim", &M::decoderEmbedDim, "decoder width, a multiple of 4 and of decoderHeads; 512")
        .def_readwrite("decoderDepth", &M::decoderDepth, "decoder blocks; 8")
        .def_readwrite("decoderHeads", &M::decoderHeads, "decoder attention heads; 16")
        .def_readwrite("normPixLoss", &M::normPixLoss, "predict pixels normalised per patch; True");

    using R = RankerTrainParams;
    py::class_<R, TrainParams>(module, "RankerTrainParams",
                               "Training of a ranker on a frozen autoencoder's pseudo-scores. Defaults: Luo et al., CVPR "
                               "2024.")
        .def(py::init<>())
        .def("setPreset", [](R& self, const std::string& name) { self.setPreset(name); }, py::arg("name"),
             "setPreset(name: str) -> None\n\nSets widths, depths and heads: tiny, small, base, large, huge.")
        .def_readwrite("mae", &R::mae, "weight file of the autoencoder")
        .def_readwrite("targets", &R::targets,
                       "instead of mae: folder of score maps that `ltrp score --targets` computed for the same data; with\n"
                       "seesAll all patches of a crop are compared, else the visible ones; better call\n"
                       "setWholePhotos(): the targets of crops are blurred")
        .def_readwrite("embedDim", &R::embedDim, "ranker width, a multiple of 4 and of heads; 384")
        .def_readwrite("depth", &R::depth, "ranker blocks; 12")
        .def_readwrite("heads", &R::heads, "ranker attention heads; 6")
        .def_readwrite("head", &R::head,
                       "\"token\" (default): a score from each patch's token, on any grid; \"class\" (the paper): all "
                       "scores from the class token")
        .def_readwrite("removal", &R::removal, "REMOVAL_DECODER (default) or REMOVAL_ENCODER")
        .def_readwrite("metric", &R::metric, "METRIC_L1 (default), METRIC_L2, METRIC_SSIM or METRIC_PSNR")
        .def_readwrite("space", &R::space, "SPACE_DECODER (default) or SPACE_PIXEL")
        .def_readwrite("loss", &R::loss,
                       "list-mle-k (default), list-mle, rank-net, list-net, point-wise or focused-rank")
        .def_readwrite("listK", &R::listK, "list-mle-k: columns drawn per image, >= 2; 20")
        .def_readwrite("seesAll", &R::seesAll,
                       "False: the ranker learns from the visible patches alone; True: from the whole image; False")
        .def_readwrite("scoreTarget", &R::scoreTarget,
                       "device and precision of the autoencoder's passes, on the same device as target; TARGET_CPU");
}

void bindProgress(py::module_& module)
{
    using P = TrainProgress;
    py::class_<P>(module, "TrainProgress", "Progress of a training; values are those of the last update.")
        .def(py::init<>())
        .def_readwrite("step", &P::step, "updates done")
        .def_readwrite("steps", &P::steps, "updates in all")
        .def_readwrite("epoch", &P::epoch, "passes over the data done")
        .def_readwrite("epochs", &P::epochs, "passes over the data in all")
        .def_readwrite("loss", &P::loss, "mean over the effective batch")
        .def_readwrite("learningRate", &P::learningRate, "used in this update")
        .def_readwrite("imagesPerSecond", &P::imagesPerSecond, "smoothed over about the last minute")
        .def_readwrite("dataWait", &P::dataWait, "share of this update's time spent waiting for images, 0 to 1")
        .def_readwrite("secondsLeft", &P::secondsLeft, "estimate")
        .def_readwrite("skipped", &P::skipped, "unreadable images so far in this process")
        .def_readwrite("batch", &P::batch, "batches done in the current update, 0 after an update")
        .def_readwrite("batches", &P::batches, "batches of an update");
}

bool run(Trainer& self, const py::object& progress, const py::object& message)
{
    if (!checkCallable(progress.ptr(), "progress") || !checkCallable(message.ptr(), "message"))
        throw py::error_already_set();
    const Exclusive exclusive(&self);
    if (!exclusive.mine())
        CV_Error(cv::Error::StsError, "this Trainer is running already");
    ServedCall call(progress.ptr(), message.ptr());
    if (!progress.is_none())
        self.setProgress([&](const TrainProgress& state)
        {
            return call.ask([&state]() -> PyObject*
            {
                try
                {
                    return py::make_tuple(state).release().ptr();
                }
                catch (py::error_already_set& error)   // in the calling thread, above a thread that is yet to be joined
                {
                    error.restore();
                }
                catch (const std::exception& error)
                {
                    PyErr_SetString(PyExc_RuntimeError, error.what());
                }
                return nullptr;
            });
        });
    if (!message.is_none())
        self.setMessage([&](const cv::String& line) { call.tell(line); });
    self.setStop([&]() { return call.stopped(); });
    struct Reset   // the functions refer to local variables
    {
        Trainer& trainer;
        ~Reset()
        {
            trainer.setProgress(Trainer::Progress());
            trainer.setMessage(Trainer::Message());
            trainer.setStop(Trainer::Stop());
        }
    } const reset{self};
    bool finished = false;
    try
    {
        call.run([&]() { finished = self.run(); });
    }
    catch (const cv::Exception&)
    {
        if (!call.raise())
            throw;
        throw py::error_already_set();
    }
    if (call.raise())
        throw py::error_already_set();
    return finished;
}

template <class Params, cv::Ptr<Trainer> (*create)(const Params&)>
std::shared_ptr<Trainer> prepare(const Params& params)
{
    const Params paramsNow = params;
    return unlocked([&]() { return create(paramsNow); });
}

void bindTrainer(py::module_& module)
{
    const char* const pretrainText =
        "createPretrain(params: MaePretrainParams) -> Trainer\n\nPrepares MAE pretraining.";
    const char* const rankerText =
        "createRanker(params: RankerTrainParams) -> Trainer\n\nPrepares ranker training; reads the autoencoder.";
    const auto pretrain = &prepare<MaePretrainParams, &Trainer::createPretrain>;
    const auto ranker = &prepare<RankerTrainParams, &Trainer::createRanker>;
    py::class_<Trainer, std::shared_ptr<Trainer>> cls(
        module, "Trainer",
        "Trains a network and writes it to `out`/final.safetensors, with checkpoints and log.jsonl.\n\n"
        "The result is a function of data, options and seed. Made by Trainer.createPretrain and Trainer.createRanker.");
    onlyMadeBy(cls, "Trainer.createPretrain and Trainer.createRanker");
    cls.def_static("createPretrain", pretrain, py::arg("params"), pretrainText)
        .def_static("createRanker", ranker, py::arg("params"), rankerText)
        .def("run", &run, py::arg("progress") = py::none(), py::arg("message") = py::none(),
             "run(progress=None, message=None) -> bool\n\n"
             "Trains to the end or until a callback ends it. True when final.safetensors is written, False when the\n"
             "callback ended it: run again with params.resume.\n"
             "progress: function of a TrainProgress, called after every update; returning False writes a checkpoint and\n"
             "ends the training, and so does raising, which reaches the caller (Ctrl-C does, with a callback or without).\n"
             "message: function of a str: resumed from where, images that were skipped, checkpoints. Without it the\n"
             "lines go to OpenCV's log. Both are called in the thread that called run; the training has another one.\n"
             "A run in a daemon thread ends with a checkpoint when the interpreter ends.");
    module.def("Trainer_createPretrain", pretrain, py::arg("params"), pretrainText);
    module.def("Trainer_createRanker", ranker, py::arg("params"), rankerText);
}

}  // namespace

void bindTraining(py::module_& module)
{
    bindTrainParams(module);
    bindKinds(module);
    bindProgress(module);
    bindTrainer(module);
}

}  // namespace ltrp_python
