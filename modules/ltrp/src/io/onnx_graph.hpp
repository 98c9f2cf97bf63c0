// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ONNX_GRAPH_HPP
#define OPENCV_LTRP_IO_ONNX_GRAPH_HPP

#include "../vit/params.hpp"
#include "onnx_writer.hpp"

namespace cv { namespace ltrp { namespace io {

/// Builds a vision transformer from operations that cv::dnn has run since OpenCV 4.6, for any batch size. What that
/// rules out, and the way round:
/// - LayerNormalization, ReduceMean and broadcasts along the last axis. Every reader of the residual stream begins with
///   a norm, so the stream is kept free of its mean: whatever is added to it has been centred in its weights. The rest,
///   the division by the deviation, is products with vectors of constants; weight and bias of the norm go into the
///   product that follows. (InstanceNormalization does not serve: 4.6 adds its epsilon to the deviation.)
/// - Expand of the class token: one zero row padded in front, the token itself being part of the position table.
/// - Gemm and Split: MatMul by constants, one each for query, key and value.
/// - A division of the attention scores, which 4.6 gets wrong: it is in the queries' weights.
///
/// Rows are [1, N*T, D], images one after the other, wherever constants are multiplied: 5.0's classic engine packs a
/// constant for the batch size that it sees first, and reads beyond its tables when that grows. Here it is always 1.
/// (Images of up to 12 tokens still crash it when the first batch had up to 12 rows in all and a later one more.)
class VitGraph
{
public:
    VitGraph(OnnxWriter& writer, const vit::ParamArena& params, const vit::StackConfig& stack, float layerNormEps);

    std::string reshape(const std::string& x, const std::string& name, const std::vector<int64_t>& shape);
    std::string transpose(const std::string& x, const std::string& name, const std::vector<int64_t>& perm);
    /// Rows `from` to `to` of every image: x [N, T, D] -> [N, to - from, D].
    std::string slice(const std::string& x, const std::string& name, int64_t from, int64_t to);
    /// x plus a table that is the same for every image, less each row's mean: the start of the residual stream.
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
        std::string name;        ///< of its nodes
        const float* weight;     ///< [out, in]
        const float* bias;       ///< [out]
        int64_t in, out;
        std::string norm;        ///< not empty: normalise() made the input, and this norm's weight and bias go in
        bool centred = false;    ///< the output goes to the residual stream
        float scale = 1.f;       ///< of weights and bias
    };
    /// x [1, M, in] -> [1, M, out]
    std::string linear(const std::string& x, const Linear& layer);
    /// The layer of that name.
    Linear layer(const std::string& name, int64_t in, int64_t out) const;

    /// x [1, M, D], rows without mean -> divided by their deviation. The norm's weight and bias are left to linear().
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
