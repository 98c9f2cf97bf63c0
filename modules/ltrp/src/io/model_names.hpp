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
    std::string prefix;   ///< prefix of all names
    bool decoderStack = false;   ///< HuggingFace: the decoder's blocks have the names used since transformers 5
    std::vector<std::string> others;   ///< prefixes of other networks in the file
};

/// `wanted` (null: any) selects the kind if a file contains networks of both.
NetworkInFile identifyNetwork(const TensorFile& file, const ModelKind* wanted);

/// Names of the tensors in the file whose rows, concatenated, are the layout's tensor `name`.
std::vector<std::string> sourceNames(const NetworkInFile& network, const std::string& name);

/// True for tensors that training tools store in checkpoints but no forward pass uses.
bool isHarmlessExtra(const NetworkInFile& network, const std::string& name);

/// Geometry from the tensors' shapes; heads, epsilon and normalisation are not changed.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, vit::MaeConfig& config);
/// headHint: "token" or "class"; empty: class.
void deduceGeometry(const TensorFile& file, const NetworkInFile& network, const std::string& headHint, vit::RankerConfig& config);

}}}  // namespace

#endif
