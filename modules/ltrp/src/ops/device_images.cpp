// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "ops.hpp"

namespace cv { namespace ltrp { namespace ops {

namespace {

[[noreturn]] void onHostOnly()
{
    LTRP_ERROR(Error::StsNotImplemented, "images in a GPU's memory: the network runs on the CPU");
}

}  // namespace

void Backend::prepareImages(const DeviceImage*, int, Size, const double*, const double*, float*) const { onHostOnly(); }
void Backend::waitForStream(void*) const { onHostOnly(); }
void Backend::makeStreamWait(void*) const { onHostOnly(); }

}}}  // namespace
