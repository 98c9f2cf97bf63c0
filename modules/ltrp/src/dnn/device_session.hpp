// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_DEVICE_SESSION_HPP
#define OPENCV_LTRP_DNN_DEVICE_SESSION_HPP

#include "layers.hpp"

#include <opencv2/core/cuda.hpp>

namespace cv { namespace ltrp {

/// @throws Error::StsBadArg where the network runs on the CPU, saying what to do
void requireCuda(const Computing& computing);
/// Whether an argument is one cv::cuda::GpuMat or a vector of them, and what is in it.
bool isOnDevice(InputArray images);
std::vector<cuda::GpuMat> deviceImages(InputArray images);

/// CV_8UC3 (BGR) images in the memory of `ops` -> normalised pixels [count,3,S,S] there. first: number of images[0] for
/// errors.
void prepareDeviceImages(const cuda::GpuMat* images, int count, int first, const vit::InputConfig& input,
                         const ops::Backend& ops, float* pixels);

/// A ranker for images that lie on its device: without cv::dnn, which would carry them to the host and back. For one
/// thread at a time.
class DeviceRankSession
{
public:
    explicit DeviceRankSession(std::shared_ptr<const RankerModel> model) : model_(std::move(model)) {}
    bool usable() const { return true; }   ///< what throws leaves nothing half set up here

    /// Scores [images, L]: into a GpuMat, which lets whatever follows in `stream` wait for them; or a Mat, waiting
    /// itself. stream: a cudaStream_t that wrote the images; null: the default one.
    /// @throws Error::StsBadArg for images of another type and where the network runs on the CPU
    void rank(const std::vector<cuda::GpuMat>& images, OutputArray scores, void* stream);

private:
    const std::shared_ptr<const RankerModel> model_;
    LayerWorkspace workspace_;
};

/// The same for the leave-one-out measurement: one image under many masks, or many under one.
class DevicePseudoScoreSession
{
public:
    explicit DevicePseudoScoreSession(std::shared_ptr<const MaeModel> model) : model_(std::move(model)) {}
    bool usable() const { return true; }

    /// @throws as DeviceRankSession::rank()
    void setImage(const cuda::GpuMat& image);
    /// visible N x Lv (CV_32S), ascending in each row -> scores N x Lv of that image. SSIM and PSNR are scaled within
    /// each row.
    Mat forward(const Mat& visible, const vit::LeaveOneOutOptions& options);

    /// Scores [images, Lv] of several images, all under the mask `visible` (Lv numbers, ascending); scores and stream as
    /// for DeviceRankSession::rank().
    void score(const std::vector<cuda::GpuMat>& images, const std::vector<int>& visible,
               const vit::LeaveOneOutOptions& options, OutputArray scores, void* stream);

private:
    const std::shared_ptr<const MaeModel> model_;
    LayerWorkspace workspace_;
};

}}  // namespace

#endif
