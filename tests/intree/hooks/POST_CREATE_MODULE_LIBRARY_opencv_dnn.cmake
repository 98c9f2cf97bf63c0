# Read by OpenCV's build (OPENCV_CMAKE_HOOKS_DIR). cv::dnn is half of the compilation; the module uses little of it, and
# speed does not matter: without optimization it takes a third of the time.
target_compile_options(opencv_dnn PRIVATE -O0)
