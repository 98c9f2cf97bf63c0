# Read by OpenCV's build (OPENCV_CMAKE_HOOKS_DIR). cv::dnn is most of the code in a wheel: small rather than fast (its matrix
# products are not compiled so), and without TensorFlow's and Caffe's formats and the tokenizers, which nothing here calls. The
# linker leaves them out anyway; wheel_pack.py finds out if something of them is needed one day.
target_compile_options(opencv_dnn PRIVATE -Os)
get_target_property(_sources opencv_dnn SOURCES)
list(FILTER _sources EXCLUDE REGEX "/(src|misc)/(tensorflow|caffe|tokenizer)/.*\\.(cpp|cc)$")
set_property(TARGET opencv_dnn PROPERTY SOURCES ${_sources})
