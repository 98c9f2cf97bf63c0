// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ONNX_GRAPH_HPP
#define OPENCV_LTRP_IO_ONNX_GRAPH_HPP

#include "../vit/params.hpp"
#include "onnx_writer.hpp"

namespace cv { namespace ltrp { namespace io {

/// Builds a vision transformer for any batch size from operations that cv::dnn supports since OpenCV 4.6. Operations
/// that it does not support, and their replacements:
/// - LayerNormalization, ReduceMean and broadcasts along the last axis. The residual stream is read through norms only,
///   so it is kept at mean zero: weights that write to it are centred. The division by the deviation is computed as
///   products with constant vectors; weight and bias of the norm are folded into the following product.
///   (InstanceNormalization cannot be used: 4.6 adds its epsilon to the deviation.)
/// - Expand of the class token: a zero row is padded in front; the token is part of the position table.
/// - Gemm and Split: one MatMul by constants each for query, key and value.
/// - Division of the attention scores, which is wrong in 4.6: the scale is in the queries' weights.
///
/// Products with constants have rows [1, N*T, D] of all images. The classic engine of 5.0 packs a constant for the
/// first batch size and reads out of bounds if it grows; here it is always 1. (Images of up to 12 tokens still crash it
/// if the first batch has up to 12 rows in total and a later one more.)
class VitGraph
{
public:
    VitGraph(OnnxWriter& writer, const vit::ParamArena& params, const vit::StackConfig& stack, float layerNormEps);

    std::string reshape(const std::string& x, const std::string& name, const std::vector<int64_t>& shape);
    std::string transpose(const std::string& x, const std::string& name, const std::vector<int64_t>& perm);
    /// Rows `from` to `to` of every image: x [N, T, D] -> [N, to - from, D].
    std::string slice(const std::string& x, const std::string& name, int64_t from, int64_t to);
    /// x plus a table shared by all images, minus each row's mean: the start of the residual stream.
    std::string addCentred(const std::string& x, const std::string& name, std::vector<float> table, int64_t rows);
    /// [N, T, D] -> [1, N*T, D]
    std::string rows(const std::string& x, const std::string& name) { return reshape(x, name, {1, -1, stack_.dim}); }
    /// [1, N*T, D] -> [N, T, D]
    std::string images(const std::string& x, const std::string& name, int64_t tokens)
    {
        return reshape(x, name, {-1, tokens, stack_.dim});
    }

    struct Linear
    {
        std::string name;        ///< prefix of its nodes' names
        const float* weight;     ///< [out, in]
        const float* bias;       ///< [out]
        int64_t in, out;
        std::string norm;        ///< if not empty: x is from normalise(), and this norm's weight and bias are folded in
        bool centred = false;    ///< the output goes to the residual stream
        float scale = 1.f;       ///< of weights and bias
    };
    /// x [1, M, in] -> [1, M, out]
    std::string linear(const std::string& x, const Linear& layer);
    /// Returns the layer of that name.
    Linear layer(const std::string& name, int64_t in, int64_t out) const;

    /// Divides rows of mean zero by their deviation: x [1, M, D]. linear() applies the norm's weight and bias.
    std::string normalise(const std::string& x, const std::string& name);
    /// All blocks: x [1, N*tokens, D] -> the same shape. `prefix` ends with a dot: "blocks.".
    std::string blocks(std::string x, const std::string& prefix, int64_t tokens);

private:
    std::string attention(const std::string& x, const std::string& block, int64_t tokens);
    std::string mlp(const std::string& x, const std::string& block);

    OnnxWriter& writer_;
    const vit::ParamArena& params_;
    const vit::StackConfig stack_;
};

}}}  // namespace

#endif
