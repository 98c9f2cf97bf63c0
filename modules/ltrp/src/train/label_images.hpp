// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_LABEL_IMAGES_HPP
#define OPENCV_LTRP_TRAIN_LABEL_IMAGES_HPP

#include "../precomp.hpp"
#include "../image/photo_list.hpp"

namespace cv { namespace ltrp { namespace train {

enum { voidLabel = 255 };   ///< of pixels that have no class

/// The labels of each pixel of a data set's images: a PNG for each.
struct LabelImages
{
    std::vector<std::string> files;   ///< of each image
    std::vector<int> classOf;         ///< [256] class of each value in these; voidLabel, or -1: there is no such class

    /// The class of each pixel of an image, CV_8UC1. imageSize: that of the image as it was read, perhaps reduced.
    /// @throws Error::StsBadArg naming the file for one that cannot be read, has another size or a value without class
    Mat read(int image, Size imageSize) const;
};

/// An index PNG of 8 bits or less, with a palette or grey: the numbers that are stored, CV_8UC1.
/// @throws Error::StsBadArg beginning with the file's name for other files
Mat readIndexPng(const std::string& file);

/// Share of each class's pixels in each patch of a crop of an image: out [grid * grid, classes], raster order; void pixels count
/// for no class. labels: CV_8UC1 of the whole image; region: as shares of its width and height.
void labelShares(const Mat& labels, const Rect2d& region, bool mirrored, int grid, int classes, float* out);

/// Images with their labels, and the classes' names.
struct Segmented
{
    image::PhotoList list;
    LabelImages labels;
    std::vector<std::string> sums;      ///< size and checksum of each label image
    std::vector<std::string> classes;
    std::vector<std::string> notes;     ///< classes without a pixel
};

/// The images of FOLDER/images with their labels: for images/a/1.jpg FOLDER/labels/a/1.png or labels/a/1.jpg.png, whose values are
/// the classes' numbers, 255 is void, and FOLDER/classes.txt may name the classes, a line each; or, where there is no folder
/// labels, FOLDER/foreground/..., whose values are 0 and one other: classes "background" and "foreground".
/// classes: the names to be used; the numbers are then theirs, or by name those of classes.txt. Empty: those found.
/// Reads all label images. @throws Error::StsBadArg naming the file for an image without labels, or labels without an image; labels
/// that cannot be read, have another size than the image, or a value without class; and fewer than two classes
Segmented listSegmented(const std::string& folder, const std::vector<std::string>& classes);

}}}  // namespace

#endif
