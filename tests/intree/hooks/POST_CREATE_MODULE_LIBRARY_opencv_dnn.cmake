# Read by OpenCV's build (OPENCV_CMAKE_HOOKS_DIR). Half of the compilation is cv::dnn, of which the module needs little and
# nothing fast: without optimization it takes a third of the time.
target_compile_options(opencv_dnn PRIVATE -O0)
