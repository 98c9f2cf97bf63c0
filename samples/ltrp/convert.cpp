// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "weights.hpp"

#include <opencv2/ltrp/select.hpp>

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
    "Face ViTMAE safetensors (or its folder) with its config.json, or a timm ViT safetensors. OUT: .safetensors\n"
    "(the module's own format, geometry in its metadata) or .onnx for cv::dnn, ONNX Runtime, OpenVINO and others.\n"
    "Nothing in a .pth file is executed.\n"
    "\n"
    "ONNX: N images at once, any number. Images are RGB in [0, 1], minus mean, over std (both in the file's metadata).\n"
    "  ranker              OUT.onnx          image [N,3,H,W] -> scores [N,L], L patches row by row\n"
    "  autoencoder, two    OUT-encoder.onnx  image [N,3,S,S], visible [N,V] -> latent [N,1+V,width]\n"
    "  files               OUT-decoder.onnx  latent [N,1+V,width], visible [N,V] -> pred [N,L,3*p*p]\n"
    "  classifier          OUT.onnx          image [N,3,S,S], visible [N,V] -> logits [N,classes],\n"
    "                                        of segmentation [N,V,classes]\n"
    "visible: the numbers (64-bit integers, 0 to L-1, ascending) of the V patches that each image shows; V is fixed,\n"
    "int(L times 1 - mask ratio), of a classifier int(L times --keep). The first row of latent is the class token.\n"
    "pred: every patch's pixels by row, column and channel, normalised per patch if the autoencoder was trained so.\n"
    "'ltrp rank' runs a ranker's .onnx, too.\n",
    "Examples:\n"
    "  ltrp convert mae_pretrain_vit_base_full.pth mae-base.safetensors\n"
    "  ltrp convert mae-base.safetensors mae-base-half.safetensors --dtype f16\n"
    "  ltrp convert ranker.safetensors ranker.onnx\n"
    "  ltrp convert ranker.safetensors wide.onnx --size 448x336\n"
    "  ltrp convert mae-base.safetensors mae-base.onnx --mask-ratio 0.75\n"
    "  ltrp convert runs/quarter/final.safetensors quarter.onnx --keep 0.25\n"
    "  ltrp convert timm-tiny.safetensors ranker.safetensors --heads 3\n",
    true};

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

const std::string ONNX_END = ".onnx";

/// "mae.onnx", "encoder" -> "mae-encoder.onnx"
std::string partName(const std::string& out, const char* part)
{
    return out.substr(0, out.size() - ONNX_END.size()) + "-" + part + ONNX_END;
}

/// Writes the model's ONNX files and returns their names.
std::vector<std::string> writeOnnx(const std::string& in, const std::string& out, io::Model& model,
                                   const po::variables_map& values)
{
    const bool given = values.count("mask-ratio") && !values["mask-ratio"].defaulted();
    if (values.count("keep") && model.kind != io::ModelKind::Classifier)
        throw UsageError("--keep: " + in + " is no classifier");
    if (model.kind == io::ModelKind::Ranker)
    {
        if (given)
            throw UsageError("--mask-ratio: " + in + " is a ranker, which sees all patches");
        if (values.count("size"))
            vit::setInputSize(model.ranker, parseSize("--size", values["size"].as<std::string>()), "--size");
        io::exportOnnx(out, model);
        return {out};
    }
    if (values.count("size"))
        throw UsageError("--size: " + in + (model.kind == io::ModelKind::Mae ? " is an autoencoder" : " is a classifier") +
                         ", which takes images of its own size");
    if (model.kind == io::ModelKind::Classifier)
    {
        if (given)
            throw UsageError("--mask-ratio: " + in + " is a classifier; --keep says how many patches it sees");
        const double keep = values.count("keep") ? values["keep"].as<double>() : 1;
        io::exportClassifierOnnx(out, model, keepCount(model.input().numPatches(), keep));
        return {out};
    }
    const double ratio = values["mask-ratio"].as<double>();
    const int patches = model.mae.input.numPatches(), visible = vit::visibleCount(patches, ratio);
    if (visible < 1 || visible >= patches)
        throw UsageError("--mask-ratio: " + plain(ratio) + " leaves " + std::to_string(visible) + " of " +
                         std::to_string(patches) + " patches visible; 1 to " + std::to_string(patches - 1) +
                         " are needed");
    const std::vector<std::string> files = {partName(out, "encoder"), partName(out, "decoder")};
    for (const std::string& file : files)
        checkOutputFile(file, "OUT", {in});
    io::exportOnnx(files[0], files[1], model, visible);
    return files;
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
    options.add_options()("mask-ratio", po::value<double>()->value_name("R")->default_value(0.9, "0.9"),
                          "share of patches hidden from an autoencoder's .onnx files, above 0 and below 1");
    options.add_options()("size", po::value<std::string>()->value_name("WxH"),
                          "pixels of the images that a ranker's .onnx takes, multiples of the patch size (default: as in training); "
                          "token heads");
    options.add_options()("keep", po::value<double>()->value_name("X"), "share of patches that a classifier's .onnx sees, above 0 and up "
                          "to 1 (default: 1)");
    addHintOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "file", 2, values))
        return 0;
    const std::vector<std::string> files = positionals(values, "file", 2, "IN and OUT");
    const std::string &in = files[0], &out = files[1];
    const bool onnx = endsWith(out, ONNX_END);
    if (!onnx && !endsWith(out, ".safetensors"))
        throw UsageError(out + ": the output's name must end in .safetensors or .onnx");
    const io::DType storage = parseStorage(dtype);
    if (onnx && storage != io::DType::F32)
        throw UsageError("--dtype: ONNX files hold f32");
    const double ratio = values["mask-ratio"].as<double>();
    if (!(ratio > 0 && ratio < 1))
        throw UsageError("--mask-ratio: " + plain(ratio) + " is outside (0, 1)");
    if (!onnx && !values["mask-ratio"].defaulted())
        throw UsageError("--mask-ratio: only .onnx files are made for one");
    if (values.count("keep") && !(values["keep"].as<double>() > 0 && values["keep"].as<double>() <= 1))
        throw UsageError("--keep: " + plain(values["keep"].as<double>()) + " is outside (0, 1]");
    if (!onnx && values.count("keep"))
        throw UsageError("--keep: only .onnx files are made for one");
    if (!onnx && values.count("size"))
        throw UsageError("--size: only .onnx files are made for one; a .safetensors takes any ('ltrp rank --size')");
    checkOutputFile(out, "OUT", {});
    const std::filesystem::path folder = std::filesystem::path(out).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder))
        throw std::runtime_error(out + ": its folder does not exist");

    io::Model model = loadWeights(in, values);
    checkInterrupt();
    std::vector<std::string> written = {out};
    if (onnx)
        written = writeOnnx(in, out, model, values);
    else
        io::saveModel(out, model, storage);
    for (const std::string& file : written)
        std::cout << file << ": " << io::modelKindName(model.kind) << ", " << model.params.layout.parameterCount()
                  << " parameters, from " << model.format << "\n";
    return 0;
}

}  // namespace tool
