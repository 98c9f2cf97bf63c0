// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_SELECTOR_OPTIONS_HPP
#define LTRP_TOOL_SELECTOR_OPTIONS_HPP

#include "common.hpp"

#include "../../modules/ltrp/src/select/selector.hpp"

namespace tool
{

/// --selector, --ranker, --mae and --classifier, of commands that keep patches by one or several selectors.
void addSelectorOptions(po::options_description& options);
/// "NAME,NAME": the names in --selector, checked; without it "all" where keep is 1, else "ranker".
/// more: a further name, of this command only; empty: none.
/// @throws UsageError listing the names, and for "all" with a smaller keep
std::vector<std::string> selectorNames(const po::variables_map& values, double keep,
                                       const std::string& more = std::string());
/// Without --classifier, of which none is installed.
UsageError needsClassifier(const std::string& selector);
/// The weights that these selectors need: the named ones, else the installed ones. @throws needsClassifier()
cv::ltrp::select::SelectorModels selectorModels(const po::variables_map& values, const std::vector<std::string>& names, int target);

}  // namespace tool

#endif
