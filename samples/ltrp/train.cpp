// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "train_options.hpp"

#include "../../modules/ltrp/src/core/words.hpp"

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp train DATA... --mae FILE | --targets DIR --out DIR [options]",
    "Trains a ranker (Learning to Rank Patches, CVPR 2024): a frozen autoencoder scores the few visible patches of\n"
    "each image by how much its reconstruction changes without them, and a vision transformer that sees the same\n"
    "patches learns their order. With --targets it learns from score maps that 'ltrp score --targets' computed once.\n"
    "DATA and the result are as for 'ltrp pretrain'.\n",
    "Examples:\n"
    "  ltrp train photos/ --mae runs/mae/final.safetensors --out runs/ranker --preset tiny --batch 128 \\\n"
    "      --accumulate 1 --epochs 100 --space pixel\n"
    "  ltrp train photos/ --mae runs/mae/final.safetensors --out runs/ranker --config ranker.cfg --resume\n"
    "  ltrp train photos/ --targets targets/ --init runs/mae/final.safetensors --out runs/ranker --config ranker.cfg\n"
    "\n"
    "Input and patch size are the autoencoder's. --recipe paper uses the paper's 400 epochs and images per update; its\n"
    "head is --head class. Ctrl-C cancels the current update, writes a checkpoint of the previous one and exits with\n"
    "status 130; --resume continues.\n"};

po::typed_value<std::string>* word(const char* standard)
{
    return po::value<std::string>()->value_name("NAME")->default_value(standard);
}

}  // namespace

int runTrain(const std::vector<std::string>& args)
{
    RankerTrainParams params;
    const Geometry geometry = {{"embed-dim", &params.embedDim}, {"depth", &params.depth}, {"heads", &params.heads}};
    po::options_description options("Options");
    // clang-format off
    options.add_options()
        ("mae", po::value(&params.mae)->value_name("FILE"), "the autoencoder's weight file: scores are computed at each step")
        ("targets", po::value(&params.targets)->value_name("DIR"), "instead of --mae: score maps of the same DATA, computed once by "
            "'ltrp score --targets'; then with whole photos as input, unless --ranker-input or random-crop options are "
            "given")
        ("preset", word("small"), "geometry by name: tiny, small, base, large, huge; options below override it");
    addGeometryOptions(options, geometry, {"ranker width", "ranker blocks", "ranker attention heads"});
    options.add_options()
        ("head", po::value(&params.head)->value_name("NAME")->default_value(params.head), "token: a score from each patch's "
            "token, on any grid; class: all scores from the class token, as in the paper")
        ("removal", word("decoder"), "where a visible patch is removed: decoder (fast) or encoder")
        ("metric", word("l1"), "how reconstructions are compared: l1, l2, ssim or psnr")
        ("space", word("decoder"), "l1 and l2: differences in the decoder's output as it is (decoder) or in real pixel "
            "contrast (pixel)")
        ("loss", po::value(&params.loss)->value_name("NAME")->default_value(params.loss),
            "list-mle-k, list-mle, rank-net, list-net, point-wise or focused-rank")
        ("list-k", po::value(&params.listK)->value_name("K")->default_value(params.listK),
            "list-mle-k: visible patches drawn per image")
        ("ranker-input", word("visible"), "the ranker's input in training: only the visible patches (visible, as in "
            "the paper, fast) or the whole image, as in use (all)")
        ("score-precision", po::value<std::string>()->value_name("NAME"), "of the autoencoder's matrix products, where "
            "most of the time goes: fp32, bf16 or int8, on cuda as --precision (default: as --precision)");
    // clang-format on
    addMaskOptions(options, params);
    addTrainOptions(options, params, "start from these weights instead of random ones: those of the same network, or the first "
                                     "blocks of an autoencoder's encoder of its width");
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "data", -1, values))
        return 0;
    finishTrainParams(values, params);
    params.removal = wordOption(values, "removal", words::removals);
    params.metric = wordOption(values, "metric", words::metrics);
    params.space = wordOption(values, "space", words::spaces);
    params.scoreTarget = values.count("score-precision") ? requiredTargetOption(values, "score-precision") : params.target;
    if (params.mae.empty() == params.targets.empty())
        throw UsageError("--mae, --targets: name one of them, an autoencoder or a folder of score maps");
    params.seesAll = wordOption(values, "ranker-input", words::rankerInputs) == 1 ||
                     (!params.targets.empty() && values["ranker-input"].defaulted());
    // The target of a crop is interpolated between patches, which blurs it.
    const auto given = [&values](const char* name) { return !values[name].defaulted(); };
    if (!params.targets.empty() && !given("scale-min") && !given("scale-max") && !given("ratio-min") && !given("ratio-max"))
        params.setWholePhotos();
    if (params.space == SPACE_PIXEL && params.metric != METRIC_L1 && params.metric != METRIC_L2)
        throw UsageError("--space: pixel goes with --metric l1 or l2 only");
    const auto prepare = [&]()
    {
        params.setPreset(values["preset"].as<std::string>());
        applyGeometry(values, geometry);
        return Trainer::createRanker(params);
    };
    return runTrainer(prepareTrainer(prepare, {params.mae, params.init, params.targets}), params);
}

}  // namespace tool
