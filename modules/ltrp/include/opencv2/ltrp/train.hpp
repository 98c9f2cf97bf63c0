// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_HPP
#define OPENCV_LTRP_TRAIN_HPP

#include "opencv2/ltrp/scorer.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Parameters common to both trainings.

An *effective batch* is `batch * accumulate` images: one update of the weights. An epoch has
int(images / effective batch) updates, at least one. If the data set is smaller than an effective batch, an update uses
images more than once.

The value at the end of each description is the default.
*/
struct CV_EXPORTS_W_SIMPLE TrainParams
{
    CV_WRAP TrainParams();

    /// Disables the random crop: sets scaleMin 1, ratioMin 1/2, ratioMax 2, so that no drawn crop fits and the whole
    /// image is used; images longer than 2:1 are cut to their centre
    CV_WRAP void setWholePhotos();

    CV_PROP_RW std::vector<String> data;   //!< folders (searched recursively), image files, shards (.tar), or list files
                                           //!< (one path per line, relative to the list file; # begins a comment line)
    CV_PROP_RW String out;                 //!< folder for checkpoints, log.jsonl, final.safetensors; created if needed
    /// Weight file with the initial weights; empty: random values. For an autoencoder, one of the same geometry; for a
    /// ranker, one of the same geometry or an autoencoder whose encoder has the same width, number of heads, image and
    /// patch size, and at least as many blocks; empty
    CV_PROP_RW String init;
    CV_PROP_RW bool resume;                //!< continue from the newest complete checkpoint in `out`; false
    CV_PROP_RW size_t seed;                //!< seed of all random draws; 0

    CV_PROP_RW double epochs;              //!< passes over the data, > 0
    CV_PROP_RW double warmupEpochs;        //!< epochs of linear rise of the learning rate from 0, below `epochs`;
                                           //!< negative: a tenth of `epochs`, at most 40; -1
    CV_PROP_RW int batch;                  //!< images computed at a time, >= 1; 64
    CV_PROP_RW int accumulate;             //!< batches whose gradients are averaged for one update, >= 1; 0: chosen for
                                           //!< at least 16 updates per epoch, of at most 512 images (4096 on a GPU); 0
    CV_PROP_RW double baseLearningRate;    //!< rate per 256 images: rate = base * effective batch / 256; > 0; 1.5e-4
    CV_PROP_RW double learningRate;        //!< the rate itself; 0: from baseLearningRate; 0
    CV_PROP_RW double minLearningRate;     //!< rate at the end of the half-cosine, >= 0; 0
    CV_PROP_RW double weightDecay;         //!< of AdamW, not on biases and norms, >= 0
    CV_PROP_RW double beta1, beta2;        //!< of AdamW, in [0, 1); 0.9, 0.95
    CV_PROP_RW double maskRatio;           //!< share of masked patches, in (0, 1)

    CV_PROP_RW double scaleMin, scaleMax;  //!< random crop: share of the image's area, 0 < min <= max <= 1; 0.2, 1
    CV_PROP_RW double ratioMin, ratioMax;  //!< random crop: width / height, 0 < min <= max; 3/4, 4/3
    CV_PROP_RW double flip;                //!< probability of a horizontal flip, in [0, 1]; 0.5
    /// Decodes JPEG files at 1/2, 1/4 or 1/8 of their size if the smallest possible crop still has as many pixels as
    /// the network's input; faster for large photos, and more of them fit into the cache; true
    CV_PROP_RW bool reduceJpegs;

    /// cv::ltrp::ComputeTarget of the network in training: TARGET_CPU (fp32); TARGET_CPU_BF16: operands of matrix
    /// products are rounded to bfloat16, weights, gradients, sums and optimizer are 32-bit; TARGET_CUDA, _TF32, _BF16,
    /// _FP16: the whole training on an NVIDIA GPU; TARGET_CPU
    CV_PROP_RW int target;
    CV_PROP_RW int workers;                //!< threads that read images ahead, 0: none; 2. No influence on the result
    CV_PROP_RW int threads;                //!< compute threads (cv::setNumThreads) during run(), 0: unchanged; 0.
                                           //!< Determines how long sums are split: a resumed run needs the same number.
                                           //!< On a GPU no influence, but resume on the same kind of device
    CV_PROP_RW int cacheMegabytes;         //!< MiB of decoded images kept, 0: none; 2048. No influence on the result
    CV_PROP_RW int checkpointEvery;        //!< updates between checkpoints, >= 1; 1000. No influence on the result
    CV_PROP_RW double checkpointMinutes;   //!< minutes after which an update ends with a checkpoint, 0: no limit; 10.
                                           //!< No influence on the result
    CV_PROP_RW int exportEvery;            //!< epochs between weight files epoch-NNNN.safetensors, 0: none; 0
    CV_PROP_RW int logEvery;               //!< updates per line of log.jsonl, >= 1; 10
    CV_PROP_RW String note;                //!< free text stored with the result, for example the data's licence
};

/** @brief Pretraining of a masked autoencoder. Defaults: He et al., CVPR 2022: ViT-B/16, 800 epochs, weight
decay 0.05, mask ratio 0.75, targets normalised per patch; but effective batch and warm-up depend on the data
and the epochs (in the paper: 4096 images, 40 epochs). */
struct CV_EXPORTS_W_SIMPLE MaePretrainParams : public TrainParams
{
    CV_WRAP MaePretrainParams();

    /** @brief Sets patchSize and all widths, depths and heads by name: tiny, small, base, large, huge.
    base, large and huge are the published models (patch 16, 16, 14; decoder 512 wide, 8 deep, 16 heads); tiny and small
    have no published decoder; theirs is 192 x 4 with 6 heads and 256 x 4 with 8 heads.
    @throws cv::Exception listing the names */
    CV_WRAP void setPreset(const String& name);

    CV_PROP_RW int imageSize;         //!< input side in pixels, a multiple of patchSize; 224
    CV_PROP_RW int patchSize;         //!< patch side in pixels; 16
    CV_PROP_RW int embedDim;          //!< encoder width, a multiple of 4 and of heads; 768
    CV_PROP_RW int depth;             //!< encoder blocks; 12
    CV_PROP_RW int heads;             //!< encoder attention heads; 12
    CV_PROP_RW int decoderEmbedDim;   //!< decoder width, a multiple of 4 and of decoderHeads; 512
    CV_PROP_RW int decoderDepth;      //!< decoder blocks; 8
    CV_PROP_RW int decoderHeads;      //!< decoder attention heads; 16
    CV_PROP_RW bool normPixLoss;      //!< predict pixels normalised per patch; true
};

/** @brief Training of a ranker on a frozen autoencoder's pseudo-scores. Defaults: Luo et al., CVPR 2024: 400 epochs,
weight decay 0.06, mask ratio 0.9, L1, removal in the decoder, ListMLE on 20. Differences from the paper: `head` is
"token" (paper: "class"), and effective batch and warm-up depend on the data and the epochs (paper: 4096 images,
40 epochs). */
struct CV_EXPORTS_W_SIMPLE RankerTrainParams : public TrainParams
{
    CV_WRAP RankerTrainParams();

    /** @brief Sets all widths, depths and heads by name: tiny, small, base, large, huge (192 x 12 with 3 heads,
    384 x 12 with 6, 768 x 12 with 12, 1024 x 24 with 16, 1280 x 32 with 16).
    @throws cv::Exception listing the names */
    CV_WRAP void setPreset(const String& name);

    CV_PROP_RW String mae;       //!< weight file of the autoencoder; determines input size, patch size, mean and std
    /// Folder of score maps computed by `ltrp score --targets` for the same data, instead of `mae`. Crops of the images
    /// use the same crops of their maps, interpolated between patches, which blurs them: prefer setWholePhotos(). With
    /// `seesAll` all patches of a crop are compared, otherwise the visible ones
    CV_PROP_RW String targets;
    CV_PROP_RW int embedDim;     //!< ranker width, a multiple of 4 and of heads; 384
    CV_PROP_RW int depth;        //!< ranker blocks; 12
    CV_PROP_RW int heads;        //!< ranker attention heads; 6
    /// Head. "token": one linear layer maps each patch's token to its score, on any grid. "class" (the paper): one
    /// linear layer maps the class token to the scores of all patches of the trained grid; "token"
    CV_PROP_RW String head;
    CV_PROP_RW int removal;      //!< cv::ltrp::Removal; REMOVAL_DECODER
    CV_PROP_RW int metric;       //!< cv::ltrp::ScoreMetric; METRIC_L1
    CV_PROP_RW int space;        //!< cv::ltrp::ScoreSpace; SPACE_DECODER
    CV_PROP_RW String loss;      //!< list-mle-k, list-mle, rank-net, list-net, point-wise or focused-rank; list-mle-k
    CV_PROP_RW int listK;        //!< list-mle-k: columns drawn per image, >= 2; 20
    /// false (the paper): the input is the visible patches only, which is fast; true: the whole image, as at run time,
    /// compared on the visible patches (with `targets`: on all); false
    CV_PROP_RW bool seesAll;
    CV_PROP_RW int scoreTarget;  //!< cv::ltrp::ComputeTarget of the autoencoder, on the same device as `target`;
                                 //!< TARGET_CPU
};

/** @brief Progress of a training; values are those of the last update. */
struct CV_EXPORTS_W_SIMPLE TrainProgress
{
    CV_WRAP TrainProgress() : step(0), steps(0), epoch(0), epochs(0), loss(0), learningRate(0), imagesPerSecond(0),
                              dataWait(0), secondsLeft(0), skipped(0), batch(0), batches(0) {}

    CV_PROP_RW int64 step, steps;        //!< updates done and in total
    CV_PROP_RW double epoch, epochs;     //!< passes over the data done and in total
    CV_PROP_RW double loss;              //!< mean over the effective batch
    CV_PROP_RW double learningRate;      //!< used in this update
    CV_PROP_RW double imagesPerSecond;   //!< smoothed over about the last minute
    CV_PROP_RW double dataWait;          //!< share of this update's time spent waiting for images, 0 to 1
    CV_PROP_RW double secondsLeft;       //!< estimate
    CV_PROP_RW int skipped;              //!< unreadable images so far in this process
    CV_PROP_RW int batch, batches;       //!< batches of the current update: done (0 after an update) and in total
};

/** @brief Trains a network and writes it to `out`/final.safetensors.

The result is a function of data, options (including the number of compute threads) and seed: the number of workers, the
cache, checkpoints and interruptions do not change a byte of it. The folder also contains
`checkpoint-<step>.safetensors` (the newest two) and `log.jsonl`, one JSON object per line: "start" (options), "skipped"
(an unreadable image and the reason), "step" (epoch, step, loss, lr, grad_norm, images_per_s, data_wait, skipped, time),
"checkpoint", "end" and "error".
*/
class CV_EXPORTS_W Trainer
{
public:
    virtual ~Trainer() {}

    /** @brief Called after each update, and about every two seconds between the batches of an update. If it returns
    false, run() ends with a checkpoint of the last complete update. */
    typedef std::function<bool(const TrainProgress& progress)> Progress;
    /** @brief Receives messages, one line each: the resumed checkpoint, skipped images, written checkpoints. May be
    called on a reader thread, one call at a time. */
    typedef std::function<void(const String& line)> Message;
    /** @brief Called often, between batches and on the CPU within a batch, on the thread that called run(). If it
    returns true, run() ends as soon as possible with a checkpoint of the last complete update. It should return at
    once. */
    typedef std::function<bool()> Stop;

    /** @brief Prepares the pretraining of an autoencoder. @throws cv::Exception naming the parameter and its range, or
    with Error::GpuNotSupported and the reason if there is no CUDA */
    CV_WRAP static Ptr<Trainer> createPretrain(const MaePretrainParams& params);
    /** @brief Prepares the training of a ranker; reads the autoencoder.
    @throws cv::Exception naming the parameter or the file, or with Error::GpuNotSupported and the reason if there is no
    CUDA */
    CV_WRAP static Ptr<Trainer> createRanker(const RankerTrainParams& params);

    virtual void setProgress(const Progress& progress) = 0;   //!< none by default
    virtual void setMessage(const Message& message) = 0;      //!< OpenCV's log by default
    virtual void setStop(const Stop& stop) = 0;               //!< none by default

    /** @brief Trains to the end or until a callback stops the training.
    @return true if final.safetensors was written; false if a callback stopped it: run again with `resume`
    @throws cv::Exception for data without a readable image, a folder that contains files of a run (without `resume`),
    options that differ from the checkpoint's (naming the option), a loss or gradient that is not finite (naming step,
    epoch and images; weights and checkpoints are not changed), and a file that cannot be written (checkpoints remain)
    */
    CV_WRAP virtual bool run() = 0;
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
