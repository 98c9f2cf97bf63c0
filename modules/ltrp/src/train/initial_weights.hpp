// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_INITIAL_WEIGHTS_HPP
#define OPENCV_LTRP_TRAIN_INITIAL_WEIGHTS_HPP

#include "../io/model_file.hpp"

namespace cv { namespace ltrp { namespace train {

/// Identifies weights by their values, whatever file they are in: "2771392 parameters, checksum 01234567".
std::string weightsText(const io::Model& model);

/// The file that a training's first weights come from, read once. An empty name stands for random values.
class InitialWeights
{
public:
    explicit InitialWeights(const String& file);
    bool given() const { return !model_.path.empty(); }
    /// Where a file was given: replaces the model's values, see copyInitialWeights().
    void apply(io::Model& model) const;
    /// weightsText() of the file, or "random": what a resumed training compares.
    const std::string& text() const { return text_; }

private:
    io::Model model_;
    std::string text_ = "random";
};

/// Copies trained weights to a network that is about to be trained. An autoencoder starts from one of the same geometry. A
/// ranker starts from one of the same geometry, or from the first blocks of an autoencoder's encoder of the same width,
/// number of heads and patch size; its head (and its norm where it has fewer blocks) then keep their random values.
/// @throws Error::StsBadArg naming the file, what differs, the expected and the found
void copyInitialWeights(const io::Model& from, io::Model& to);

}}}  // namespace

#endif
