// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_MASKED_IMAGE_HPP
#define OPENCV_LTRP_DNN_MASKED_IMAGE_HPP

#include "device_session.hpp"
#include "session.hpp"

namespace cv { namespace ltrp {

/// An image, on the host or a device, whose visible patches are scored under masks.
class MaskedImage
{
public:
    virtual ~MaskedImage() {}
    virtual Size size() const = 0;
    /// ids: one mask per row. Returns scores of the same size, overwritten by the next call.
    virtual Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) = 0;
};

class HostImage CV_FINAL : public MaskedImage
{
public:
    HostImage(SessionPool<PseudoScoreSession>& sessions, InputArray image, const vit::InputConfig& input)
        : input_(input), session_(sessions), size_(prepareImage(image, input, pixelBlob(one_, 1, input)))
    {
    }

    Size size() const CV_OVERRIDE { return size_; }
    Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) CV_OVERRIDE
    {
        float* pixels = pixelBlob(session_->pixels, ids.rows, input_);
        for (int row = 0; row < ids.rows; row++)
            std::copy(one_.ptr<float>(), one_.ptr<float>() + one_.total(), pixels + row * one_.total());
        return session_->forward(session_->pixels, ids, options);
    }

private:
    const vit::InputConfig& input_;
    SessionPool<PseudoScoreSession>::Lease session_;
    Mat one_;
    const Size size_;
};

class DeviceImage CV_FINAL : public MaskedImage
{
public:
    DeviceImage(SessionPool<DevicePseudoScoreSession>& sessions, const cuda::GpuMat& image)
        : session_(sessions), size_(image.size())
    {
        session_->setImage(image);
    }

    Size size() const CV_OVERRIDE { return size_; }
    Mat forward(const Mat& ids, const vit::LeaveOneOutOptions& options) CV_OVERRIDE { return session_->forward(ids, options); }

private:
    SessionPool<DevicePseudoScoreSession>::Lease session_;
    const Size size_;
};

}}  // namespace

#endif
