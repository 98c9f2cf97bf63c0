// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_SELECT_OPTIONS_HPP
#define LTRP_TOOL_SELECT_OPTIONS_HPP

#include "common.hpp"

#include <opencv2/ltrp/select.hpp>

namespace tool
{

/// --keep, --select, --seed, --threshold and those of addMassOptions().
void addSelectOptions(po::options_description& options);
/// --mass, --temperature, --min-keep, --max-keep: a number of patches that depends on the scores.
void addMassOptions(po::options_description& options);

/// Returns their values, checked; an option that belongs to another method is an error. @throws UsageError naming the
/// option and its range
cv::ltrp::SelectParams selectParams(const po::variables_map& values);
/// Values of the options of addMassOptions() only, for SELECT_MASS.
cv::ltrp::SelectParams massParams(const po::variables_map& values);

/// --select and --seed for a given number of tokens; the temperature is in addMassOptions().
void addTokenSelectOptions(po::options_description& options);
/// Method, seed and temperature of these options, checked.
cv::ltrp::SelectParams tokenSelectParams(const po::variables_map& values);

/// Throws UsageError if one of the options was given, naming what it requires.
void refuseOptions(const po::variables_map& values, const std::vector<const char*>& options, const char* goesWith);

}  // namespace tool

#endif
