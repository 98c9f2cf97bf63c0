// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TEST_GOLDEN_HPP
#define LTRP_TEST_GOLDEN_HPP

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

namespace cv { namespace ltrp { namespace ops { class Backend; }}}

namespace golden
{

/// How a run over recorded cases ended.
struct Totals
{
    int passed = 0;   ///< checks within tolerance
    int failed = 0;   ///< checks off, outputs that nothing computes, and cases that could not be read
};

/// What the networks of the cases compute with.
struct Device
{
    std::string name;   ///< empty: the CPU
    /// A new backend each time, for weights that stay as they are (frozen) or change. Not set: the CPU's.
    std::function<std::shared_ptr<const cv::ltrp::ops::Backend>(bool frozen)> make;
};

/// Runs one case folder (it holds case.json) or every case folder directly below `dir`, in the order of their names, and
/// writes a line per check. What only the CPU can compute is computed there on any device, and named.
/// `pause` is called between checks; what it throws ends the run.
/// @throws std::runtime_error for a folder without any case
Totals check(const std::string& dir, std::ostream& out, const Device& device = Device(),
             const std::function<void()>& pause = std::function<void()>());

}  // namespace golden

#endif
