// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_MODEL_METADATA_HPP
#define OPENCV_LTRP_IO_MODEL_METADATA_HPP

#include "model_names.hpp"

namespace cv { namespace ltrp { namespace io {

/// Reads the metadata JSON of the own format (see modelMetadata) into kind, geometry and provenance.
void parseMetadata(const std::string& text, const std::string& path, Model& model);

/// Adds the "classes" of a classifier of Task::Classify (a line each), "heads", "mean" and "std" as entries of their own,
/// for programs that read files of timm's networks with them.
void addClassifierMetadata(const Model& model, std::map<std::string, std::string>& metadata);

/// Parses the metadata of an ONNX file: kind, image and patch size, the size of its images if it differs ("input_size":
/// [width, height]), mean and deviation. The rest is in the graph.
void parseInputMetadata(const std::string& text, const std::string& path, ModelKind& kind, vit::InputConfig& input);

/// The files listed in an index ("weight_map"), sorted: plain file names in the same folder.
std::vector<std::string> indexedFiles(const std::string& path);

/// If neither file nor hints say whether an autoencoder predicts pixels normalised per patch: decides by the file's
/// name and the weights, with a warning. The weights must have been read.
void guessTargets(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

/// Applies the settings in a foreign file (facebook MAE: args.norm_pix_loss) and in files next to it (Hugging Face:
/// config.json and preprocessor_config.json, timm: config.json), then the hints, then the published conventions. The
/// geometry must have been deduced before.
void completeConfig(const TensorFile& file, const NetworkInFile& network, const LoadHints& hints, Model& model);

}}}  // namespace

#endif
