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

/// Result of a run over recorded cases.
struct Totals
{
    int passed = 0;   ///< checks within tolerance
    int failed = 0;   ///< failed checks, outputs without a rule, and cases that could not be read
};

/// Device of the cases' networks.
struct Device
{
    std::string name;   ///< empty: the CPU
    /// Creates a new backend, for weights that are constant (frozen) or change. Not set: the CPU's.
    std::function<std::shared_ptr<const cv::ltrp::ops::Backend>(bool frozen)> make;
};

/// Runs one case folder (with a case.json) or every case folder directly below `dir`, ordered by name, and writes a
/// line per check. Steps that only the CPU implements run there on any device, and are named. `pause` is called between
/// checks; an exception from it ends the run.
/// @throws std::runtime_error for a folder without any case
Totals check(const std::string& dir, std::ostream& out, const Device& device = Device(),
             const std::function<void()>& pause = std::function<void()>());

}  // namespace golden

#endif
