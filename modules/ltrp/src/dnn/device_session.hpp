// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_DEVICE_SESSION_HPP
#define OPENCV_LTRP_DNN_DEVICE_SESSION_HPP

#include "layers.hpp"

#include <opencv2/core/cuda.hpp>

namespace cv { namespace ltrp {

/// @throws Error::StsBadArg with advice if the network runs on the CPU
void requireCuda(const ComputeDevice& computing);
/// Whether the argument is a cv::cuda::GpuMat or a vector of them; returns its images.
bool isOnDevice(InputArray images);
std::vector<cuda::GpuMat> deviceImages(InputArray images);

/// Converts CV_8UC3 (BGR) images to normalised pixels [count,3,S,S]; both in the memory of `ops`. first: number of
/// images[0] in error messages.
void prepareDeviceImages(const cuda::GpuMat* images, int count, int first, const vit::InputConfig& input,
                         const ops::Backend& ops, float* pixels);

/// A ranker for images on its device. It does not use cv::dnn, which would copy them to the host and back. One thread
/// at a time.
class DeviceRankSession
{
public:
    explicit DeviceRankSession(std::shared_ptr<const RankerModel> model) : model_(std::move(model)) {}
    bool usable() const { return true; }   ///< the session stays usable after an exception

    /// scores [images, L]: a GpuMat (asynchronous; later work in `stream` waits for the scores) or a Mat (the call
    /// waits). stream: the cudaStream_t that wrote the images; null: the default one. @throws Error::StsBadArg for
    /// images of another type, and if the network runs on the CPU
    void rank(const std::vector<cuda::GpuMat>& images, OutputArray scores, void* stream);

private:
    const std::shared_ptr<const RankerModel> model_;
    LayerWorkspace workspace_;
};

/// The same for leave-one-out: one image under many masks, or many images under one mask.
class DevicePseudoScoreSession
{
public:
    explicit DevicePseudoScoreSession(std::shared_ptr<const MaeModel> model) : model_(std::move(model)) {}
    bool usable() const { return true; }

    /// @throws as DeviceRankSession::rank()
    void setImage(const cuda::GpuMat& image);
    /// visible: N x Lv (CV_32S), ascending in each row. @return scores of that image, N x Lv; SSIM and PSNR scaled per
    /// row.
    Mat forward(const Mat& visible, const vit::LeaveOneOutOptions& options);

    /// Scores [images, Lv] of several images under one mask `visible` (Lv numbers, ascending). scores, stream: as for
    /// DeviceRankSession::rank().
    void score(const std::vector<cuda::GpuMat>& images, const std::vector<int>& visible,
               const vit::LeaveOneOutOptions& options, OutputArray scores, void* stream);

private:
    const std::shared_ptr<const MaeModel> model_;
    LayerWorkspace workspace_;
};

}}  // namespace

#endif
