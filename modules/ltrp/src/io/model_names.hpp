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
    Timm,          ///< our own names: facebook MAE and timm, perhaps behind a prefix ("model/", "module.")
    HuggingFace    ///< transformers' ViTMAEForPreTraining: separate query, key and value
};

/// Which network a file holds, by its tensor names alone.
struct NetworkInFile
{
    ModelKind kind = ModelKind::Ranker;
    NameStyle style = NameStyle::Timm;
    std::string prefix;   ///< in front of every name
    bool decoderStack = false;   ///< HuggingFace: the decoder's blocks are named as since transformers 5
    std::vector<std::string> others;   ///< prefixes of further networks in the file, which are not asked for
};

/// `wanted` (null: any) decides where a file holds one network of each kind.
NetworkInFile identifyNetwork(const TensorFile& file, const ModelKind* wanted);

/// The names in the file whose rows, one after the other, make the layout's tensor `name`.
std::vector<std::string> sourceNames(const NetworkInFile& network, const std::string& name);

/// True for what training tools leave in checkpoints beside the network and what no forward pass reads.
bool isHarmlessExtra(const NetworkInFile& network, const std::string& name);

/// Geometry from the tensors' shapes; heads, epsilon, normalisation keep what they are.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, vit::MaeConfig& config);
/// headHint: "token" or "class"; empty: class.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, const std::string& headHint, vit::RankerConfig& config);

/// Reads the metadata JSON of the own format (see modelMetadata) into kind, geometry and provenance.
void parseMetadata(const std::string& text, const std::string& path, Model& model);

/// The part of it that an ONNX file needs, whose graph says the rest: kind, image and patch size, the size of
/// its images where that is another ("input_size": [width, height]), mean and deviation.
void parseInputMetadata(const std::string& text, const std::string& path, ModelKind& kind, vit::InputConfig& input);

/// The files that an index names ("weight_map"), sorted: plain names of files beside it.
std::vector<std::string> indexedFiles(const std::string& path);

/// Where neither file nor hints say whether an autoencoder predicts pixels normalised per patch: by the file's name and the
/// weights, with a warning. The weights must have been read.
void guessTargets(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

/// Applies what a foreign file says beside its tensors (facebook MAE: args.norm_pix_loss) and what lies beside it (Hugging
/// Face: config.json and preprocessor_config.json, timm: config.json), then the hints, then the published conventions.
/// The geometry must have been deduced before.
void completeConfig(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

}}}  // namespace

#endif
