// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "train_options.hpp"

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp pretrain DATA... --out DIR [options]",
    "Trains a masked autoencoder (MAE, CVPR 2022) without labels: hides most patches of each image and learns to\n"
    "reconstruct them. DATA: folders of images (searched with all below), images, shards ('ltrp help pack'), or list\n"
    "files with one path per line. An image that cannot be read is named, counted and skipped. The result,\n"
    "DIR/final.safetensors, depends only on data, options and seed: a run stopped at any time and resumed ends with\n"
    "the same bytes.\n",
    "Examples:\n"
    "  ltrp pretrain photos/ --out runs/mae --size 112 --patch 8 --embed-dim 192 --depth 5 --heads 3 \\\n"
    "      --decoder-embed-dim 128 --decoder-depth 2 --decoder-heads 4 --batch 128 --accumulate 1 --epochs 100\n"
    "  ltrp pretrain photos/ --out runs/mae --config mae.cfg --resume\n"
    "\n"
    "Defaults are the paper's (ViT-B/16, 800 epochs), made for ImageNet on many GPUs: for a small data set use a smaller\n"
    "preset. Images per update and warm-up depend on data and --epochs; --recipe paper uses the paper's.\n"
    "Ctrl-C cancels the update, writes a checkpoint of the previous one and exits with status 130; --resume continues,\n"
    "also with more --epochs. A second Ctrl-C ends at once.\n"};

}  // namespace

int runPretrain(const std::vector<std::string>& args)
{
    MaePretrainParams params;
    bool rawPixels = false;
    const Geometry geometry = {{"size", &params.imageSize}, {"patch", &params.patchSize},
                               {"embed-dim", &params.embedDim}, {"depth", &params.depth}, {"heads", &params.heads},
                               {"decoder-embed-dim", &params.decoderEmbedDim}, {"decoder-depth", &params.decoderDepth},
                               {"decoder-heads", &params.decoderHeads}};
    po::options_description options("Options");
    options.add_options()("preset", po::value<std::string>()->value_name("NAME")->default_value("base"),
                          "geometry by name: tiny, small, base, large, huge; options below override it");
    addGeometryOptions(options, geometry, {"input side in pixels (224)", "patch side in pixels", "encoder width",
                                           "encoder blocks", "encoder attention heads", "decoder width",
                                           "decoder blocks", "decoder attention heads"});
    options.add_options()("raw-pixels", po::bool_switch(&rawPixels),
                          "predict pixels as they are instead of normalised per patch");
    addMaskOptions(options, params);
    addTrainOptions(options, params, "start from these weights, those of the same network, instead of random ones");
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "data", -1, values))
        return 0;
    finishTrainParams(values, params);
    const auto prepare = [&]()
    {
        params.setPreset(values["preset"].as<std::string>());
        applyGeometry(values, geometry);
        params.normPixLoss = !rawPixels;
        return Trainer::createPretrain(params);
    };
    return runTrainer(prepareTrainer(prepare, {params.init}), params);
}

}  // namespace tool
