// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "finetune.hpp"
#include "selector_options.hpp"
#include "train_options.hpp"

#include "../../modules/ltrp/src/core/words.hpp"

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp finetune DATA --out DIR [options]",
    "Trains a classifier, a vision transformer that sees only the kept patches of each image, each with its position.\n"
    "It begins as the encoder of an autoencoder or as an earlier classifier, whose head it keeps if task and classes are\n"
    "the same (--init). Data, head and loss by --task:\n"
    "  classify    one class for each image. DATA: a folder with a folder of images for each class, or a CSV file with\n"
    "              lines \"path,label\". A linear layer; cross entropy\n"
    "  multilabel  any number of classes. DATA: such a CSV file with \"path,label;label\", or a JSON file as COCO's\n"
    "              (images, annotations, categories). A query for each class, which attends to the patches; asymmetric loss\n"
    "  segment     the class of each pixel. DATA: a folder with the folders images and labels, which has a PNG of the\n"
    "              classes' numbers for each image (255: void), and perhaps a file classes.txt with their names, a line\n"
    "              each; or with images and foreground, as for 'ltrp eval coverage' (0 and one other value). A linear layer\n"
    "              on the token of each patch; cross entropy with the classes' shares of its pixels.\n"
    "The result, DIR/final.safetensors, holds the task and the names of the classes; 'ltrp predict' runs it. Log,\n"
    "checkpoints and --resume are as for 'ltrp pretrain'. With --device cuda the selectors, and their networks, run on\n"
    "the CPU: --workers are their threads.\n",
    "Examples:\n"
    "  ltrp finetune photos/ --out runs/all --epochs 30\n"
    "  ltrp finetune photos/ --keep 0.25 --selector ranker --out runs/quarter\n"
    "  ltrp finetune labels.csv --keep 0.1..0.75 --selector random,centre,ranker --out runs/mixed\n"
    "  ltrp finetune instances.json --task multilabel --images photos/ --keep 0.25 --selector ranker --out runs/labels\n"
    "  ltrp finetune coco128 --task segment --keep 0.25 --selector random --out runs/segments\n"
    "\n"
    "With several selectors, one is drawn for each image. Selectors with a network take time: own_error and leave_one_out\n"
    "about that of 'ltrp score' for each image of each epoch.\n"};

/// "0.25" or "0.1..0.5".
void parseKeep(const std::string& text, double& low, double& high)
{
    const size_t dots = text.find("..");
    const auto number = [&](const std::string& part)
    {
        size_t end = 0;
        double value = 0;
        try
        {
            value = std::stod(part, &end);
        }
        catch (const std::exception&)
        {
        }
        if (end == 0 || end != part.size() || !(value > 0 && value <= 1))
            throw UsageError("--keep: '" + text.substr(0, 40) + "' is neither a share above 0 and up to 1 nor a range A..B of them");
        return value;
    };
    low = number(text.substr(0, dots));
    high = dots == std::string::npos ? low : number(text.substr(dots + 2));
    if (low > high)
        throw UsageError("--keep: " + text + " is a range from the larger to the smaller share");
}

}  // namespace

bool parseFinetune(const std::vector<std::string>& args, train::ClassifierTrainParams& params)
{
    const Geometry geometry = {{"size", &params.imageSize}, {"patch", &params.patchSize}, {"embed-dim", &params.embedDim},
                               {"depth", &params.depth}, {"heads", &params.heads}};
    po::options_description options("Options");
    // clang-format off
    options.add_options()
        ("task", po::value<std::string>()->value_name("NAME")->default_value("classify"), "classify, multilabel or segment")
        ("images", po::value(&params.images)->value_name("DIR"), "with a JSON file: folder of its images (default: its own)")
        ("keep", po::value<std::string>()->value_name("X|A..B")->default_value("1"), "share of patches to keep, above 0 and up to 1; "
            "A..B: drawn for each batch");
    addSelectorOptions(options);
    options.add_options()
        ("pool", po::value(&params.pool)->value_name("NAME")->default_value(params.pool), "what the head of classify reads: class "
            "(the class token) or mean (the mean of the patches' tokens)")
        ("smoothing", po::value(&params.smoothing)->value_name("X")->default_value(params.smoothing, plain(params.smoothing)),
            "label smoothing: share of the target that all classes have alike, 0 or more and below 1 (segment: 0, where it is not "
            "given)")
        ("layer-decay", po::value(&params.layerDecay)->value_name("X")->default_value(params.layerDecay, plain(params.layerDecay)),
            "factor of the learning rate from each block to the one before it, above 0 and up to 1");
    // clang-format on
    addGeometryOptions(options, geometry, {"with --init none: input side in pixels (224)", "patch side in pixels (16)",
                                           "width (192)", "blocks (12)", "attention heads (3)"});
    addTrainOptions(options, params, "weight file of an autoencoder, whose encoder the network begins as, or of a classifier; "
                                     "none: random weights (default: the installed autoencoder)");
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "data", 1, values))
        return false;
    params.task = static_cast<vit::Task>(wordOption(values, "task", words::tasks));
    const bool classify = params.task == vit::Task::Classify, smooth = params.task != vit::Task::Multilabel;
    for (const auto& option : {std::make_pair("pool", classify), std::make_pair("smoothing", smooth)})
        if (!option.second && !values[option.first].defaulted())
            throw UsageError(std::string("--") + option.first + ": does not go with --task " + vit::taskName(params.task));
    if (params.task == vit::Task::Segment && values["smoothing"].defaulted())
        params.smoothing = 0;
    finishTrainParams(values, params);
    parseKeep(values["keep"].as<std::string>(), params.keepMin, params.keepMax);
    params.selectors = selectorNames(values, params.keepMin);
    params.selectorModels = selectorModels(values, params.selectors, TARGET_CPU);
    if (params.init == "none")
    {
        params.init.clear();
        applyGeometry(values, geometry);
    }
    else
    {
        for (const auto& entry : geometry)
            if (values.count(entry.first))
                throw UsageError(std::string("--") + entry.first + " goes with --init none: the geometry is that of the file");
        params.init = findModel(params.init, "mae", "--init");
    }
    return true;
}

int runFinetune(const std::vector<std::string>& args)
{
    train::ClassifierTrainParams params;
    if (!parseFinetune(args, params))
        return 0;
    const auto prepare = [&]() { return train::makeClassifierTrainer(params, ComputeDevice::forTraining(params.target)); };
    const select::SelectorModels& models = params.selectorModels;
    return runTrainer(prepareTrainer(prepare, {params.init, params.data[0], models.ranker, models.mae, models.classifier}), params);
}

}  // namespace tool
