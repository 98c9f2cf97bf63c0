# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# What the module adds when OpenCV's own build makes it (OPENCV_EXTRA_MODULES_PATH). The counterpart of standalone.cmake.

# ltrp_use(TARGET...): links imported targets, by their files. A static OpenCV hands the dependencies of its modules on to
# whoever links it, and by the names of targets that nobody there has found.
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

# Hidden visibility leaves instances of standard templates exported; this names what may go out.
get_target_property(_type opencv_ltrp TYPE)
if(_type STREQUAL "SHARED_LIBRARY" AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(opencv_ltrp PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map")
  set_property(TARGET opencv_ltrp APPEND PROPERTY LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/exports.map")
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
