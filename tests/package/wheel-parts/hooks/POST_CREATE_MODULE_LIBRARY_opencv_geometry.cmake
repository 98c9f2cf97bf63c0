# As for cv::dnn: it needs this module, and nothing here calls it.
target_compile_options(opencv_geometry PRIVATE -Os)
