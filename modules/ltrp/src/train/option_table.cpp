// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "option_table.hpp"

namespace cv { namespace ltrp { namespace train {

const std::vector<TrainOption>& trainOptions()
{
    typedef TrainParams P;
    static const std::vector<TrainOption> options = {
        {"epochs", "epochs", &P::epochs, nullptr, [](const P& p) { return p.epochs > 0 && p.epochs <= 1e6; },
         "a number above 0, at most 1000000", true, "passes over the data"},
        {"warmup-epochs", "warmupEpochs", &P::warmupEpochs, nullptr, [](const P& p) { return p.warmupEpochs < p.epochs; },
         "less than epochs (below 0: chosen by it)", true,
         "epochs in which the learning rate rises from 0 (default: a tenth of all, at most 40)"},
        {"batch", "batch", nullptr, &P::batch, [](const P& p) { return p.batch >= 1 && p.batch <= 65536; },
         "1 to 65536", true, "images computed at a time"},
        {"accumulate", "accumulate", nullptr, &P::accumulate, [](const P& p) { return p.accumulate >= 0 && p.accumulate <= 16384; },
         "1 to 16384, or 0 (chosen by the data)", true,
         "batches averaged for one update of the weights (default: so many that an epoch has 16 updates or more, of at most 512 "
         "images, on a GPU 4096)"},
        {"blr", "baseLearningRate", &P::baseLearningRate, nullptr,
         [](const P& p) { return p.baseLearningRate > 0 || p.learningRate > 0; }, "a number above 0", false,
         "learning rate per 256 images: rate = blr * batch * accumulate / 256"},
        {"lr", "learningRate", &P::learningRate, nullptr, [](const P& p) { return p.learningRate >= 0; },
         "0 (from blr) or more", true, "the learning rate itself; 0: from the rate per 256 images"},
        {"min-lr", "minLearningRate", &P::minLearningRate, nullptr,
         [](const P& p) { return p.minLearningRate >= 0 && (p.learningRate == 0 || p.minLearningRate <= p.learningRate); },
         "0 or more, at most lr", true, "learning rate at the end of the half-cosine"},
        {"weight-decay", "weightDecay", &P::weightDecay, nullptr, [](const P& p) { return p.weightDecay >= 0; },
         "0 or more", true, "AdamW's weight decay (not on biases and norms)"},
        {"beta1", "beta1", &P::beta1, nullptr, [](const P& p) { return p.beta1 >= 0 && p.beta1 < 1; },
         "0 or more, below 1", true, "AdamW's first moment"},
        {"beta2", "beta2", &P::beta2, nullptr, [](const P& p) { return p.beta2 >= 0 && p.beta2 < 1; },
         "0 or more, below 1", true, "AdamW's second moment"},
        {"mask-ratio", "maskRatio", &P::maskRatio, nullptr, [](const P& p) { return p.maskRatio > 0 && p.maskRatio < 1; },
         "a number in (0, 1)", true, "share of patches hidden"},
        {"scale-min", "scaleMin", &P::scaleMin, nullptr, [](const P& p) { return p.scaleMin > 0 && p.scaleMin <= p.scaleMax; },
         "above 0, at most scale-max", true, "random crop: smallest share of the image's area"},
        {"scale-max", "scaleMax", &P::scaleMax, nullptr, [](const P& p) { return p.scaleMax <= 1; },
         "at most 1", true, "random crop: largest share of the image's area"},
        {"ratio-min", "ratioMin", &P::ratioMin, nullptr, [](const P& p) { return p.ratioMin > 0 && p.ratioMin <= p.ratioMax; },
         "above 0, at most ratio-max", true, "random crop: smallest width / height"},
        {"ratio-max", "ratioMax", &P::ratioMax, nullptr, [](const P& p) { return p.ratioMax <= 100; },
         "at most 100", true, "random crop: largest width / height"},
        {"flip", "flip", &P::flip, nullptr, [](const P& p) { return p.flip >= 0 && p.flip <= 1; },
         "0 to 1", true, "probability of a horizontal flip"},
        {"workers", "workers", nullptr, &P::workers, [](const P& p) { return p.workers >= 0 && p.workers <= 256; },
         "0 to 256", false, "threads that read images ahead, 0: none; no influence on the result"},
        {"threads", "threads", nullptr, &P::threads, [](const P& p) { return p.threads >= 0 && p.threads <= 4096; },
         "0 (as set) to 4096", false, "compute threads, 0: as set; a resumed run needs the same number, by which sums are rounded"},
        {"cache-mb", "cacheMegabytes", nullptr, &P::cacheMegabytes, [](const P& p) { return p.cacheMegabytes >= 0; },
         "0 or more", false, "MiB of decoded images kept in memory, 0: none; no influence on the result"},
        {"checkpoint-every", "checkpointEvery", nullptr, &P::checkpointEvery, [](const P& p) { return p.checkpointEvery >= 1; },
         "1 or more", false, "updates between checkpoints (the newest two are kept)"},
        {"checkpoint-minutes", "checkpointMinutes", &P::checkpointMinutes, nullptr,
         [](const P& p) { return p.checkpointMinutes >= 0; }, "0 (not by time) or more", false,
         "minutes after which an update ends with a checkpoint as well, 0: not by time"},
        {"export-every", "exportEvery", nullptr, &P::exportEvery, [](const P& p) { return p.exportEvery >= 0; },
         "0 or more", false, "epochs between copies of the weights, epoch-NNNN.safetensors; 0: none"},
        {"log-every", "logEvery", nullptr, &P::logEvery, [](const P& p) { return p.logEvery >= 1; },
         "1 or more", false, "updates per line of log.jsonl"}};
    return options;
}

}}}  // namespace
