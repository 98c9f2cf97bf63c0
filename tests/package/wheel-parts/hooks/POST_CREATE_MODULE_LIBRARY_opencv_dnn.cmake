# Read by OpenCV's build (OPENCV_CMAKE_HOOKS_DIR). cv::dnn is most of the code in a wheel: small rather than fast. Its matrix
# products are not of it.
target_compile_options(opencv_dnn PRIVATE -Os)
