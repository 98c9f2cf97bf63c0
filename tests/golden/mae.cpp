// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "image/preprocess.hpp"
#include "vit/mae.hpp"
#include "vit/positions.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace golden
{

using namespace cv::ltrp;

namespace
{

/// The masked autoencoder: weights, masks, encoder, decoder, loss, reassembled images.
class MaeRunner : public Runner
{
public:
    MaeRunner(const Case& c, Report& report) : Runner(c, report), files_(c.weightFiles()), device_(report.device(), true)
    {
        if (files_.empty())
            throw std::runtime_error(c.path("case.json") + ": no tensor has the role weight");
        model_ = loadMae(c, c.path(files_[0]));
        mae_.reset(new vit::Mae(model_->mae, model_->params));
        const vit::InputConfig& input = model_->mae.input;
        batch_ = c.size("batch");
        patches_ = input.numPatches();
        pixels_ = c.own("pixel_values", {batch_, 3, input.imageSize, input.imageSize}, false);
    }

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() != 2)
            unknown(entry);
        if (parts[0] == "sincos")
            return sinCos(entry, parts[1]);
        if (!case_.hasConfig("visible_per_ratio." + parts[0]))
            unknown(entry);
        const std::string& ratio = parts[0];
        const std::string& what = parts[1];
        if (what == "ids_keep" || what == "ids_restore" || what == "mask")
            return masking(entry, ratio, what);
        const int images = entry.shape.empty() ? 0 : static_cast<int>(std::min<int64_t>(entry.shape[0], 1 << 20));
        if (what == "loss")
            return loss(ratio);
        if (images < 1 || images > batch_)
            throw std::runtime_error("shape " + shapeText(entry.shape) + " does not start with 1 to " +
                                     std::to_string(batch_) + " images");
        const int dim = model_->mae.encoder.dim;
        if (what == "tokens0")
        {
            Values tokens = floatValues({images, patches_, dim});
            float* there = device_.at("tokens", tokens);
            mae_->embed(device_.in("pixels", pixels_), images, nullptr, patches_, there, device_.ws());
            device_.back(there, tokens);
            return tokens;
        }
        if (what == "latent")
            return first(forward(ratio).latent, images);
        if (what == "pred")
            return first(forward(ratio).pred, images);
        for (bool denormalise : {false, true})
        {
            const int image = numberAfter(what, denormalise ? "pasted_denorm" : "pasted");
            if (image >= 0 && image < batch_)
                return pasted(ratio, image, denormalise);
        }
        unknown(entry);
    }

    void further() override
    {
        for (size_t i = 1; i < files_.size(); i++)
            compareWeights(files_[i]);
        compareImages();
        report_.onCpu("position tables, masks from their noise, pictures and their pasting");
    }

private:
    struct Forward
    {
        std::vector<int> idsKeep;
        Values latent, pred;
    };

    static Values first(const Values& all, int images)
    {
        Values part = all;
        part.shape[0] = images;
        part.floats.resize(shapeCount(part.shape));
        return part;
    }

    Values sinCos(const Entry& entry, const std::string& which) const
    {
        if (which != "encoder" && which != "decoder")
            unknown(entry);
        const int dim = which == "encoder" ? model_->mae.encoder.dim : model_->mae.decoder.dim;
        Values table = floatValues({patches_ + 1, dim});
        vit::sinCosPositions(model_->mae.input.grid(), dim, table.floats.data());
        return table;
    }

    std::vector<int> idsKeep(const std::string& ratio) const
    {
        const int visible = case_.visible(ratio);
        const Values noise = case_.own(ratio + ".noise", {batch_, patches_}, false);
        std::vector<int> ids(static_cast<size_t>(batch_) * visible);
        for (int b = 0; b < batch_; b++)
            vit::maskFromNoise(&noise.floats[static_cast<size_t>(b) * patches_], patches_, visible,
                               &ids[static_cast<size_t>(b) * visible]);
        return ids;
    }

    Values masking(const Entry& entry, const std::string& ratio, const std::string& what) const
    {
        const std::vector<int> keep = idsKeep(ratio);
        const int visible = case_.visible(ratio);
        if (what == "ids_keep")
            return intValues({batch_, visible}, keep);
        const Values noise = case_.own(ratio + ".noise", {batch_, patches_}, false);
        std::vector<int> result(static_cast<size_t>(batch_) * patches_), removed(patches_ - visible);
        for (int b = 0; b < batch_; b++)
        {
            const int* ids = &keep[static_cast<size_t>(b) * visible];
            int* row = &result[static_cast<size_t>(b) * patches_];
            ops::cpu().complement(ids, removed.data(), 1, visible, patches_);
            if (what == "mask")
            {
                for (int id : removed)
                    row[id] = 1;
                continue;
            }
            // In the sequence the removed patches are in the order of their noise, as sorted in the recorded run.
            const float* values = &noise.floats[static_cast<size_t>(b) * patches_];
            std::stable_sort(removed.begin(), removed.end(), [values](int i, int j) { return values[i] < values[j]; });
            for (int i = 0; i < patches_; i++)
                row[i < visible ? ids[i] : removed[i - visible]] = i;
        }
        return intValues(entry.shape.size() == 2 ? Shape{batch_, patches_} : entry.shape, result);
    }

    const Forward& forward(const std::string& ratio)
    {
        const auto known = forwards_.find(ratio);
        if (known != forwards_.end())
            return known->second;
        const int visible = case_.visible(ratio);
        Forward f;
        f.idsKeep = idsKeep(ratio);
        f.latent = floatValues({batch_, 1 + visible, model_->mae.encoder.dim});
        f.pred = floatValues({batch_, patches_, model_->mae.input.patchValues()});
        const int* keep = device_.in("keep", f.idsKeep);
        float *latent = device_.at("latent", f.latent), *pred = device_.at("pred", f.pred);
        mae_->encode(device_.in("pixels", pixels_), batch_, keep, visible, nullptr, latent, device_.ws());
        mae_->decode(latent, batch_, keep, visible, nullptr, pred, device_.ws());
        device_.back(latent, f.latent);
        device_.back(pred, f.pred);
        return forwards_.emplace(ratio, f).first->second;
    }

    /// Loss of a training pass.
    Values loss(const std::string& ratio)
    {
        Values value = floatValues({1});
        OnDevice device(report_.device(), false);
        vit::ParamArena grads(model_->params.layout);
        device.gradients(grads, [&](float* there) {
            value.floats[0] = static_cast<float>(mae_->forwardBackward(device.in("pixels", pixels_), batch_,
                                                                       device.in("keep", idsKeep(ratio)), case_.visible(ratio),
                                                                       there, device.ws()));
        });
        return value;
    }

    /// Decoder output for the removed patches, the image itself elsewhere.
    Values pasted(const std::string& ratio, int image, bool denormalise)
    {
        const Forward& f = forward(ratio);
        const int side = model_->mae.input.imageSize, p = model_->mae.input.patchSize, visible = case_.visible(ratio);
        const int values = model_->mae.input.patchValues(), grid = model_->mae.input.grid();
        const size_t plane = static_cast<size_t>(side) * side;
        Values result = floatValues({1, 3, side, side});
        const float* pixels = &pixels_.floats[image * 3 * plane];
        std::copy(pixels, pixels + 3 * plane, result.floats.begin());
        std::vector<int> removed(patches_ - visible);
        ops::cpu().complement(&f.idsKeep[static_cast<size_t>(image) * visible], removed.data(), 1, visible, patches_);
        for (int id : removed)
        {
            std::vector<float> truth(values);
            ops::cpu().patchify(vit::gridOf(model_->mae.input), pixels, 1, &id, 1, ops::PatchOrder::ChannelLast, truth.data());
            const double mean = std::accumulate(truth.begin(), truth.end(), 0.0) / values;
            double squares = 0;
            for (float v : truth)
                squares += (v - mean) * (v - mean);
            const double deviation = std::sqrt(squares / (values - 1) + 1e-6);
            const float* pred = &f.pred.floats[(static_cast<size_t>(image) * patches_ + id) * values];
            for (int i = 0; i < values; i++)
            {
                const int channel = i % 3, column = i / 3 % p, row = i / 3 / p;
                const size_t at = (static_cast<size_t>(id / grid) * p + row) * side + (id % grid) * p + column;
                result.floats[channel * plane + at] =
                    denormalise ? static_cast<float>(pred[i] * deviation + mean) : pred[i];
            }
        }
        return result;
    }

    /// The same weights in another format must be bit-identical.
    void compareWeights(const std::string& file)
    {
        const std::string name = file + " = " + files_[0];
        try
        {
            const std::unique_ptr<io::Model> other = loadMae(case_, case_.path(file));
            size_t different = 0;
            for (const vit::ParamInfo& info : model_->params.layout.tensors())
                for (size_t i = 0; i < info.count; i++)
                    different += !(other->params.at(info.name)[i] == model_->params.data()[info.offset + i]);
            if (different)
                report_.failed(name, std::to_string(different) + " weights differ");
            else
                report_.passed(name, "all " + std::to_string(other->params.layout.parameterCount()) +
                               " weights equal (" + other->format + ")");
        }
        catch (const std::exception& error)
        {
            report_.failed(name, error.what());
        }
    }

    /// Checks that the input tensor results from the images.
    void compareImages()
    {
        if (!case_.json().contains("images"))
        {
            report_.note("no pictures are listed: pixel_values is taken as recorded");
            return;
        }
        const Json& images = case_.json()["images"];
        const vit::InputConfig& input = model_->mae.input;
        if (!images.is_array() || images.size() != static_cast<size_t>(batch_))
            throw std::runtime_error(case_.path("case.json") + ": 'images' must list " + std::to_string(batch_) +
                                     " pictures");
        Values pixels = floatValues(pixels_.shape);
        for (int b = 0; b < batch_; b++)
        {
            if (!images[b].is_object() || !images[b].contains("file") || !images[b]["file"].is_string())
                throw std::runtime_error(case_.path("case.json") + ": an entry of 'images' names no file");
            const std::string path = case_.path(images[b]["file"].get<std::string>());
            const cv::Mat bgr = cv::imread(path, cv::IMREAD_COLOR);
            if (bgr.empty() || bgr.size() != cv::Size(input.imageSize, input.imageSize))
                throw std::runtime_error(path + ": not a picture of " + std::to_string(input.imageSize) + "x" +
                                         std::to_string(input.imageSize) + " pixels");
            cv::Mat rgb;
            image::toRgb8(bgr, rgb);
            image::normalise(rgb, input, &pixels.floats[static_cast<size_t>(b) * 3 * rgb.total()]);
        }
        report_.compare("pixel_values from the pictures", pixels_, pixels, [](size_t) { return 1e-6; }, "1e-06");
    }

    std::vector<std::string> files_;
    std::unique_ptr<io::Model> model_;
    std::unique_ptr<vit::Mae> mae_;
    int batch_ = 0, patches_ = 0;
    Values pixels_;
    OnDevice device_;
    std::map<std::string, Forward> forwards_;
};

}  // namespace

std::unique_ptr<Runner> makeMaeRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new MaeRunner(c, report));
}

}  // namespace
