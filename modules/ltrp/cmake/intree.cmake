# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# What the module adds when OpenCV's own build makes it (OPENCV_EXTRA_MODULES_PATH). The counterpart of standalone.cmake.

# Hidden visibility leaves instances of standard templates exported; this names what may go out. In a library that holds
# other modules as well (BUILD_opencv_world) and in a static one there is nothing to name.
if(TARGET opencv_ltrp AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  get_target_property(_type opencv_ltrp TYPE)
  if(_type STREQUAL "SHARED_LIBRARY")
    target_link_options(opencv_ltrp PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map")
    set_property(TARGET opencv_ltrp APPEND PROPERTY LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/exports.map")
  endif()
endif()

# OpenCV's own flags ask for more warnings than a usual build; here they become errors, for what belongs to the module.
option(LTRP_WERROR "Treat compiler warnings of the ltrp module as errors" OFF)
if(LTRP_WERROR AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  file(GLOB _samples "${CMAKE_CURRENT_SOURCE_DIR}/samples/*.cpp")
  list(TRANSFORM _samples REPLACE ".*/([^/]+)\\.cpp$" "example_ltrp_\\1")
  foreach(_target opencv_ltrp opencv_test_ltrp opencv_perf_ltrp ${_samples})
    if(TARGET ${_target})
      target_compile_options(${_target} PRIVATE -Werror)
    endif()
  endforeach()
endif()
