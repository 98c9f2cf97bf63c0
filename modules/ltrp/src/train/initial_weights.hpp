// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_INITIAL_WEIGHTS_HPP
#define OPENCV_LTRP_TRAIN_INITIAL_WEIGHTS_HPP

#include "../io/model_file.hpp"

namespace cv { namespace ltrp { namespace train {

/// The initial weights of a training, read once from a file; random values if the name is empty.
class InitialWeights
{
public:
    explicit InitialWeights(const String& file);
    bool given() const { return !model_.path.empty(); }
    const io::Model& model() const { return model_; }   ///< of the file
    /// Replaces the model's values if a file was given, see copyInitialWeights().
    void apply(io::Model& model) const;
    /// io::weightsText() of the file, or "random"; compared when a training is resumed.
    const std::string& text() const { return text_; }

private:
    io::Model model_;
    std::string text_ = "random";
};

/// @throws Error::StsBadArg if a training of a network of this kind cannot begin with these weights
void requireStart(const io::Model& from, io::ModelKind kind);

/// Copies weights to a network before its training: from one of the same kind and geometry; to a ranker or classifier
/// also from the first blocks of an autoencoder's encoder of the same width, number of heads, image and patch size. Its
/// head, and its norm if it has fewer blocks, then keep their random values; the head also if it comes from a classifier
/// of other classes, another task or another pooling.
/// @throws Error::StsBadArg naming the file, the property, the expected and the actual value
void copyInitialWeights(const io::Model& from, io::Model& to);

}}}  // namespace

#endif
