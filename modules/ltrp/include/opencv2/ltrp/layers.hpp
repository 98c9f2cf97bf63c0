// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_LAYERS_HPP
#define OPENCV_LTRP_LAYERS_HPP

#include "opencv2/ltrp/types.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Registers the module's layers with cv::dnn, so that any network may contain them.

| layer type | inputs, as floats | output | parameters |
| --- | --- | --- | --- |
| `LtrpRank` | pixels [N,3,H,W], (value / 255 - mean) / std, R, G, B | scores [N,L], CV_32F | `model` |
| `LtrpPseudoScore` | pixels [N,3,S,S], as above, and the ascending numbers of the visible patches [N,V] | scores [N,V], CV_32F | `model`, `removal`, `metric`, `space` |

S is the model's input side, L the number of patches, V is 1 to L - 1. For rankers with a class head H = W = S; for
those with a token head H and W are any multiples of the patch size (see cv::ltrp::Ranker::setInputSize). `model` is a
name registered with cv::ltrp::registerLayerModel; file names are not accepted, because networks may come from untrusted
sources. `removal`, `metric` and `space` are values of cv::ltrp::Removal, cv::ltrp::ScoreMetric and
cv::ltrp::ScoreSpace (default 0). In a network built by code they are cv::dnn::LayerParams; in an ONNX file they are the
attributes of an operation `LtrpRank` or `LtrpPseudoScore`, in the default domain or in the domain `ltrp`. The layers
are registered under both names, because the engines of OpenCV 4 and 5 look up different ones. They run on the CPU in
32-bit floats, whatever the network's target is.

cv::ltrp::Ranker and cv::ltrp::Scorer call this function themselves. Call it before cv::dnn reads a file with such a
layer. It may be called repeatedly and from several threads at once.
*/
CV_EXPORTS_W void registerLayers();

/** @brief Reads a weight file and registers it under a name for the layer parameter `model`.

Layers created later share this copy of the weights; existing layers keep theirs. Calls registerLayers(). It may be
called from several threads at once.

@param name any non-empty text; a name in use is reassigned to the new file
@param file weight file of a ranker or an autoencoder, as for cv::ltrp::Ranker::create or cv::ltrp::Scorer::create, but
no ONNX file; empty: unregisters the name
@throws cv::Exception if the file cannot be read or is not such a weight file, or the name is empty
*/
CV_EXPORTS_W void registerLayerModel(const String& name, CV_WRAP_FILE_PATH const String& file);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
