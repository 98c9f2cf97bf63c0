// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_MODEL_NAMES_HPP
#define OPENCV_LTRP_IO_MODEL_NAMES_HPP

#include "model_file.hpp"

namespace cv { namespace ltrp { namespace io {

/// Naming of a network's tensors in a file.
enum class NameStyle
{
    Timm,          ///< this module's names: facebook MAE and timm, optionally with a prefix ("model/", "module.")
    HuggingFace    ///< transformers' ViTMAEForPreTraining: separate query, key and value
};

/// A network in a file, identified by its tensor names.
struct NetworkInFile
{
    ModelKind kind = ModelKind::Ranker;
    NameStyle style = NameStyle::Timm;
    std::string prefix;   ///< in front of every name
    bool decoderStack = false;   ///< HuggingFace: the decoder's blocks are named as since transformers 5
    std::vector<std::string> others;   ///< prefixes of other networks in the file
};

/// `wanted` (null: any) selects the kind if a file has networks of both.
NetworkInFile identifyNetwork(const TensorFile& file, const ModelKind* wanted);

/// Names of the tensors in the file whose rows, concatenated, are the layout's tensor `name`.
std::vector<std::string> sourceNames(const NetworkInFile& network, const std::string& name);

/// True for tensors that training tools store in checkpoints and no forward pass reads.
bool isHarmlessExtra(const NetworkInFile& network, const std::string& name);

/// Geometry from the tensors' shapes; heads, epsilon and normalisation are not changed.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, vit::MaeConfig& config);
/// headHint: "token" or "class"; empty: class.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, const std::string& headHint, vit::RankerConfig& config);

/// Reads the metadata JSON of the own format (see modelMetadata) into kind, geometry and provenance.
void parseMetadata(const std::string& text, const std::string& path, Model& model);

/// Adds the "classes" of a classifier of Task::Classify (a line each), "heads", "mean" and "std" as entries of their own, for programs that read
/// files of timm's networks with them.
void addClassifierMetadata(const Model& model, std::map<std::string, std::string>& metadata);

/// The metadata of an ONNX file: kind, image and patch size, the size of its images if it differs ("input_size":
/// [width, height]), mean and deviation. The rest is in the graph.
void parseInputMetadata(const std::string& text, const std::string& path, ModelKind& kind, vit::InputConfig& input);

/// The files in an index ("weight_map"), sorted: plain file names in the same folder.
std::vector<std::string> indexedFiles(const std::string& path);

/// If neither file nor hints say whether an autoencoder predicts pixels normalised per patch: decides by the file's
/// name and the weights, with a warning. The weights must have been read.
void guessTargets(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

/// Applies the settings in a foreign file (facebook MAE: args.norm_pix_loss) and in the files beside it (Hugging Face:
/// config.json and preprocessor_config.json, timm: config.json), then the hints, then the published conventions. The
/// geometry must have been deduced before.
void completeConfig(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

}}}  // namespace

#endif
