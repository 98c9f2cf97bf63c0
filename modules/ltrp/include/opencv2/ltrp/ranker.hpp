// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_RANKER_HPP
#define OPENCV_LTRP_RANKER_HPP

#include "opencv2/ltrp/types.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Ranks the patches of images with a trained vision transformer.

The whole image is resized to the model's input (antialiased cubic), so that the patch grid covers all of it. Rankers
with a token head (see RankerTrainParams::head) accept any input size, to keep the aspect ratio or for smaller patches:

@code{.cpp}
ranker->setInputSize(ranker->fittingInputSize(image.size()));        // as many patches as in training
ranker->setInputSize(ranker->fittingInputSize(image.size(), 784));   // four times as many
@endcode

**Threads**: several threads may use one Ranker at once. Weights are shared; each concurrent call has its own session (a
cv::dnn::Net with scratch memory, and for an ONNX file its own weights). The setters must not run at the same time as
rank().
*/
class CV_EXPORTS_W Ranker
{
public:
    virtual ~Ranker() {}

    /** @brief Loads a ranker.
    @param model weight file: the module's own safetensors, an LTRP ranker .pth or a timm ViT safetensors whose head has
    one output per patch (a class head); or an .onnx file written by `ltrp convert`, which cv::dnn runs with its own
    layers and default engine. With `trusted`, any other ONNX file can be used if its input is images [N,3,S,S], its
    output scores [N,L], and its metadata has an entry "ltrp":
    {"format":1,"kind":"ranker","image_size":S,"patch_size":P, "mean":[R,G,B],"std":[R,G,B]}; for images [N,3,H,W] also
    "input_size":[W,H]. Weight files are faster than ONNX files.
    @param trusted false: ONNX files are accepted only if their graph is exactly the one that `ltrp convert` writes.
    true: any ONNX file as described above is passed to cv::dnn, which does not validate graphs: a malicious one can
    crash the process or exhaust memory. Files of other formats may come from untrusted sources
    @throws cv::Exception naming the file, the tensor, the expected and the actual shape or value
    */
    CV_WRAP static Ptr<Ranker> create(CV_WRAP_FILE_PATH const String& model, bool trusted = false);
    /** @brief Loads the shipped ranker. @throws cv::Exception as cv::ltrp::shippedModel */
    CV_WRAP static Ptr<Ranker> create();

    /** @brief Scores the patches of one image.
    @param image CV_8U, CV_16U, CV_32F or CV_64F (floating values in [0, 1], an overshoot of up to 1/8 is
    clamped), 1, 3 (BGR) or 4 (BGRA, composited on white) channels,
    any size, any step; if the network runs on CUDA also a cv::cuda::GpuMat, CV_8UC3
    @return scores on the grid, getGrid()
    @throws cv::Exception for an empty image, another type, NaN / infinite pixels, floating values further outside, or
    a fully transparent image
    */
    CV_WRAP virtual PatchRanking rank(InputArray image) const = 0;

    /** @brief Scores images of any sizes.
    @param images vector of images as for rank()
    @return one ranking per image, in order; none for an empty vector. The network processes the images in
    batches, so that memory use is bounded.
    @throws cv::Exception as rank(), naming the index of the image
    */
    CV_WRAP virtual std::vector<PatchRanking> rankBatch(InputArrayOfArrays images) const = 0;

    /** @brief Scores images in GPU memory, without a copy to the host; with DNN_BACKEND_CUDA only.

    rank() and rankBatch() also take such images; their results are on the host.
    @param images cv::cuda::GpuMat, or a vector of them, CV_8UC3 (BGR), any sizes and steps, on the CUDA device that was
    current when the backend was set. A GpuMat may wrap memory of any origin, even if OpenCV is built without
    CUDA.
    @param scores CV_32FC1, one row per image, its patches in raster order. A cv::cuda::GpuMat of that size and type is
    written in place, asynchronously (OpenCV without CUDA cannot allocate another one); for a Mat the call waits.
    Scores are not checked for NaN and infinity
    @param stream the scores are computed after earlier work in this stream (for example producing the images) and
    before later work; default: CUDA's default stream
    @throws cv::Exception with Error::StsBadArg for images on the host or on another device, of another type, empty, or
    if the network runs on the CPU; Error::StsNotImplemented for rankers from ONNX files
    */
    virtual void rankOnDevice(InputArray images, OutputArray scores, cuda::Stream& stream) const = 0;
    /** @overload */
    virtual void rankOnDevice(InputArray images, OutputArray scores) const = 0;

    /** @brief Sets the backend: cv::dnn::DNN_BACKEND_OPENCV and DNN_BACKEND_DEFAULT are the CPU,
    cv::dnn::DNN_BACKEND_CUDA is an NVIDIA GPU; it requires this module to be built with CUDA, but not OpenCV. If the
    current target belongs to the other backend, it is set to TARGET_CUDA or TARGET_CPU. There is no fall-back.
    @throws cv::Exception with Error::GpuNotSupported and the reason if there is no CUDA (not built in, no driver, no
    device, a device too old); with Error::StsNotImplemented for any other backend */
    CV_WRAP virtual void setPreferableBackend(int backendId) = 0;
    /** @brief Sets device and precision: a cv::ltrp::ComputeTarget; TARGET_CPU (32-bit floats, cv::dnn::DNN_TARGET_CPU)
    by default. There is no fall-back.
    @throws cv::Exception with Error::StsNotImplemented for any other target and for one that this processor or build
    lacks, with the reason (cv::ltrp::missingForTarget); for CUDA targets with Error::GpuNotSupported */
    CV_WRAP virtual void setPreferableTarget(int targetId) = 0;

    /** @brief Sets the size to which images are resized, and thus the grid; the default is the size in training.

    Sine-cosine position embeddings are computed for the new grid, others interpolated. Patches of a scale that did not
    occur in training are ranked less well. Time is proportional to the number of patches, above about a thousand to
    its square. Must not run at the same time as rank().
    @param size width and height in pixels, multiples of the patch size (getInputSize() / getGrid()), up to 256 patches
    each and up to 4 GiB of memory for one image
    @throws cv::Exception with Error::StsOutOfRange for other sizes; with Error::StsNotImplemented for rankers with a
    class head or from ONNX files. The size is then not changed */
    CV_WRAP virtual void setInputSize(Size size) = 0;
    /** @brief Returns an input size with nearly square patches on images of the given size.
    @param imageSize width and height of the image, 1 or more
    @param patches approximate number of patches, 1 to 65536; 0: as many as in training
    @return multiples of the patch size, for setInputSize()
    @throws cv::Exception with Error::StsOutOfRange */
    CV_WRAP virtual Size fittingInputSize(Size imageSize, int patches = 0) const = 0;

    CV_WRAP virtual Size getInputSize() const = 0;     //!< network input in pixels: of the model file, or as set
    CV_WRAP virtual Size getGrid() const = 0;          //!< patch columns (width) and rows (height)
    CV_WRAP virtual Scalar getInputMean() const = 0;   //!< R, G, B, for values in [0, 1], from the model file
    CV_WRAP virtual Scalar getInputStd() const = 0;    //!< R, G, B, for values in [0, 1], from the model file

    /** @brief Returns model, geometry, backend, device, precision and library in use, as text. */
    CV_WRAP virtual String info() const = 0;
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
