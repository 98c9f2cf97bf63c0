# cv::dnn demands this module and flann, of which nothing ends up in a wheel: they stay empty, see opencv_dnn.
set_property(TARGET opencv_geometry PROPERTY SOURCES "${CMAKE_CURRENT_LIST_DIR}/empty.cpp")
