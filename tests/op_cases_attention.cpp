// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

namespace opcases
{
namespace
{

OpCase attentionCase(int batch, int tokens, int dim, int heads, std::vector<int> droppedToken, int sharedBy, double scale)
{
    OpCase c;
    c.name = cv::format("attention batch %d tokens %d dim %d heads %d%s%s scale %g", batch, tokens, dim, heads,
                        droppedToken.empty() ? "" : " dropped token", sharedBy > 1 ? " shared" : "", scale);
    c.inputs["qkv"] = randomFloats(z(batch / sharedBy) * z(tokens) * 3 * z(dim), 8, scale);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There flags(backend, droppedToken), out(backend, z(batch) * z(tokens) * z(dim));
        const There again(backend, z(batch) * z(tokens) * z(dim));   // without storing the weights
        const size_t stride = z(backend.probabilityStride(tokens));
        const There kept(backend, z(batch) * z(heads) * z(tokens) * stride);
        backend.attention(at("qkv"), flags.ints(), out, kept, batch, tokens, dim, heads, sharedBy);
        backend.attention(at("qkv"), flags.ints(), again, nullptr, batch, tokens, dim, heads, sharedBy);
        Arrays result{{"out", out.back()}, {"again", again.back()}};
        if (!backend.onHost())
            return result;   // the stored values depend on the device
        const Floats stored = kept.back();
        Floats probabilities;
        for (size_t row = 0; row < z(batch) * z(heads) * z(tokens); ++row)
            probabilities.insert(probabilities.end(), stored.begin() + static_cast<ptrdiff_t>(row * stride),
                                 stored.begin() + static_cast<ptrdiff_t>(row * stride + z(tokens)));
        result["probabilities"] = probabilities;
        return result;
    };
    c.reference = [=](const Arrays& a) {
        Doubles out, probabilities;
        attentionRef(wide(a.at("qkv")), droppedToken, batch, tokens, dim, heads, sharedBy, out, probabilities);
        return Arrays{{"out", narrow(out)}, {"probabilities", narrow(probabilities)}, {"again", narrow(out)}};
    };
    c.absolute = 1e-5 * scale * scale;
    c.relative = 1e-5;
    return c;
}

}  // namespace

std::vector<OpCase> attentionCases()
{
    return {attentionCase(1, 1, 4, 1, {}, 1, 1), attentionCase(2, 20, 48, 3, {}, 1, 1),
            attentionCase(2, 197, 64, 2, {}, 1, 2), attentionCase(3, 50, 24, 3, {0, -1, 49}, 1, 1),
            attentionCase(6, 37, 32, 4, {-1, 1, 2, 36, 17, 5}, 6, 1), attentionCase(1, 257, 80, 1, {16}, 1, 1),
            attentionCase(1, 5, 166, 1, {}, 1, 1),    // more shared memory than a kernel has by default on a GPU
            attentionCase(1, 33, 34, 2, {}, 1, 6)};   // large scores: the softmax is nearly one-hot
}

}  // namespace opcases
