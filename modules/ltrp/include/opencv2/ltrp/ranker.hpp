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

The whole image is resized to the model's input (antialiased cubic), so that the patch grid covers all of it. Rankers with a
token head (see RankerTrainParams::head) take any input size, so that an image keeps its shape or is cut into smaller patches:

@code{.cpp}
ranker->setInputSize(ranker->fittingInputSize(image.size()));        // as many patches as in training, squarer ones
ranker->setInputSize(ranker->fittingInputSize(image.size(), 784));   // four times as many
@endcode

**Threads**: one Ranker may be used from many threads at once: rank() is const and the weights are shared; each call
takes a session (a cv::dnn::Net of its own and its scratch memory; of an ONNX file its own weights too) from a pool that
grows to the number of calls that ever ran at the same time. The setters must not run beside rank().
*/
class CV_EXPORTS_W Ranker
{
public:
    virtual ~Ranker() {}

    /** @brief Loads a ranker.
    @param model weight file: the module's own safetensors, an LTRP ranker .pth or a timm ViT safetensors whose head has
    one output per patch (a class head); or the .onnx that `ltrp convert` makes of a ranker, which cv::dnn then runs by its own layers,
    with whichever engine it prefers. With `trusted` an ONNX file of other origin serves when it takes images [N,3,S,S], gives
    scores [N,L], and its metadata has an entry "ltrp": {"format":1,"kind":"ranker","image_size":S,"patch_size":P,
    "mean":[R,G,B],"std":[R,G,B]}; for images [N,3,H,W] also "input_size":[W,H]. Weights as such are the faster choice.
    @param trusted false: of ONNX files only those with the very graph that `ltrp convert` writes are read, whatever their weights.
    true: any that fits the description above goes to cv::dnn, which believes all that a graph says; one made for it can end the
    process, take all memory, or name other files to be read (cv::ltrp::registerLayers). Other files are safe to read from anywhere
    @throws cv::Exception naming the file, the tensor, the expected and the found
    */
    CV_WRAP static Ptr<Ranker> create(CV_WRAP_FILE_PATH const String& model, bool trusted = false);
    /** @brief Loads the ranker that comes with the module. @throws cv::Exception as cv::ltrp::shippedModel */
    CV_WRAP static Ptr<Ranker> create();

    /** @brief Scores the patches of one image.
    @param image CV_8U, CV_16U, CV_32F or CV_64F (floating values in [0, 1], an overshoot of up to 1/8 is
    clamped), 1, 3 (BGR) or 4 (BGRA, which is put on a white background) channels,
    any size, any step; where the network runs on CUDA also a cv::cuda::GpuMat, CV_8UC3
    @return scores on the grid, getGrid()
    @throws cv::Exception for an empty image, another type, NaN / infinite pixels, floating values further outside, or one that is
    transparent all over
    */
    CV_WRAP virtual PatchRanking rank(InputArray image) const = 0;

    /** @brief Scores a batch of images of any sizes in one pass.
    @param images vector of images as for rank()
    @return one ranking per image, in order; none for an empty vector. Many images are passed through the network in
    several parts, so that memory stays bounded.
    @throws cv::Exception as rank(), naming the image's number
    */
    CV_WRAP virtual std::vector<PatchRanking> rankBatch(InputArrayOfArrays images) const = 0;

    /** @brief Scores images that lie on the GPU, without a copy to the host.

    With DNN_BACKEND_CUDA only. rank() and rankBatch() take such images as well and give rankings on the host.
    @param images cv::cuda::GpuMat, or a vector of them, CV_8UC3 (BGR), any sizes and steps, on the CUDA device that was the
    current one when the backend was chosen. A GpuMat may wrap memory of any origin, also in an OpenCV without CUDA.
    @param scores receives CV_32FC1, a row an image, its patches in raster order. A cv::cuda::GpuMat of that size and type is
    written in place (an OpenCV without CUDA can make no other), and nothing waits for the scores; a Mat is filled when the call
    returns. They are not looked at: NaN or infinite ones are passed on
    @param stream what was put there before (the images, say) comes before the scores, what is put there afterwards behind them;
    without it: CUDA's default stream
    @throws cv::Exception with Error::StsBadArg for images on the host or on another device, of another type, empty, or where the
    network runs on the CPU; Error::StsNotImplemented for rankers from ONNX files
    */
    virtual void rankOnDevice(InputArray images, OutputArray scores, cuda::Stream& stream) const = 0;
    /** @overload */
    virtual void rankOnDevice(InputArray images, OutputArray scores) const = 0;

    /** @brief cv::dnn backend: cv::dnn::DNN_BACKEND_OPENCV and DNN_BACKEND_DEFAULT are the CPU; cv::dnn::DNN_BACKEND_CUDA is an
    NVIDIA GPU where this module was built with CUDA, whether or not OpenCV was. Changes the target to TARGET_CUDA or
    TARGET_CPU when the one that is set belongs to the other.
    @throws cv::Exception with Error::GpuNotSupported when there is no CUDA, saying why (not built in, no driver, no device,
    a device too old), and with Error::StsNotImplemented for any other backend: never a silent fall-back */
    CV_WRAP virtual void setPreferableBackend(int backendId) = 0;
    /** @brief Device and precision: a cv::ltrp::ComputeTarget; TARGET_CPU (32-bit floats, also cv::dnn::DNN_TARGET_CPU) by default.
    @throws cv::Exception with Error::StsNotImplemented for any other target, and for one that this processor or build
    lacks, saying what is missing (see cv::ltrp::missingForTarget; Error::GpuNotSupported for those of CUDA): never a silent
    fall-back */
    CV_WRAP virtual void setPreferableTarget(int targetId) = 0;

    /** @brief Has images resized to another size than that of the training, and scored on its grid.

    The positions that the network knows are stretched over the new grid: sine-cosine ones are computed for it, others
    interpolated. Rankings are as good as the training made them for such patches: a grid far finer than the trained one shows
    patches of a scale that the network has not seen. Time grows with the number of patches, and from about a thousand on
    with its square. Not beside rank().
    @param size width and height in pixels, multiples of the patch size (getInputSize() / getGrid()), up to 256 patches each
    and up to 4 GiB of memory for one image
    @throws cv::Exception with Error::StsOutOfRange for other sizes; with Error::StsNotImplemented for rankers that take their
    own size alone, which are those with a class head and ONNX files. The size stays what it was */
    CV_WRAP virtual void setInputSize(Size size) = 0;
    /** @brief An input size whose patches are nearly square on an image of that size.
    @param imageSize width and height of the image, 1 or more
    @param patches about so many patches, 1 to 65536; 0: as many as in training
    @return multiples of the patch size, for setInputSize()
    @throws cv::Exception with Error::StsOutOfRange */
    CV_WRAP virtual Size fittingInputSize(Size imageSize, int patches = 0) const = 0;

    CV_WRAP virtual Size getInputSize() const = 0;     //!< network input in pixels: the model file's, or as set
    CV_WRAP virtual Size getGrid() const = 0;          //!< patch columns (width) and rows (height)
    CV_WRAP virtual Scalar getInputMean() const = 0;   //!< R, G, B, for values in [0, 1], from the model file
    CV_WRAP virtual Scalar getInputStd() const = 0;    //!< R, G, B, for values in [0, 1], from the model file

    /** @brief Model, geometry, backend, device, precision and library really in use, as text. */
    CV_WRAP virtual String info() const = 0;
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
