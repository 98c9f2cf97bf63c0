// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_GOLDEN_HPP
#define LTRP_TOOL_GOLDEN_HPP

#include <iosfwd>
#include <string>

namespace tool
{

/// How a run over golden cases ended.
struct GoldenTotals
{
    int passed = 0;   ///< checks within tolerance
    int failed = 0;   ///< checks off, outputs that nothing computes, and cases that could not be read
};

/// Runs one case folder (it holds case.json) or every case folder directly below `dir`, in the order of their names,
/// and writes a line per check. A folder without any case throws std::runtime_error.
GoldenTotals checkGolden(const std::string& dir, std::ostream& out);

}  // namespace tool

#endif
