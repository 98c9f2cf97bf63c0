// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "weights.hpp"

#include "../../modules/ltrp/src/vit/smooth_head.hpp"

#include <filesystem>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp convert IN OUT [options]",
    "Converts a weight file. IN: the module's own safetensors, a facebookresearch/mae or LTRP ranker .pth, a Hugging\n"
    "Face ViTMAE safetensors (or its folder) with config.json beside it, or a timm ViT safetensors. OUT: .safetensors\n"
    "(the module's own format, geometry in its metadata) or, for a ranker, .onnx (input \"image\" [N,3,S,S], output\n"
    "\"scores\" [N,patches]) for cv::dnn and ONNX Runtime. Nothing in a .pth file is executed.\n",
    "Examples:\n"
    "  ltrp convert mae_pretrain_vit_base_full.pth mae-base.safetensors\n"
    "  ltrp convert mae-base.safetensors mae-base-half.safetensors --dtype f16\n"
    "  ltrp convert ranker.safetensors ranker.onnx\n"
    "  ltrp convert ranker.safetensors smoother.safetensors --smooth 1\n"
    "  ltrp convert timm-tiny.safetensors ranker.safetensors --heads 3\n"};

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

io::DType parseStorage(const std::string& name)
{
    if (name == "f32")
        return io::DType::F32;
    if (name == "f16")
        return io::DType::F16;
    if (name == "bf16")
        return io::DType::BF16;
    throw UsageError("--dtype: '" + name + "' is none of f32, f16, bf16");
}

}  // namespace

int runConvert(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string dtype;
    options.add_options()("dtype", po::value(&dtype)->value_name("TYPE")->default_value("f32"),
                          "how weights are stored in a .safetensors: f32, f16 or bf16 (rounded to nearest)");
    options.add_options()("smooth", po::value<double>()->value_name("SIGMA"),
                          "a ranker's scores smoothed over the patch grid by a Gaussian of SIGMA patches, built into the "
                          "head's weights");
    addHintOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "file", 2, values))
        return 0;
    const std::vector<std::string> files = positionals(values, "file", 2, "IN and OUT");
    const std::string &in = files[0], &out = files[1];
    const bool onnx = endsWith(out, ".onnx");
    if (!onnx && !endsWith(out, ".safetensors"))
        throw UsageError(out + ": the output's name must end in .safetensors or .onnx");
    const io::DType storage = parseStorage(dtype);
    if (onnx && storage != io::DType::F32)
        throw UsageError("--dtype: ONNX files hold f32");
    checkOutputFile(out, "OUT", {});
    const std::filesystem::path folder = std::filesystem::path(out).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder))
        throw std::runtime_error(out + ": its folder does not exist");

    io::Model model = loadWeights(in, values);
    checkInterrupt();
    if (values.count("smooth"))
    {
        const double sigma = values["smooth"].as<double>();
        if (model.kind != io::ModelKind::Ranker)
            throw std::runtime_error(in + ": is an autoencoder; only a ranker's scores can be smoothed");
        const int grid = model.ranker.input.grid();
        if (!(sigma > 0 && sigma <= grid))
            throw UsageError("--smooth: " + plain(sigma) + " is outside (0, " + std::to_string(grid) + "]");
        vit::smoothHead(model.ranker, sigma, model.params);
        std::string& said = model.provenance["smoothed"];
        said += (said.empty() ? "" : ", then ") + ("scores by a Gaussian of " + plain(sigma) + " patches");
    }
    if (onnx)
    {
        if (model.kind != io::ModelKind::Ranker)
            throw std::runtime_error(in + ": is an autoencoder; only rankers can be written as ONNX");
        io::exportOnnx(out, model);
    }
    else
        io::saveModel(out, model, storage);
    std::cout << out << ": " << io::modelKindName(model.kind) << ", " << model.params.layout.parameterCount()
              << " parameters, from " << model.format << "\n";
    return 0;
}

}  // namespace tool
