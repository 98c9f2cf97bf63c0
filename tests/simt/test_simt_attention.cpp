// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention with and without tensor cores, forward and backward, against double arithmetic on the same rounded inputs.

#include "typed.hpp"

#include <limits>

using namespace simttest;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_attention)

namespace
{

struct Shape
{
    int batch, tokens, queries, width, heads, sharedBy;
    std::vector<int> droppedToken;   ///< empty: none
    int dim() const { return width * heads; }
    std::string text(DataType element) const
    {
        return cv::format("%s batch %d tokens %d queries %d heads %d of %d shared by %d%s", nameOf(element), batch,
                          tokens, queries, heads, width, sharedBy, droppedToken.empty() ? "" : " dropped token");
    }
};

/// One head's rows of q, k or v (part 0, 1, 2) in doubles.
double at(const Floats& qkv, const Shape& s, size_t item, int head, int token, int part, int c)
{
    return qkv[((item * z(s.tokens) + z(token)) * 3 + z(part)) * z(s.dim()) + z(head * s.width + c)];
}

/// Softmax weights of one head, and the logarithms of their sums.
std::vector<double> weightsOf(const Floats& qkv, const Shape& s, int b, int head, std::vector<double>& logs)
{
    const int flag = s.droppedToken.empty() ? -1 : s.droppedToken[z(b)];
    const size_t item = z(b / s.sharedBy);
    std::vector<double> p(z(s.tokens) * z(s.tokens), 0.0);
    logs.assign(z(s.tokens), 0.0);
    for (int i = 0; i < s.tokens; ++i)
    {
        double total = 0;
        for (int j = 0; j < s.tokens; ++j)
        {
            double dot = 0;
            for (int c = 0; c < s.width; ++c)
                dot += at(qkv, s, item, head, i, 0, c) * at(qkv, s, item, head, j, 1, c);
            total += p[z(i * s.tokens + j)] = j == flag ? 0 : std::exp(dot / std::sqrt(static_cast<double>(s.width)));
        }
        for (int j = 0; j < s.tokens; ++j)
            p[z(i * s.tokens + j)] /= total;
        logs[z(i)] = std::log(total);
    }
    return p;
}

void checkForward(const Shape& s, DataType element)
{
    const Floats qkv = rounded(randomFloats(z(s.batch / s.sharedBy * s.tokens * 3 * s.dim()), 1), element);
    const size_t count = z(s.batch) * z(s.queries) * z(s.dim()), rows = z(s.batch) * z(s.heads) * z(s.queries);
    std::vector<double> out(count, 0.0), logSums(rows), logs;
    for (int b = 0; b < s.batch; ++b)
        for (int head = 0; head < s.heads; ++head)
        {
            const std::vector<double> p = weightsOf(qkv, s, b, head, logs);
            for (int i = 0; i < s.queries; ++i)
            {
                logSums[(z(b) * z(s.heads) + z(head)) * z(s.queries) + z(i)] = logs[z(i)];
                if (!s.droppedToken.empty() && s.droppedToken[z(b)] == i)
                    continue;
                for (int j = 0; j < s.tokens; ++j)
                    for (int c = 0; c < s.width; ++c)
                        out[(z(b) * z(s.queries) + z(i)) * z(s.dim()) + z(head * s.width + c)]
                            += p[z(i * s.tokens + j)] * at(qkv, s, z(b / s.sharedBy), head, j, 2, c);
            }
        }
    const Typed in(qkv, element, "qkv");
    const Buffer<int> flags(s.droppedToken, "droppedToken");
    const Floats got = inEveryOrder([&] {
        const Typed to(count, element, "out");
        const Buffer<float> sums(rows, "logSumExp");
        kernels::attention(nullptr, {in, to, s.droppedToken.empty() ? nullptr : flags.get(), sums, s.batch, s.tokens,
                                     s.queries, s.dim(), s.heads, s.sharedBy});
        Floats all = to.values();
        append(all, sums.values());
        return all;
    });
    const Floats attended(got.begin(), got.begin() + static_cast<ptrdiff_t>(count));
    const Floats sums(got.begin() + static_cast<ptrdiff_t>(count), got.end());
    checkNear(attended, out, 1e-5 + stepOf(element), 2 * stepOf(element) + 1e-5, s.text(element));
    checkNear(sums, logSums, 2e-5, 2e-5, s.text(element) + ", logSumExp");
    for (int b = 0; b < s.batch && !s.droppedToken.empty(); ++b)   // exactly zero
        if (s.droppedToken[z(b)] >= 0 && s.droppedToken[z(b)] < s.queries)
            for (int c = 0; c < s.dim(); ++c)
                BOOST_REQUIRE_EQUAL(attended[(z(b) * z(s.queries) + z(s.droppedToken[z(b)])) * z(s.dim()) + z(c)], 0.f);
}

void checkBackward(const Shape& s, DataType element)
{
    const size_t count = z(s.batch) * z(s.tokens) * z(s.dim());
    const Floats qkv = rounded(randomFloats(3 * count, 2), element), dOut = rounded(randomFloats(count, 3), element);
    std::vector<double> want(3 * count, 0.0), logs;
    const double scale = 1 / std::sqrt(static_cast<double>(s.width));
    for (int b = 0; b < s.batch; ++b)
        for (int head = 0; head < s.heads; ++head)
        {
            const std::vector<double> p = weightsOf(qkv, s, b, head, logs);
            const auto grad = [&](int token, int part, int c) -> double& {
                return want[((z(b) * z(s.tokens) + z(token)) * 3 + z(part)) * z(s.dim()) + z(head * s.width + c)];
            };
            const auto d = [&](int token, int c)
            { return dOut[(z(b) * z(s.tokens) + z(token)) * z(s.dim()) + z(head * s.width + c)]; };
            for (int i = 0; i < s.tokens; ++i)
            {
                std::vector<double> dp(z(s.tokens), 0.0);
                double mean = 0;
                for (int j = 0; j < s.tokens; ++j)
                {
                    for (int c = 0; c < s.width; ++c)
                    {
                        dp[z(j)] += d(i, c) * at(qkv, s, z(b), head, j, 2, c);
                        grad(j, 2, c) += p[z(i * s.tokens + j)] * d(i, c);
                    }
                    mean += dp[z(j)] * p[z(i * s.tokens + j)];
                }
                for (int j = 0; j < s.tokens; ++j)
                {
                    const double slope = p[z(i * s.tokens + j)] * (dp[z(j)] - mean) * scale;
                    for (int c = 0; c < s.width; ++c)
                    {
                        grad(i, 0, c) += slope * at(qkv, s, z(b), head, j, 1, c);
                        grad(j, 1, c) += slope * at(qkv, s, z(b), head, i, 0, c);
                    }
                }
            }
        }
    const Typed in(qkv, element, "qkv"), d(dOut, element, "dOut"), out(count, element, "out");
    const Buffer<float> sums(z(s.batch) * z(s.heads) * z(s.tokens), "logSumExp");
    kernels::attention(nullptr, {in, out, nullptr, sums, s.batch, s.tokens, s.tokens, s.dim(), s.heads, 1});
    const Floats got = inEveryOrder([&] {
        const Typed to(3 * count, element, "dQkv");
        const Buffer<uint8_t> scratch(kernels::attentionBackwardScratch(s.batch, s.tokens, s.dim(), s.heads),
                                      "scratch");
        kernels::attentionBackward(nullptr, {in, out, d, sums, to, s.batch, s.tokens, s.dim(), s.heads}, scratch.get());
        return to.values();
    });
    checkNear(got, want, 3e-5 + 4 * stepOf(element), 3 * stepOf(element) + 3e-5, "backward " + s.text(element));
}

}  // namespace

BOOST_AUTO_TEST_CASE(any_width_and_element_equals_the_plain_sums)
{
    for (const DataType element : everyElement)
    {
        checkForward({2, 5, 5, 3, 2, 1, {}}, element);
        checkForward({1, 1, 1, 4, 1, 1, {}}, element);
        checkForward({3, 37, 19, 12, 2, 1, {-1, 0, 36}}, element);
        checkForward({4, 33, 33, 40, 1, 2, {1, 32, -1, 5}}, element);
    }
    checkForward({1, 20, 7, 256, 1, 1, {}}, DataType::Float32);
    checkForward({1, 18, 18, 100, 1, 1, {3}}, DataType::BFloat16);
    checkForward({1, 197, 33, 32, 1, 1, {}}, DataType::Float32);
}

BOOST_AUTO_TEST_CASE(tensor_cores_equal_the_plain_sums)
{
    for (const DataType element : {DataType::BFloat16, DataType::Float16})
        for (const int width : {32, 64})
        {
            checkForward({1, 197, 197, width, 2, 1, {}}, element);
            checkForward({2, 257, 131, width, 1, 1, {200, -1}}, element);
            checkForward({3, 49, 49, width, 1, 1, {0, 48, 17}}, element);
            checkForward({1, 1, 1, width, 2, 1, {}}, element);
            checkForward({2, 16, 3, width, 3, 1, {}}, element);
            checkForward({2, 65, 65, width, 1, 1, {64, 0}}, element);   // a chunk without any remaining key
        }
    checkForward({67, 129, 129, 32, 1, 1, {}}, DataType::BFloat16);   // too many blocks for parallel rounds of tiles
}

BOOST_AUTO_TEST_CASE(sequences_longer_than_shared_memory_equal_the_plain_sums)
{
    for (const DataType element : {DataType::BFloat16, DataType::Float16})
    {
        checkForward({2, 353, 353, 64, 1, 1, {}}, element);             // one too many; one row in the last tile
        checkForward({4, 401, 140, 64, 2, 2, {-1, 0, 400, 128}}, element);   // variants; a key removed in each kind of place
    }
    checkForward({1, 769, 33, 32, 1, 1, {768}}, DataType::BFloat16);   // the only key in the last tile, removed
    checkForward({1, 640, 130, 32, 2, 1, {}}, DataType::Float16);
    checkForward({1, 1025, 17, 64, 1, 1, {}}, DataType::BFloat16);
}

BOOST_AUTO_TEST_CASE(variants_of_one_input_share_what_they_have_in_common)
{
    checkForward({20, 197, 178, 32, 1, 20, {-1,  178, 179, 180, 181, 182, 183, 184, 185, 186,
                                            187, 188, 189, 190, 191, 192, 193, 194, 195, 196}},
                 DataType::BFloat16);
    checkForward({6, 37, 37, 64, 2, 3, {-1, 1, 20, 36, -1, 0}}, DataType::Float16);
    checkForward({4, 50, 50, 32, 2, 2, {}}, DataType::BFloat16);
    checkForward({4, 50, 31, 32, 1, 4, {-1, -1, -1, -1}}, DataType::BFloat16);
    checkForward({134, 129, 129, 32, 1, 2, std::vector<int>(134, 70)}, DataType::BFloat16);
}

BOOST_AUTO_TEST_CASE(a_removed_key_that_had_all_the_weight_leaves_the_others_finite)
{
    // Scores near 500: the others' weights would vanish next to the removed key's.
    const int tokens = 20, width = 32;
    Floats qkv(z(tokens) * 3 * width, 0.f);
    for (int t = 0; t < tokens; ++t)
        for (int c = 0; c < width; ++c)
        {
            qkv[z(t * 3 * width + c)] = 10;
            qkv[z(t * 3 * width + width + c)] = t == 19 ? 9.f : 0.f;
            qkv[z(t * 3 * width + 2 * width + c)] = static_cast<float>(t);
        }
    const Typed in(qkv, DataType::BFloat16, "qkv"), out(z(2 * tokens * width), DataType::BFloat16, "out");
    const Buffer<int> droppedToken(std::vector<int>{-1, 19}, "droppedToken");
    kernels::attention(nullptr, {in, out, droppedToken, nullptr, 2, tokens, tokens, width, 1, 2});
    const Floats got = out.values();
    BOOST_TEST(got[0] == 19.f);
    BOOST_TEST(got[z(tokens * width)] == 9.f);   // the mean of 0 .. 18
}

BOOST_AUTO_TEST_CASE(gradients_equal_the_plain_sums)
{
    for (const DataType element : everyElement)
    {
        checkBackward({2, 5, 5, 3, 2, 1, {}}, element);
        checkBackward({1, 37, 37, 40, 2, 1, {}}, element);
        checkBackward({1, 1, 1, 32, 1, 1, {}}, element);
        for (const int width : {32, 64})
        {
            checkBackward({1, 50, 50, width, 2, 1, {}}, element);
            checkBackward({1, 97, 97, width, 1, 1, {}}, element);
        }
    }
    checkBackward({1, 197, 197, 32, 1, 1, {}}, DataType::BFloat16);
    checkBackward({2, 353, 353, 64, 1, 1, {}}, DataType::BFloat16);   // more than shared memory holds
    checkBackward({1, 385, 385, 64, 2, 1, {}}, DataType::Float16);
    checkBackward({1, 641, 641, 32, 1, 1, {}}, DataType::BFloat16);
    checkBackward({1, 21, 21, 200, 1, 1, {}}, DataType::Float32);
}

BOOST_AUTO_TEST_SUITE_END()
