# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Builds this module against an installed OpenCV: defines the few macros of OpenCV's own build that
# modules/ltrp/CMakeLists.txt calls. Not read when OpenCV builds the module through OPENCV_EXTRA_MODULES_PATH.
#
# Targets: ltrp_objects   the compiled sources
#          opencv_ltrp    shared library, exports the public API of cv::ltrp only
#          ltrp_internal  static library of the same objects, for the tool and the tests

set(LTRP_STANDALONE_DIR "${CMAKE_CURRENT_LIST_DIR}")

macro(ocv_define_module name)
  set(the_module opencv_${name})
  set(_required "")
  set(_optional "")
  set(_list _required)
  foreach(_arg ${ARGN})
    if(_arg STREQUAL "OPTIONAL")
      set(_list _optional)
    elseif(_arg STREQUAL "WRAP")
      break()   # language bindings are only built by OpenCV's own build
    elseif(NOT _arg STREQUAL "EXCLUDE_CUDA")
      list(APPEND ${_list} ${_arg})
    endif()
  endforeach()

  file(GLOB_RECURSE _headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/include/*.hpp" "${CMAKE_CURRENT_SOURCE_DIR}/src/*.hpp")
  file(GLOB_RECURSE _sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/src/*.cpp")
  add_library(ltrp_objects OBJECT ${_sources} ${_headers})
  set_target_properties(ltrp_objects PROPERTIES POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_compile_definitions(ltrp_objects PRIVATE CVAPI_EXPORTS)   # otherwise OpenCV's CV_EXPORTS is empty
  target_include_directories(ltrp_objects PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include" PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(ltrp_objects PUBLIC ${_required})

  add_library(${the_module} SHARED $<TARGET_OBJECTS:ltrp_objects>)
  set_target_properties(${the_module} PROPERTIES VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} LINKER_LANGUAGE CXX)   # below 1.0 every minor version may break
  target_include_directories(${the_module} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${the_module} PUBLIC ${_required})
  target_compile_features(${the_module} INTERFACE cxx_std_11)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    # Hidden visibility still exports instances of standard templates; the version script lists the symbols to export.
    target_link_options(${the_module} PRIVATE "LINKER:--version-script=${LTRP_STANDALONE_DIR}/exports.map")
    set_property(TARGET ${the_module} APPEND PROPERTY LINK_DEPENDS "${LTRP_STANDALONE_DIR}/exports.map")
  endif()

  add_library(ltrp_internal STATIC $<TARGET_OBJECTS:ltrp_objects>)
  set_target_properties(ltrp_internal PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(ltrp_internal PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(ltrp_internal PUBLIC ${_required})

  foreach(_library ${_optional})
    if(TARGET ${_library})
      string(TOUPPER "HAVE_${_library}" _have)
      ocv_target_link_libraries(${the_module} PRIVATE ${_library})
      ocv_target_compile_definitions(${the_module} PRIVATE ${_have})
    endif()
  endforeach()

  ltrp_module_install()
  ltrp_module_executables(${name})
endmacro()

macro(ocv_target_link_libraries target)
  foreach(_library ${ARGN})
    if(NOT _library MATCHES "^(PUBLIC|PRIVATE|LINK_PRIVATE|LINK_PUBLIC)$")
      target_link_libraries(ltrp_objects PRIVATE ${_library})
      target_link_libraries(${target} PRIVATE ${_library})
      target_link_libraries(ltrp_internal PUBLIC ${_library})
    endif()
  endforeach()
endmacro()

# ltrp_use(TARGET...): links imported targets, see intree.cmake.
macro(ltrp_use)
  ocv_target_link_libraries(opencv_ltrp PRIVATE ${ARGN})
endmacro()

macro(ocv_target_compile_definitions target)
  foreach(_definition ${ARGN})
    if(NOT _definition MATCHES "^(PUBLIC|PRIVATE)$")
      target_compile_definitions(ltrp_objects PRIVATE ${_definition})
      target_compile_definitions(ltrp_internal PUBLIC ${_definition})
    endif()
  endforeach()
endmacro()

function(ltrp_module_install)
  include(CMakePackageConfigHelpers)
  set(_package "${CMAKE_INSTALL_LIBDIR}/cmake/opencv_ltrp")
  configure_package_config_file("${LTRP_STANDALONE_DIR}/opencv_ltrpConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/package/opencv_ltrpConfig.cmake" INSTALL_DESTINATION "${_package}" PATH_VARS CMAKE_INSTALL_DATADIR)
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/opencv_ltrpConfigVersion.cmake"
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
  # Components are the packages of cmake/packages.cmake; by default all are installed.
  install(TARGETS opencv_ltrp EXPORT opencv_ltrpTargets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library NAMELINK_COMPONENT dev
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)
  install(EXPORT opencv_ltrpTargets DESTINATION "${_package}" COMPONENT dev)
  install(FILES "${PROJECT_BINARY_DIR}/package/opencv_ltrpConfig.cmake"
    "${PROJECT_BINARY_DIR}/package/opencv_ltrpConfigVersion.cmake" DESTINATION "${_package}" COMPONENT dev)
  install(DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT dev)

  # The tool searches for the shipped models in ../share/ltrp relative to itself: the same in build and install trees.
  file(GLOB _models CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/models/*.safetensors")
  set(_copies "")
  foreach(_model ${_models})
    get_filename_component(_file "${_model}" NAME)
    set(_copy "${PROJECT_BINARY_DIR}/share/ltrp/${_file}")
    add_custom_command(OUTPUT "${_copy}" COMMAND ${CMAKE_COMMAND} -E copy "${_model}" "${_copy}" DEPENDS "${_model}" VERBATIM)
    list(APPEND _copies "${_copy}")
  endforeach()
  add_custom_target(ltrp_models ALL DEPENDS ${_copies})
  if(_models)
    install(FILES ${_models} DESTINATION "${CMAKE_INSTALL_DATADIR}/ltrp" COMPONENT library)
  endif()
endfunction()

# test/, perf/ and samples/ of the module, as in OpenCV's own build.
function(ltrp_module_executables name)
  file(GLOB _tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/test/*.cpp")
  file(GLOB _perf CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/perf/*.cpp")
  file(GLOB _samples CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/samples/*.cpp")
  if(LTRP_BUILD_TESTS)
    if(_tests OR _perf)
      find_package(GTest REQUIRED)
    endif()
    if(_tests)
      add_executable(opencv_test_${name} ${_tests})
      target_link_libraries(opencv_test_${name} PRIVATE opencv_${name} opencv_imgproc opencv_imgcodecs opencv_dnn GTest::gtest)
      # OpenCV's ts module is not packaged: a small replacement based on GoogleTest is used.
      target_include_directories(opencv_test_${name} BEFORE PRIVATE "${LTRP_STANDALONE_DIR}/shim")
      add_test(NAME opencv_test_${name} COMMAND opencv_test_${name})
      set_tests_properties(opencv_test_${name} PROPERTIES TIMEOUT 3600 PROCESSORS 2
        ENVIRONMENT "OPENCV_TEST_DATA_PATH=${CMAKE_CURRENT_SOURCE_DIR}/testdata")
    endif()
    if(_perf)
      add_executable(opencv_perf_${name} ${_perf})
      target_link_libraries(opencv_perf_${name} PRIVATE opencv_${name} opencv_imgproc opencv_imgcodecs opencv_dnn GTest::gtest)
      target_include_directories(opencv_perf_${name} BEFORE PRIVATE "${LTRP_STANDALONE_DIR}/shim")
    endif()
  endif()
  if(LTRP_BUILD_TOOL)
    foreach(_sample ${_samples})
      get_filename_component(_base "${_sample}" NAME_WE)
      add_executable(example_${name}_${_base} "${_sample}")
      set_property(GLOBAL APPEND PROPERTY LTRP_SAMPLES example_${name}_${_base})
      target_link_libraries(example_${name}_${_base} PRIVATE opencv_${name} opencv_imgproc opencv_imgcodecs opencv_dnn)
      foreach(_library opencv_videoio opencv_highgui)   # OpenCV's own build links these to every sample
        if(TARGET ${_library})
          target_link_libraries(example_${name}_${_base} PRIVATE ${_library})
        endif()
      endforeach()
    endforeach()
  endif()
endfunction()
