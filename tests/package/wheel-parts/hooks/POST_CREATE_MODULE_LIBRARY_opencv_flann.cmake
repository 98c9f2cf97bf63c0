# See opencv_geometry.
set_property(TARGET opencv_flann PROPERTY SOURCES "${CMAKE_CURRENT_LIST_DIR}/empty.cpp")
