// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The heads of several labels and of segmentation: cross-attention, row products, their losses.
#include "op_cases_tools.hpp"

#include <algorithm>
#include <cstring>

namespace opcases
{
namespace
{

using cv::ltrp::ops::CrossAttention;

/// A loss in the backend's memory.
double value(const There& loss)
{
    const Floats bytes = loss.back();
    double number;
    std::memcpy(&number, bytes.data(), sizeof(number));
    return number;
}
double* doubleAt(const There& loss) { return reinterpret_cast<double*>(static_cast<float*>(loss)); }

std::string nameOf(const CrossAttention& s)
{
    return cv::format("crossAttention batch %d queries %d tokens %d dim %d heads %d", s.batch, s.queries, s.tokens, s.dim, s.heads);
}

size_t keptCount(const CrossAttention& s) { return z(s.batch) * z(s.heads) * z(s.queries) * z(s.tokens); }

Arrays crossInputs(const CrossAttention& s, double scale)
{
    return {{"q", randomFloats(z(s.queries) * z(s.dim), 50, scale)}, {"kv", randomFloats(z(s.batch) * z(s.tokens) * 2 * z(s.dim), 51)}};
}

Doubles crossAttentionRef(const Doubles& q, const Doubles& kv, const CrossAttention& s)
{
    const int width = s.dim / s.heads;
    Doubles out(z(s.batch) * z(s.queries) * z(s.dim));
    for (int b = 0; b < s.batch; ++b)
        for (int h = 0; h < s.heads; ++h)
            for (int i = 0; i < s.queries; ++i)
            {
                const auto at = [&](int j, int part, int c)
                { return kv[((z(b) * z(s.tokens) + z(j)) * 2 + z(part)) * z(s.dim) + z(h * width + c)]; };
                Doubles scores(z(s.tokens));
                for (int j = 0; j < s.tokens; ++j)
                    for (int c = 0; c < width; ++c)
                        scores[z(j)] += q[z(i) * z(s.dim) + z(h * width + c)] * at(j, 0, c) / std::sqrt(double(width));
                const double largest = *std::max_element(scores.begin(), scores.end());
                double sum = 0;
                for (double& score : scores)
                    sum += score = std::exp(score - largest);
                for (int j = 0; j < s.tokens; ++j)
                    for (int c = 0; c < width; ++c)
                        out[(z(b) * z(s.queries) + z(i)) * z(s.dim) + z(h * width + c)] += scores[z(j)] / sum * at(j, 1, c);
            }
    return out;
}

/// scale: of the queries; large ones would overflow an exponential.
OpCase crossAttentionCase(const CrossAttention& s, double scale, bool keeps)
{
    OpCase c;
    c.name = nameOf(s) + (keeps ? "" : ", nothing kept");
    c.inputs = crossInputs(s, scale);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There out(backend, z(s.batch) * z(s.queries) * z(s.dim)), kept(backend, keptCount(s));
        backend.crossAttention(s, at("q"), at("kv"), out, keeps ? static_cast<float*>(kept) : nullptr);
        return Arrays{{"out", out.back()}};
    };
    c.reference = [=](const Arrays& a) { return Arrays{{"out", narrow(crossAttentionRef(wide(a.at("q")), wide(a.at("kv")), s))}}; };
    c.absolute = 3e-6 * std::max(1., scale);
    c.relative = 1e-5;
    return c;
}

GradientCase crossAttentionGradient(const CrossAttention& s)
{
    GradientCase c;
    c.name = nameOf(s);
    c.inputs = crossInputs(s, 1);
    c.forward = [=](const Arrays& a) { return crossAttentionRef(wide(a.at("q")), wide(a.at("kv")), s); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        const Inputs at(backend, a);
        const There d(backend, dOut), out(backend, dOut.size()), kept(backend, keptCount(s));
        const There dQ(backend, Floats(a.at("q").size())), dKv(backend, a.at("kv").size());
        backend.crossAttention(s, at("q"), at("kv"), out, kept);
        backend.crossAttentionBackward(s, at("q"), at("kv"), kept, d, dQ, dKv);
        return Arrays{{"q", dQ.back()}, {"kv", dKv.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

Arrays rowInputs(int items, int n, int dim)
{
    return {{"x", randomFloats(z(items) * z(n) * z(dim), 52)}, {"w", randomFloats(z(n) * z(dim), 53)}, {"b", randomFloats(z(n), 54)}};
}

Doubles rowProductsRef(const Arrays& a, int items, int n, int dim)
{
    Doubles y(z(items) * z(n));
    for (int i = 0; i < items; ++i)
        for (int j = 0; j < n; ++j)
        {
            double& sum = y[z(i) * z(n) + z(j)];
            sum = a.at("b")[z(j)];
            for (int c = 0; c < dim; ++c)
                sum += double(a.at("x")[(z(i) * z(n) + z(j)) * z(dim) + z(c)]) * a.at("w")[z(j) * z(dim) + z(c)];
        }
    return y;
}

OpCase rowProductsCase(int items, int n, int dim)
{
    OpCase c;
    c.name = cv::format("rowProducts %dx%dx%d", items, n, dim);
    c.inputs = rowInputs(items, n, dim);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There y(backend, z(items) * z(n));
        backend.rowProducts(at("x"), at("w"), at("b"), y, items, n, dim);
        return Arrays{{"y", y.back()}};
    };
    c.reference = [=](const Arrays& a) { return Arrays{{"y", narrow(rowProductsRef(a, items, n, dim))}}; };
    c.absolute = 2e-5;
    c.relative = 1e-5;
    return c;
}

GradientCase rowProductsGradient(int items, int n, int dim)
{
    GradientCase c;
    c.name = cv::format("rowProducts %dx%dx%d", items, n, dim);
    c.inputs = rowInputs(items, n, dim);
    c.forward = [=](const Arrays& a) { return rowProductsRef(a, items, n, dim); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        const Inputs at(backend, a);
        const There d(backend, dOut), dx(backend, a.at("x").size()), dw(backend, Floats(a.at("w").size())), db(backend, Floats(z(n)));
        backend.rowProductsBackward(d, at("x"), at("w"), dx, dw, db, items, n, dim);
        return Arrays{{"x", dx.back()}, {"w", dw.back()}, {"b", db.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

/// A loss of logits [rows, classes], by targets of the same size.
struct LossCase
{
    std::string name;
    int rows, classes;
    Floats targets;
    std::function<void(const Backend&, float* logits, const float* targets, float scale, double* loss)> run;   ///< in place
    /// In doubles.
    std::function<double(const Doubles& logits)> loss;
};

/// The loss, and the gradient in the place of the logits.
Arrays runLoss(const LossCase& l, const Backend& backend, const Floats& logits, float scale)
{
    const There x(backend, logits), targets(backend, l.targets), loss(backend, size_t(2));   // a double
    l.run(backend, x, targets, scale, doubleAt(loss));
    return {{"loss", Floats(1, static_cast<float>(value(loss)))}, {"gradient", x.back()}};
}

/// Value and gradient, the one of the reference by differences.
OpCase lossCase(const LossCase& l, double scale)
{
    OpCase c;
    c.name = l.name + cv::format(" %dx%d logits of %g", l.rows, l.classes, scale);
    c.inputs["logits"] = randomFloats(z(l.rows) * z(l.classes), 55, scale);
    c.run = [=](const Backend& backend, const Arrays& a) { return runLoss(l, backend, a.at("logits"), 1); };
    c.reference = [=](const Arrays& a) {
        Doubles logits = wide(a.at("logits")), gradient;
        const double loss = l.loss(logits), h = 1e-6;
        for (double& logit : logits)
        {
            logit += h;
            const double above = l.loss(logits);
            logit -= 2 * h;
            gradient.push_back((above - l.loss(logits)) / (2 * h));
            logit += h;
        }
        return Arrays{{"loss", Floats(1, static_cast<float>(loss))}, {"gradient", narrow(gradient)}};
    };
    c.absolute = 2e-6;
    c.relative = 2e-5;
    return c;
}

GradientCase lossGradient(const LossCase& l)
{
    GradientCase c;
    c.name = l.name + cv::format(" %dx%d", l.rows, l.classes);
    c.inputs["logits"] = randomFloats(z(l.rows) * z(l.classes), 56, 2);
    c.forward = [=](const Arrays& a) { return Doubles(1, l.loss(wide(a.at("logits")))); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        return Arrays{{"logits", runLoss(l, backend, a.at("logits"), dOut[0]).at("gradient")}};
    };
    c.tolerance = 1e-4;
    return c;
}

/// Shares of patches: row 0 is void where `empty`, others are partly void.
LossCase shareEntropy(int rows, int classes, float smoothing, bool empty)
{
    LossCase l;
    l.name = cv::format("shareEntropy smoothing %g%s", smoothing, empty ? ", nothing labelled" : "");
    l.rows = rows;
    l.classes = classes;
    for (int i = 0; i < rows; ++i)
        for (int c = 0; c < classes; ++c)
            l.targets.push_back(empty || (i == 0 && rows > 1) ? 0.f : static_cast<float>((i + 3 * c) % 4) / (4.f * static_cast<float>(classes)));
    l.run = [=](const Backend& backend, float* logits, const float* shares, float scale, double* loss)
    { backend.shareEntropy({logits, shares, rows, classes, smoothing, scale, logits, loss}); };
    const Doubles shares = wide(l.targets);
    l.loss = [=](const Doubles& logits) {
        double total = 0, weights = 0;
        for (int i = 0; i < rows; ++i)
        {
            const double *row = logits.data() + z(i) * z(classes), *share = shares.data() + z(i) * z(classes);
            const double largest = *std::max_element(row, row + classes);
            double sum = 0, weight = 0;
            for (int c = 0; c < classes; ++c)
            {
                sum += std::exp(row[c] - largest);
                weight += share[c];
            }
            for (int c = 0; c < classes; ++c)
                total -= ((1 - double(smoothing)) * share[c] + double(smoothing) * weight / classes) * (row[c] - largest - std::log(sum));
            weights += weight;
        }
        return weights > 0 ? total / weights : 0.;
    };
    return l;
}

LossCase asymmetricLoss(int batch, int classes, float positive, float negative, float clip)
{
    LossCase l;
    l.name = cv::format("asymmetricLoss %g %g %g", positive, negative, clip);
    l.rows = batch;
    l.classes = classes;
    for (int i = 0; i < batch * classes; ++i)
        l.targets.push_back(i % 3 == 1 ? 1.f : 0.f);
    l.run = [=](const Backend& backend, float* logits, const float* labels, float scale, double* loss)
    { backend.asymmetricLoss({logits, labels, batch, classes, positive, negative, clip, scale, logits, loss}); };
    const Floats labels = l.targets;
    l.loss = [=](const Doubles& logits) {
        double total = 0;
        for (size_t i = 0; i < logits.size(); ++i)
        {
            const double p = 1 / (1 + std::exp(-logits[i])), q = std::max(p - double(clip), 0.);
            if (labels[i] > 0)
                total -= std::pow(1 - p, positive) * std::log(p);
            else if (q > 0)
                total -= std::pow(q, negative) * std::log(1 - q);
        }
        return total / batch;
    };
    return l;
}

}  // namespace

std::vector<OpCase> headCases()
{
    return {crossAttentionCase({1, 1, 1, 2, 1}, 1, true), crossAttentionCase({3, 5, 19, 12, 3}, 1, true),
            crossAttentionCase({2, 80, 49, 24, 2}, 1, false), crossAttentionCase({1, 3, 150, 10, 2}, 30, true),
            rowProductsCase(1, 1, 3), rowProductsCase(3, 21, 33), rowProductsCase(2, 5, 192),
            lossCase(shareEntropy(1, 2, 0.f, false), 1), lossCase(shareEntropy(9, 21, 0.1f, false), 3),
            lossCase(shareEntropy(3, 200, 0.f, false), 30), lossCase(shareEntropy(2, 3, 0.f, true), 1),
            lossCase(asymmetricLoss(1, 2, 0, 4, 0.05f), 1), lossCase(asymmetricLoss(5, 150, 0, 4, 0.05f), 3),
            lossCase(asymmetricLoss(3, 7, 1, 0, 0.1f), 2)};
}

std::vector<GradientCase> headGradients()
{
    return {crossAttentionGradient({1, 1, 2, 2, 1}), crossAttentionGradient({3, 5, 7, 12, 3}), crossAttentionGradient({2, 4, 33, 10, 2}),
            rowProductsGradient(2, 7, 5), rowProductsGradient(3, 1, 40), lossGradient(shareEntropy(1, 2, 0.f, false)),
            lossGradient(shareEntropy(5, 11, 0.1f, false)), lossGradient(shareEntropy(2, 3, 0.f, true)),
            lossGradient(asymmetricLoss(1, 2, 0, 4, 0.05f)), lossGradient(asymmetricLoss(4, 11, 2, 3, 0.2f))};
}

}  // namespace opcases
