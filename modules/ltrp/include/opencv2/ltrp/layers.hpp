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

/** @brief Makes the module's layers known to cv::dnn, so that any network may contain them.

| layer type | inputs, as floats | output | parameters |
| --- | --- | --- | --- |
| `LtrpRank` | pixels [N,3,H,W], (value / 255 - mean) / std, R, G, B | scores [N,L], CV_32F | `model` |
| `LtrpPseudoScore` | pixels [N,3,S,S], as above, and the ascending numbers of the visible patches [N,V] | scores [N,V], CV_32F | `model`, `removal`, `metric`, `space` |

S is the model's input side, L the number of patches, V from 1 to L - 1. H and W are S for rankers with a class head, any
multiples of the patch size for those with a token head (see cv::ltrp::Ranker::setInputSize). `model` is a name that
cv::ltrp::registerLayerModel has given to a weight file, never a file's own: networks may come from anywhere. `removal`, `metric` and `space` are numbers of cv::ltrp::Removal,
cv::ltrp::ScoreMetric and cv::ltrp::ScoreSpace (0 where left out). In a network made by hand they are
cv::dnn::LayerParams, in an ONNX file the attributes of an operation `LtrpRank` or `LtrpPseudoScore`, either in the
default domain or in the domain `ltrp`: the layers are registered under both names, since the engines of OpenCV 4 and 5
differ in which one they look up. They compute on the CPU in 32-bit floats, whatever the network's target is.

cv::ltrp::Ranker and cv::ltrp::Scorer call this themselves; it is needed before cv::dnn reads a file that has such a
layer. It may be called often and from many threads at once.
*/
CV_EXPORTS_W void registerLayers();

/** @brief Reads a weight file and gives it a name, by which the parameter `model` of layers finds it.

Layers that are made afterwards use it, all of them the same copy; those made before keep theirs. Calls registerLayers(). It may
be called from many threads at once.

@param name any text that is not empty; one that is taken already stands for the new file from then on
@param file a ranker's or an autoencoder's weight file, as for cv::ltrp::Ranker::create or cv::ltrp::Scorer::create, no ONNX file;
empty: the name is given up
@throws cv::Exception if the file cannot be read or holds no such weights, or the name is empty
*/
CV_EXPORTS_W void registerLayerModel(const String& name, CV_WRAP_FILE_PATH const String& file);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
