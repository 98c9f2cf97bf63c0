// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_MODEL_FILE_HPP
#define OPENCV_LTRP_IO_MODEL_FILE_HPP

#include "../vit/params.hpp"
#include "tensor_file.hpp"

namespace cv { namespace ltrp { namespace io {

enum class ModelKind { Mae, Ranker };
const char* modelKindName(ModelKind kind);   ///< "mae", "ranker"

/// A network's geometry and weights, whatever file it came from.
struct Model
{
    ModelKind kind = ModelKind::Ranker;
    vit::MaeConfig mae;         ///< valid for ModelKind::Mae
    vit::RankerConfig ranker;   ///< valid for ModelKind::Ranker
    vit::ParamArena params;     ///< in maeLayout() / rankerLayout() order
    std::map<std::string, std::string> provenance;   ///< free text carried along ("training", "data", "seed", ...)
    std::string path;           ///< file it was read from
    std::string format;         ///< "ltrp", "facebook-mae", "huggingface-mae", "timm", "ltrp-paper"
    std::string storage;        ///< dtype of the weights in the file, "F32"
    std::vector<std::string> warnings;   ///< what had to be guessed, each with the file's name
    const vit::InputConfig& input() const { return kind == ModelKind::Mae ? mae.input : ranker.input; }
};

/// What a foreign file's shapes cannot tell. Zero means: from metadata, from config.json beside the file,
/// else the published convention (head width 64; 80 for ViT-H; 32 in the MAE decoder of 512; eps 1e-6 MAE, 1e-5 ranker).
struct LoadHints
{
    int heads = 0;
    int decoderHeads = 0;
    float layerNormEps = 0.f;
    int normPixLoss = -1;   ///< -1 unknown, 0, 1
    std::string head;       ///< a ranker's: "token" or "class"; empty: class
};

/// Reads any supported weight file (own safetensors, facebook MAE .pth, LTRP ranker .pth, Hugging Face ViTMAE folder's
/// or file's safetensors with config.json beside it, timm ViT safetensors). NaN / infinite weights are refused.
Model loadModel(const std::string& path, const LoadHints& hints = LoadHints());
/// The same, and refuses a model of another kind with a message that says what the file is and what is needed.
Model loadModel(const std::string& path, ModelKind wanted, const LoadHints& hints = LoadHints());

/// Own format: safetensors with the geometry as JSON in the metadata entry "ltrp". storage: F32, F16 or BF16
/// (position tables that equal the sine-cosine ones are stored like the rest).
void saveModel(const std::string& path, const Model& model, DType storage = DType::F32);

/// Only the metadata JSON text that saveModel puts under the key "ltrp" (checkpoints embed it).
std::string modelMetadata(const Model& model);

/// The ranker as ONNX (opset 11; input "image" [N,3,H,W] float normalised, of ranker.input.size(); output
/// "scores" [N,L]); only operations
/// that cv::dnn of OpenCV 4.6 and later, ONNX Runtime and OpenVINO run. Atomic like every write.
void exportOnnx(const std::string& path, const Model& ranker);
/// The masked autoencoder as two such files for `visible` (V) patches an image. Encoder: "image" [N,3,S,S] and "visible"
/// [N,V], the patches' numbers as 64-bit integers -> "latent" [N,1+V,De], the class token first. Decoder: "latent" and
/// "visible" -> "pred" [N,L,3*p*p], each patch's values as (row, column, channel).
void exportOnnx(const std::string& encoderPath, const std::string& decoderPath, const Model& mae, int visible);

/// Human-readable description: kind, geometry, parameters, format, storage, provenance, tensor list when `tensors`.
std::string describeModel(const Model& model, bool tensors);

}}}  // namespace

#endif
