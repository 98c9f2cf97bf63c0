# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Additions for builds of the module within OpenCV (OPENCV_EXTRA_MODULES_PATH). The counterpart of standalone.cmake.

# ltrp_use(TARGET...): links imported targets as files. A static OpenCV passes the dependencies of its modules on to its
# users as target names, which they have not found.
function(ltrp_use)
  foreach(_used ${ARGN})
    foreach(_kind INCLUDE_DIRECTORIES COMPILE_OPTIONS LINK_LIBRARIES)
      get_target_property(_values ${_used} INTERFACE_${_kind})
      if(NOT _values)
        continue()
      elseif(_kind STREQUAL "INCLUDE_DIRECTORIES")
        ocv_target_include_directories(opencv_ltrp SYSTEM ${_values})
      elseif(_kind STREQUAL "COMPILE_OPTIONS")
        target_compile_options(opencv_ltrp PRIVATE ${_values})
      else()
        ocv_target_link_libraries(opencv_ltrp PRIVATE ${_values})
      endif()
    endforeach()
  endforeach()
endfunction()

# Hidden visibility still exports instances of standard templates; the version script lists the symbols to export.
get_target_property(_type opencv_ltrp TYPE)
if(_type STREQUAL "SHARED_LIBRARY" AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(opencv_ltrp PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map")
  set_property(TARGET opencv_ltrp APPEND PROPERTY LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/exports.map")
endif()

# OpenCV's own flags enable more warnings than usual builds; this option makes them errors for the module.
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
