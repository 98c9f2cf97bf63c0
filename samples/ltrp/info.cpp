// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "weights.hpp"

#include "../../modules/ltrp/src/io/onnx_file.hpp"

#include <cmath>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp info FILE [options]",
    "Shows what a weight file contains: kind, geometry, number of parameters, format, and where it comes from; for a\n"
    "ranker's .onnx the geometry and the graph's operations.\n",
    "Examples:\n"
    "  ltrp info ranker.safetensors\n"
    "  ltrp info mae_pretrain_vit_base_full.pth --tensors\n"};

}  // namespace

void addHintOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("heads", po::value<int>()->value_name("N"), "attention heads, if the file does not state them")
        ("decoder-heads", po::value<int>()->value_name("N"), "the same for an autoencoder's decoder")
        ("head", po::value<std::string>()->value_name("NAME"), "a ranker's, if the file does not state it: class (default) or "
            "token")
        ("eps", po::value<float>()->value_name("E"), "LayerNorm epsilon, if the file does not state it");
    // clang-format on
    addTargetsOption(options);
}

void addTargetsOption(po::options_description& options)
{
    options.add_options()("norm-pix-loss", po::value<std::string>()->value_name("yes|no"), "whether an autoencoder predicts pixels "
                          "normalised per patch (default: as stated in the file); published \"visualize\" weights do not");
}

int targetsOption(const po::variables_map& values)
{
    if (!values.count("norm-pix-loss"))
        return -1;
    const std::string word = values["norm-pix-loss"].as<std::string>();
    if (word != "yes" && word != "no")
        throw UsageError("--norm-pix-loss: '" + word + "' is neither yes nor no");
    return word == "yes";
}

io::Model loadWeights(const std::string& path, const po::variables_map& values)
{
    io::LoadHints hints;
    for (const auto& hint :
         {std::make_pair("heads", &hints.heads), std::make_pair("decoder-heads", &hints.decoderHeads)})
    {
        if (!values.count(hint.first))
            continue;
        *hint.second = values[hint.first].as<int>();
        if (*hint.second < 1)
            throw UsageError(std::string("--") + hint.first + ": " + std::to_string(*hint.second) + " is below 1");
    }
    if (values.count("head"))
    {
        hints.head = values["head"].as<std::string>();
        if (hints.head != "class" && hints.head != "token")
            throw UsageError("--head: '" + hints.head + "' is none of class, token");
    }
    if (values.count("eps"))
    {
        hints.layerNormEps = values["eps"].as<float>();
        if (!(hints.layerNormEps > 0) || !std::isfinite(hints.layerNormEps))
            throw UsageError("--eps: " + plain(hints.layerNormEps) + " is not above 0");
    }
    hints.normPixLoss = targetsOption(values);
    try
    {
        io::Model model = io::loadModel(path, hints);
        for (const std::string& warning : model.warnings)
            complain("warning: " + warning);
        return model;
    }
    catch (const std::exception& error)
    {
        throw std::runtime_error(reason(error, path));
    }
}

int runInfo(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    options.add_options()("tensors", po::bool_switch(), "list every tensor");
    addHintOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "file", 1, values))
        return 0;
    const std::string file = positionals(values, "file", 1, "FILE")[0];
    if (io::isOnnx(file))
    {
        try
        {
            std::cout << io::describeOnnx(*io::readOnnxRanker(io::FileBytes::map(file)));
        }
        catch (const std::exception& error)
        {
            throw std::runtime_error(reason(error, file));
        }
        return 0;
    }
    std::cout << io::describeModel(loadWeights(file, values), values["tensors"].as<bool>());
    return 0;
}

}  // namespace tool
