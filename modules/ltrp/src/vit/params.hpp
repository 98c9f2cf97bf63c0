// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_PARAMS_HPP
#define OPENCV_LTRP_VIT_PARAMS_HPP

#include "../core/config.hpp"
#include <unordered_map>

namespace cv { namespace ltrp { namespace vit {

/// One named tensor of a network and its position in the flat arena.
struct ParamInfo
{
    std::string name;         ///< "blocks.3.attn.qkv.weight": facebook MAE / timm names
    std::vector<int> shape;
    size_t offset = 0;        ///< in floats from the arena's start, a multiple of 16
    size_t count = 0;
    bool trainable = true;    ///< false for the fixed position tables
    bool decay = true;        ///< weight decay applies: tensors of two or more dimensions
    float rate = 1;           ///< factor of the learning rate; used only by the host's optimizer
};

/// Order, names and offsets of all tensors. Gradients and optimizer state use the same layout.
class ParamLayout
{
public:
    void add(const std::string& name, std::vector<int> shape, bool trainable = true);
    /// Sets ParamInfo::rate: 1 for the last tensors (final norm and head); for each block before them, and the
    /// embeddings before the first block, `decay` times the rate of the next. Block names begin with "blocks.".
    void decayRates(int depth, float decay);
    const std::vector<ParamInfo>& tensors() const { return tensors_; }
    const ParamInfo* find(const std::string& name) const;   ///< null when absent
    const ParamInfo& at(const std::string& name) const;     ///< throws when absent
    size_t total() const { return total_; }                 ///< floats in an arena, padding included
    size_t parameterCount() const;                          ///< without padding

private:
    std::vector<ParamInfo> tensors_;
    std::unordered_map<std::string, size_t> index_;
    size_t total_ = 0;
};

ParamLayout maeLayout(const MaeConfig& config);
ParamLayout rankerLayout(const RankerConfig& config);
ParamLayout classifierLayout(const ClassifierConfig& config);

/// A layout and its values in one 64-byte aligned block; padding is zero.
struct ParamArena
{
    ParamLayout layout;
    cv::Mat values;   ///< 1 x total, CV_32F

    ParamArena() = default;
    explicit ParamArena(ParamLayout l);
    float* data() { return values.ptr<float>(); }
    const float* data() const { return values.ptr<float>(); }
    float* at(const std::string& name) { return data() + layout.at(name).offset; }
    const float* at(const std::string& name) const { return data() + layout.at(name).offset; }
};

/// Initial values as in the MAE paper: xavier-uniform linear layers, normal(0.02) tokens, unit norms, zero biases. A
/// function of the seed only.
void initialiseParams(const MaeConfig& config, uint64_t seed, ParamArena& params);
void initialiseParams(const RankerConfig& config, uint64_t seed, ParamArena& params);
void initialiseParams(const ClassifierConfig& config, uint64_t seed, ParamArena& params);

}}}  // namespace

#endif
