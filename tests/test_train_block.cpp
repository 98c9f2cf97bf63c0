// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A transformer block in training: the CPU's own implementation compared with the same block composed of single
// operations (which are compared with plain loops elsewhere), with every kernel set, split over threads and batches,
// and in bfloat16.

#include "reference_vit.hpp"

#include <opencv2/core/utility.hpp>

#include <boost/test/unit_test.hpp>

#include <numeric>

using namespace cv::ltrp;

namespace
{

const std::vector<std::string>& names()
{
    static const std::vector<std::string> all = {"norm1.w", "norm1.b", "qkv.w", "qkv.b", "proj.w", "proj.b",
                                                 "norm2.w", "norm2.b", "fc1.w", "fc1.b", "fc2.w", "fc2.b"};
    return all;
}

typedef std::map<std::string, std::vector<float>> Arrays;

std::vector<float> normals(size_t count, uint32_t stream, double scale)
{
    RandomStream random(4, RandomPurpose::Init, 0, stream);
    std::vector<float> values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal() * scale);
    return values;
}

/// A block with its input and the gradient of its output.
struct Block
{
    Block(int batchSize, int tokenCount, int width, int headCount, int hiddenWidth)
        : batch(batchSize), tokens(tokenCount), dim(width), heads(headCount), hidden(hiddenWidth)
    {
        const size_t d = static_cast<size_t>(dim), h = static_cast<size_t>(hidden);
        const std::map<std::string, size_t> sizes = {
            {"norm1.w", d}, {"norm1.b", d}, {"qkv.w", 3 * d * d}, {"qkv.b", 3 * d}, {"proj.w", d * d}, {"proj.b", d},
            {"norm2.w", d}, {"norm2.b", d}, {"fc1.w", h * d}, {"fc1.b", h}, {"fc2.w", d * h}, {"fc2.b", d}};
        uint32_t stream = 1;
        for (const std::string& name : names())
        {
            const bool matrix = name.back() == 'w' && name.compare(0, 4, "norm") != 0;
            const double scale = matrix ? 1.5 / std::sqrt(name == "fc2.w" ? hidden : dim) : 0.5;
            weights[name] = normals(sizes.at(name), stream++, scale);
        }
        for (const char* name : {"norm1.w", "norm2.w"})
            for (float& v : weights[name])
                v += 1;
        x = normals(static_cast<size_t>(batch * tokens) * d, 20, 1);
        dOut = normals(x.size(), 21, 1);
    }

    ops::BlockWeights view() const
    {
        const auto p = [this](const char* name) { return weights.at(name).data(); };
        return {{p("norm1.w"), p("norm1.b"), 1e-6f}, {p("qkv.w"), p("qkv.b"), dim, 3 * dim},
                {p("proj.w"), p("proj.b"), dim, dim}, {p("norm2.w"), p("norm2.b"), 1e-6f},
                {p("fc1.w"), p("fc1.b"), dim, hidden}, {p("fc2.w"), p("fc2.b"), hidden, dim}};
    }

    /// Output "y", gradient of the input "dx", those of the weights by their names, added to `start`.
    Arrays run(const ops::Backend& backend, bool byParts = false, float start = 0) const
    {
        Arrays result = weights;
        for (auto& array : result)
            std::fill(array.second.begin(), array.second.end(), start);
        const auto g = [&result](const std::string& name) {
            return ops::ParamGrads{result.at(name + ".w").data(), result.at(name + ".b").data()};
        };
        const ops::BlockGrads grads = {g("norm1"), g("qkv"), g("proj"), g("norm2"), g("fc1"), g("fc2")};
        std::vector<float> y = x, d = dOut;
        if (byParts)
        {
            std::vector<float> tape(backend.ops::Backend::tapeFloats(view(), batch, tokens, heads));
            std::vector<float> scratch(backend.ops::Backend::blockScratchFloats(view(), batch, tokens, heads));
            backend.ops::Backend::trainBlock(view(), y.data(), batch, tokens, heads, tape.data(), scratch.data());
            backend.ops::Backend::backwardBlock(view(), grads, tape.data(), d.data(), batch, tokens, heads, scratch.data());
        }
        else
        {
            std::vector<float> tape(backend.tapeFloats(view(), batch, tokens, heads));
            std::vector<float> scratch(backend.blockScratchFloats(view(), batch, tokens, heads));
            backend.trainBlock(view(), y.data(), batch, tokens, heads, tape.data(), scratch.data());
            std::fill(scratch.begin(), scratch.end(), std::nanf(""));   // the backward pass must not need its content
            backend.backwardBlock(view(), grads, tape.data(), d.data(), batch, tokens, heads, scratch.data());
        }
        result["y"] = y;
        result["dx"] = d;
        return result;
    }

    int batch, tokens, dim, heads, hidden;
    Arrays weights;
    std::vector<float> x, dOut;
};

std::vector<Block> blocks()
{
    return {Block(1, 1, 4, 1, 3), Block(2, 5, 12, 3, 20), Block(3, 37, 20, 2, 33), Block(2, 50, 96, 3, 130),
            Block(1, 197, 64, 2, 256), Block(8, 20, 36, 1, 48)};
}

/// Root mean square difference over root mean square of the expected values; infinite for values that are not finite.
double relativeError(const std::vector<float>& got, const std::vector<float>& want)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < got.size(); ++i)
    {
        error += std::pow(static_cast<double>(got[i]) - want[i], 2);
        size += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::isfinite(error) ? std::sqrt(error / size) : std::numeric_limits<double>::infinity();
}

/// Removes the part of qkv.b for the keys, whose true gradient is zero: softmax is invariant to a shift of all keys.
void dropKeyBias(Arrays& arrays)
{
    std::vector<float>& bias = arrays.at("qkv.b");
    bias.erase(bias.begin() + static_cast<std::ptrdiff_t>(bias.size() / 3),
               bias.begin() + static_cast<std::ptrdiff_t>(bias.size() / 3 * 2));
}

void compare(Arrays got, Arrays want, double bound, const std::string& what)
{
    dropKeyBias(got);
    dropKeyBias(want);
    for (const auto& array : want)
    {
        const double error = relativeError(got.at(array.first), array.second);
        BOOST_CHECK_MESSAGE(error <= bound, what << ", " << array.first << ": relative error " << error);
    }
}

std::string describe(const Block& b)
{
    return cv::format("batch %d, %d tokens, dim %d, heads %d, hidden %d", b.batch, b.tokens, b.dim, b.heads, b.hidden);
}

struct RestoreKernels
{
    ~RestoreKernels() { ops::useKernels("auto"); }
};

/// Runs body with every kernel set of the processor.
template <class Body>
void withKernelSets(const Body& body)
{
    const RestoreKernels restore;
    int found = 0;
    for (const char* name : {"avx512bf16", "avx512", "avx2", "baseline"})
    {
        try
        {
            ops::useKernels(name);
        }
        catch (const cv::Exception&)
        {
            BOOST_TEST_MESSAGE("this processor has no " << name);
            continue;
        }
        ++found;
        body(std::string(name));
    }
    BOOST_REQUIRE(found > 0);
}

bool hasBf16()
{
    const std::string lacks = ops::cpuLacks(ops::Precision::BF16);
    if (lacks.empty())
        return true;
    BOOST_TEST_MESSAGE("BF16: " << lacks);
    BOOST_CHECK_THROW(ops::trainingCpu(ops::Precision::BF16), cv::Exception);
    return false;
}

// Bounds: different fp32 implementations differ only by rounding, bfloat16 by a rounding of every factor. A factor
// rounded to 8 bits of mantissa is off by 0.11 % (root mean square); a block has up to eight roundings in sequence, and
// the large attention scores of these blocks, which are exponentiated in the softmax, multiply that.
const double exactBound = 2e-5, halfBound = 0.035;

}  // namespace

BOOST_AUTO_TEST_SUITE(train_block)

BOOST_AUTO_TEST_CASE(a_block_equals_its_single_operations_with_every_kernel_set)
{
    for (const Block& block : blocks())
    {
        ops::useKernels("baseline");
        const Arrays want = block.run(ops::cpu(), true);
        withKernelSets([&](const std::string& set) { compare(block.run(ops::cpu()), want, exactBound, set + ", " + describe(block)); });
    }
}

BOOST_AUTO_TEST_CASE(gradients_are_added_to_what_is_there)
{
    const Block block(2, 5, 12, 3, 20);
    const Arrays zero = block.run(ops::cpu()), ten = block.run(ops::cpu(), false, 10);
    for (const std::string& name : names())
        for (size_t i = 0; i < zero.at(name).size(); ++i)
            BOOST_REQUIRE_SMALL(ten.at(name)[i] - zero.at(name)[i] - 10, 1e-4f);
}

BOOST_AUTO_TEST_CASE(threads_and_batch_splits_agree)
{
    const int before = cv::getNumThreads();
    std::vector<std::shared_ptr<const ops::Backend>> backends = {ops::trainingCpu(ops::Precision::FP32)};
    if (hasBf16())
        backends.push_back(ops::trainingCpu(ops::Precision::BF16));
    for (const auto& backend : backends)
    {
        // With values rounded to 16 bits, sums that differ in their last bit may end one step apart.
        const double bound = backend == backends[0] ? exactBound : 2e-3;
        for (const Block& block : blocks())
        {
            cv::setNumThreads(1);
            const Arrays one = block.run(*backend);
            cv::setNumThreads(3);
            compare(block.run(*backend), one, bound, "3 threads, " + describe(block));
            cv::setNumThreads(1);
            Arrays sum;
            for (int b = 0; b < block.batch; ++b)
            {
                Block item = block;
                item.batch = 1;
                const auto part = [&](const std::vector<float>& all) {
                    const size_t each = all.size() / static_cast<size_t>(block.batch);
                    return std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(each * static_cast<size_t>(b)),
                                              all.begin() + static_cast<std::ptrdiff_t>(each * static_cast<size_t>(b + 1)));
                };
                item.x = part(block.x);
                item.dOut = part(block.dOut);
                backend->weightsChanged();   // a copy's weights may have the addresses of the previous ones
                for (const auto& array : item.run(*backend))
                {
                    std::vector<float>& to = sum[array.first];
                    if (array.first == "y" || array.first == "dx")
                        to.insert(to.end(), array.second.begin(), array.second.end());
                    else if (to.empty())
                        to = array.second;
                    else
                        std::transform(to.begin(), to.end(), array.second.begin(), to.begin(), std::plus<float>());
                }
            }
            compare(sum, one, bound, "item by item, " + describe(block));
        }
    }
    cv::setNumThreads(before);
}

BOOST_AUTO_TEST_CASE(bfloat16_stays_within_its_rounding_with_every_kernel_set)
{
    if (!hasBf16())
        return;
    for (const Block& block : blocks())
    {
        const Arrays want = block.run(ops::cpu());
        withKernelSets([&](const std::string& set) {
            const auto backend = ops::trainingCpu(ops::Precision::BF16);
            const Arrays got = block.run(*backend);
            compare(got, want, halfBound, set + ", " + describe(block));
            BOOST_CHECK(got.at("y") != want.at("y"));   // bfloat16 is really used
            BOOST_CHECK(got.at("fc2.w") != want.at("fc2.w"));
        });
    }
}

BOOST_AUTO_TEST_CASE(rounded_weights_are_kept_until_they_change)
{
    if (!hasBf16())
        return;
    Block block(2, 5, 12, 3, 20);
    const auto backend = ops::trainingCpu(ops::Precision::BF16);
    const Arrays before = block.run(*backend);
    for (float& w : block.weights["fc1.w"])
        w *= 1.5f;
    BOOST_CHECK(block.run(*backend).at("y") == before.at("y"));
    backend->weightsChanged();
    const Arrays after = block.run(*backend);
    BOOST_CHECK(after.at("y") != before.at("y"));
    BOOST_CHECK(after == block.run(*ops::trainingCpu(ops::Precision::BF16)));
}

BOOST_AUTO_TEST_CASE(nothing_is_trained_in_int8)
{
    BOOST_CHECK_THROW(ops::trainingCpu(ops::Precision::INT8), cv::Exception);
}

BOOST_AUTO_TEST_CASE(gradients_of_whole_networks_in_bfloat16_point_the_same_way)
{
    if (!hasBf16())
        return;
    vit::MaeConfig config;
    config.input.imageSize = 64;
    config.encoder = {96, 4, 3, 384};
    config.decoder = {64, 2, 4, 256};
    vit::ParamArena arena(vit::maeLayout(config));
    vit::initialiseParams(config, 3, arena);
    const int batch = 4, visible = 4;
    const std::vector<float> pixels = reference::randomPixels(static_cast<size_t>(batch) * 3 * 64 * 64, 5);
    const std::vector<int> keep = reference::randomMask(batch, config.input.numPatches(), visible, 6);
    const vit::Mae mae(config, arena);
    vit::ParamArena exact(arena.layout), half(arena.layout);
    vit::Workspace exactWs(ops::trainingCpu(ops::Precision::FP32)), halfWs(ops::trainingCpu(ops::Precision::BF16));
    const double loss = mae.forwardBackward(pixels.data(), batch, keep.data(), visible, exact.data(), exactWs);
    BOOST_CHECK_CLOSE(mae.forwardBackward(pixels.data(), batch, keep.data(), visible, half.data(), halfWs), loss, 0.2);
    // A tensor's gradient is off by at most 3 % of its length: an angle of 1.7 degrees. Key biases do not count.
    for (const vit::ParamInfo& info : arena.layout.tensors())
    {
        const size_t shown = info.name.find("attn.qkv.bias") != std::string::npos ? info.count / 3 : info.count;
        const auto values = [&](const vit::ParamArena& from) {
            return std::vector<float>(from.data() + info.offset, from.data() + info.offset + shown);
        };
        const double error = relativeError(values(half), values(exact));
        BOOST_CHECK_MESSAGE(!info.trainable || error <= 0.03, info.name << ": relative error " << error);
    }
}

BOOST_AUTO_TEST_SUITE_END()
