// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_MODEL_FILE_HPP
#define OPENCV_LTRP_IO_MODEL_FILE_HPP

#include "../vit/params.hpp"
#include "tensor_file.hpp"

namespace cv { namespace ltrp { namespace io {

enum class ModelKind { Mae, Ranker, Classifier };
const char* modelKindName(ModelKind kind);   ///< "mae", "ranker", "classifier"

/// Geometry and weights of a network, for all file formats.
struct Model
{
    ModelKind kind = ModelKind::Ranker;
    vit::MaeConfig mae;         ///< valid for ModelKind::Mae
    vit::RankerConfig ranker;   ///< valid for ModelKind::Ranker
    vit::ClassifierConfig classifier;    ///< valid for ModelKind::Classifier
    std::vector<std::string> classes;    ///< names of a classifier's outputs, in their order
    vit::ParamArena params;     ///< in layout() order
    std::map<std::string, std::string> provenance;   ///< free text ("training", "data", "seed", ...)
    std::string path;           ///< file it was read from
    std::string format;         ///< "ltrp", "facebook-mae", "huggingface-mae", "timm", "ltrp-paper"
    std::string storage;        ///< dtype of the weights in the file, "F32"
    std::vector<std::string> warnings;   ///< assumptions about missing information, each with the file's name
    const vit::InputConfig& input() const;
    const vit::StackConfig& encoder() const;
    float layerNormEps() const;
    vit::ParamLayout layout() const;   ///< of its geometry
};

/// Information that the shapes in a foreign file do not contain. Zero: from metadata, from config.json next to the
/// file, else the published convention (head width 64; 80 for ViT-H; 32 in the MAE decoder of 512; eps 1e-6 MAE, 1e-5
/// ranker).
struct LoadHints
{
    int heads = 0;
    int decoderHeads = 0;
    float layerNormEps = 0.f;
    int normPixLoss = -1;   ///< -1 unknown, 0, 1
    std::string head;       ///< of a ranker: "token" or "class"; empty: class
};

/// Reads any supported weight file (own safetensors, facebook MAE .pth, LTRP ranker .pth, Hugging Face ViTMAE
/// safetensors (file or folder) with config.json in the same folder, timm ViT safetensors). Throws for NaN / infinite
/// weights.
Model loadModel(const std::string& path, const LoadHints& hints = LoadHints());
/// The same; throws for a model of another kind. The message names the kind of the file and the required one.
Model loadModel(const std::string& path, ModelKind wanted, const LoadHints& hints = LoadHints());

/// Fingerprint of the weights' values, independent of the file: "2771392 parameters, checksum 01234567".
std::string weightsText(const Model& model);

/// @throws Error::StsBadArg beginning with `where` for fewer than two names, and for names that are empty, longer than
/// 255 bytes, not UTF-8, repeated, contain control characters, or begin or end with a blank
void checkClasses(const std::vector<std::string>& names, const std::string& where);

/// Own format: safetensors with the geometry as JSON in the metadata entry "ltrp". storage: F32, F16 or BF16
/// (position tables that equal the sine-cosine ones are stored like the rest).
void saveModel(const std::string& path, const Model& model, DType storage = DType::F32);

/// Returns the JSON text that saveModel() writes to the metadata entry "ltrp" (also used by checkpoints).
std::string modelMetadata(const Model& model);

/// Writes a ranker as ONNX (opset 11): input "image" [N,3,H,W], float, normalised, of ranker.input.size(); output
/// "scores" [N,L]. It contains only operations supported by cv::dnn of OpenCV 4.6 and later, ONNX Runtime and OpenVINO.
/// The write is atomic.
void exportOnnx(const std::string& path, const Model& ranker);
/// Writes a masked autoencoder as two such files for `visible` (V) patches per image. Encoder: "image" [N,3,S,S] and
/// "visible" [N,V], patch numbers as 64-bit integers -> "latent" [N,1+V,De], class token first. Decoder: "latent" and
/// "visible" -> "pred" [N,L,3*p*p], each patch's values as (row, column, channel).
void exportOnnx(const std::string& encoderPath, const std::string& decoderPath, const Model& mae, int visible);

/// Writes a classifier as ONNX, as exportOnnx() does, for `visible` (V) patches per image: "image" [N,3,S,S] and "visible"
/// [N,V], patch numbers as 64-bit integers -> "logits" [N,classes].
void exportClassifierOnnx(const std::string& path, const Model& classifier, int visible);

/// Human-readable description: kind, geometry, parameters, format, storage, provenance; with `tensors` a list of
/// tensors.
std::string describeModel(const Model& model, bool tensors);

}}}  // namespace

#endif
