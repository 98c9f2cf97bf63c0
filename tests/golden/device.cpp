// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

namespace golden
{

OnDevice::OnDevice(const Device& device, bool frozen)
    : ws_(device.make ? new cv::ltrp::vit::Workspace(device.make(frozen)) : new cv::ltrp::vit::Workspace)
{
}

const float* OnDevice::in(const std::string& name, const Values& values)
{
    return ws_->upload("golden." + name, values.floats.data(), values.floats.size());
}

const int* OnDevice::in(const std::string& name, const std::vector<int>& values)
{
    return ws_->upload("golden." + name, values.data(), values.size());
}

float* OnDevice::at(const std::string& name, Values& values)
{
    return ws_->result("golden." + name, values.floats.data(), values.floats.size());
}

void OnDevice::back(const float* from, Values& values)
{
    ws_->finish(from, values.floats.data(), values.floats.size());
}

void OnDevice::gradients(cv::ltrp::vit::ParamArena& grads, const std::function<void(float* grads)>& pass)
{
    const size_t count = grads.layout.total();
    float* there = ws_->result("golden.grads", grads.data(), count);
    ws_->ops().zero(there, count * sizeof(float));
    pass(there);
    ws_->finish(there, grads.data(), count);
}

}  // namespace
