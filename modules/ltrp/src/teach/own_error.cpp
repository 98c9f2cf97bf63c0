// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "own_error.hpp"

#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace teach {

void ownErrors(const vit::Mae& mae, const float* pixels, int batch, const int* idsKeep, int visible, bool squared, bool contrast,
               float* errors, vit::Workspace& ws)
{
    const vit::MaeConfig& config = mae.config();
    const int patches = config.input.numPatches(), maskedCount = patches - visible, values = config.input.patchValues();
    const size_t images = static_cast<size_t>(batch), l = static_cast<size_t>(patches), h = static_cast<size_t>(maskedCount);
    const size_t v = static_cast<size_t>(values), side = static_cast<size_t>(config.input.imageSize);
    const float* there = ws.upload("own.pixels", pixels, images * 3 * side * side);
    const int* keep = ws.upload("own.keep", idsKeep, images * static_cast<size_t>(visible));
    float* latent = ws.get("own.latent", images * static_cast<size_t>(visible + 1) * static_cast<size_t>(config.encoder.dim));
    float* pred = ws.get("own.pred", images * l * v);
    float* guessed = ws.get("own.guessed", images * h * v);
    float* target = ws.get("own.target", images * h * v);
    float* deviation = ws.get("own.deviation", images * h);
    mae.encode(there, batch, keep, visible, nullptr, latent, ws);
    mae.decode(latent, batch, keep, visible, nullptr, pred, ws);
    const int* masked = mae.maskedPatches(keep, batch, visible, ws);
    ws.ops().gatherRows(pred, l * v, masked, 0, guessed, batch, maskedCount, values);
    ws.ops().patchTargets(vit::gridOf(config.input), there, batch, masked, maskedCount, config.normPixLoss, target, deviation);

    const float* a = ws.download("own.guessed", guessed, images * h * v);
    const float* b = ws.download("own.target", target, images * h * v);
    const float* scale = ws.download("own.deviation", deviation, images * h);
    std::fill(errors, errors + images * l, std::numeric_limits<float>::quiet_NaN());
    for (size_t image = 0; image < images; ++image)
    {
        const int* shown = idsKeep + image * static_cast<size_t>(visible);
        int next = 0;
        size_t row = image * h;
        for (int patch = 0; patch < patches; ++patch)
        {
            if (next < visible && shown[next] == patch)
            {
                ++next;
                continue;
            }
            double sum = 0;
            for (size_t i = row * v; i < (row + 1) * v; ++i)
            {
                const double difference = static_cast<double>(a[i]) - b[i];
                sum += squared ? difference * difference : std::abs(difference);
            }
            const double unit = contrast && config.normPixLoss ? scale[row] : 1.;
            errors[image * l + static_cast<size_t>(patch)] = static_cast<float>(sum / values * (squared ? unit * unit : unit));
            ++row;
        }
    }
}

}}}  // namespace
