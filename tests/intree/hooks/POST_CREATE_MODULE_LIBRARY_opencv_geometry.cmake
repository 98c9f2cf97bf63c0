# As for cv::dnn, which needs this module; nothing here calls it.
target_compile_options(opencv_geometry PRIVATE -O0)
