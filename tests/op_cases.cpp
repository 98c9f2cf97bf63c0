// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"
#include "core/random.hpp"

namespace opcases
{

using cv::ltrp::RandomPurpose;
using cv::ltrp::RandomStream;

Floats randomFloats(size_t count, uint32_t stream, double scale)
{
    RandomStream random(20240400680ull, RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal() * scale);
    return values;
}

Doubles linearRef(const Doubles& x, const Doubles& w, const Doubles& b, int rows, int in, int out)
{
    Doubles y(z(rows) * z(out));
    for (int r = 0; r < rows; ++r)
        for (int o = 0; o < out; ++o)
        {
            double s = b.empty() ? 0 : b[z(o)];
            for (int i = 0; i < in; ++i)
                s += x[z(r) * z(in) + z(i)] * w[z(o) * z(in) + z(i)];
            y[z(r) * z(out) + z(o)] = s;
        }
    return y;
}

Doubles layerNormRef(const Doubles& x, const Doubles& w, const Doubles& b, double eps, int rows, int dim)
{
    Doubles y(x.size());
    for (int r = 0; r < rows; ++r)
    {
        const double* p = x.data() + z(r) * z(dim);
        double mean = 0, variance = 0;
        for (int i = 0; i < dim; ++i)
            mean += p[i] / dim;
        for (int i = 0; i < dim; ++i)
            variance += (p[i] - mean) * (p[i] - mean) / dim;
        for (int i = 0; i < dim; ++i)
            y[z(r) * z(dim) + z(i)] = (p[i] - mean) / std::sqrt(variance + eps) * w[z(i)] + b[z(i)];
    }
    return y;
}

void attentionRef(const Doubles& qkv, const std::vector<int>& droppedToken, int batch, int tokens, int dim, int heads, int sharedBy,
                  Doubles& out, Doubles& probabilities)
{
    const int width = dim / heads;
    out.assign(z(batch) * z(tokens) * z(dim), 0);
    probabilities.assign(z(batch) * z(heads) * z(tokens) * z(tokens), 0);
    for (int b = 0; b < batch; ++b)
        for (int h = 0; h < heads; ++h)
            for (int i = 0; i < tokens; ++i)
            {
                const int flag = droppedToken.empty() ? -1 : droppedToken[z(b)];
                if (i == flag)
                    continue;
                const double* base = qkv.data() + z(b / sharedBy) * z(tokens) * 3 * z(dim) + z(h * width);
                double* p = probabilities.data() + ((z(b) * z(heads) + z(h)) * z(tokens) + z(i)) * z(tokens);
                double peak = -std::numeric_limits<double>::infinity(), total = 0;
                for (int j = 0; j < tokens; ++j)
                {
                    p[j] = 0;
                    for (int c = 0; c < width; ++c)
                        p[j] += base[z(i) * 3 * z(dim) + z(c)] * base[z(j) * 3 * z(dim) + z(dim + c)];
                    p[j] /= std::sqrt(static_cast<double>(width));
                    if (j != flag)
                        peak = std::max(peak, p[j]);
                }
                for (int j = 0; j < tokens; ++j)
                    total += p[j] = j == flag ? 0 : std::exp(p[j] - peak);
                for (int j = 0; j < tokens; ++j)
                {
                    p[j] /= total;
                    for (int c = 0; c < width; ++c)
                        out[(z(b) * z(tokens) + z(i)) * z(dim) + z(h * width + c)]
                            += p[j] * base[z(j) * 3 * z(dim) + z(2 * dim + c)];
                }
            }
}

std::vector<OpCase> opCases()
{
    std::vector<OpCase> all;
    for (const auto& family : {rowCases(), attentionCases(), blockCases(), metricCases(), classifyCases(), headCases(), listCases()})
        all.insert(all.end(), family.begin(), family.end());
    return all;
}

}  // namespace opcases
