// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What the readers of labelled data share; for labelled_data.cpp.
#ifndef OPENCV_LTRP_TRAIN_LABELLED_LISTS_HPP
#define OPENCV_LTRP_TRAIN_LABELLED_LISTS_HPP

#include "../image/photo_list.hpp"

#include <set>

namespace cv { namespace ltrp { namespace train {

/// Images, each with the names of its classes.
struct Labelled
{
    image::PhotoList list;
    std::vector<std::set<std::string>> labels;   ///< of list.photos
    std::set<std::string> classes;               ///< names that may have no image; those of labels need not be here
};

/// A JSON file as COCO's. folder: that of the images; empty: the file's own.
Labelled labelledByJson(const std::string& file, const std::string& folder);

}}}  // namespace

#endif
