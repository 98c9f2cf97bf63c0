# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Debian packages of a build configured with -DCMAKE_INSTALL_PREFIX=/usr: cpack -G DEB makes the library with the
# shipped models, what is needed to build with it, and the tool. doc/packages.md shows it.

set(_library libopencv-ltrp${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})   # as in the library's soname
set(_dev libopencv-ltrp-dev)
set(_tools ltrp-tools)

set(CPACK_PACKAGE_NAME ltrp)
if(NOT CPACK_PACKAGE_CONTACT)
  set(CPACK_PACKAGE_CONTACT "local build <root@localhost>")
endif()
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "ranks the patches of images by how much they matter")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL library dev tools)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)   # set below, with versions
set(_same "(= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${_library})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
file(WRITE "${PROJECT_BINARY_DIR}/package/triggers" "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${PROJECT_BINARY_DIR}/package/triggers")
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION
"An OpenCV module (cv::ltrp) that orders the patches of an image by how much
they matter, so that other software can keep a quarter of them and drop the
rest. The ranking is learned without labels from a masked autoencoder, as in
Luo et al., CVPR 2024.

This package holds the shared library and a small ranker with its
autoencoder.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME ${_dev})
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
# Symbols of cv::dnn contain the version: another OpenCV version would not link.
string(REGEX MATCH "^[0-9]+\\.[0-9]+\\.[0-9]+" _opencv "${OpenCV_VERSION}")
string(REGEX REPLACE "^([0-9]+\\.[0-9]+)\\.([0-9]+)$" "\\2" _next "${_opencv}")
math(EXPR _next "${_next} + 1")
string(REGEX REPLACE "\\.[0-9]+$" ".${_next}" _next "${_opencv}")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
    "${_library} ${_same}, libopencv-dev (>= ${_opencv}), libopencv-dev (<< ${_next}~)")
set(CPACK_DEBIAN_DEV_DESCRIPTION
"An OpenCV module (cv::ltrp) that orders the patches of an image by how much
they matter, so that other software can keep a quarter of them and drop the
rest.

This package holds headers, the CMake package opencv_ltrp and examples.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME ${_tools})
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS "${_library} ${_same}")   # for the models
set(CPACK_DEBIAN_TOOLS_DESCRIPTION
"The command line tool ltrp ranks the patches of photos with a shipped or an
own ranker, draws which are worth keeping, measures patches with a masked
autoencoder, trains both networks, and converts weights of others.")

# Files that Debian requires in every package: licence and changelog; and a manual page of the tool.
find_program(LTRP_GZIP gzip)
mark_as_advanced(LTRP_GZIP)
set(_made "${PROJECT_BINARY_DIR}/package")
configure_file("${CMAKE_CURRENT_LIST_DIR}/copyright" "${_made}/copyright" COPYONLY)
string(TIMESTAMP _date "%a, %d %b %Y %H:%M:%S +0000" UTC)   # SOURCE_DATE_EPOCH, if set
set(_full ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
file(WRITE "${_made}/changelog.Debian" "ltrp (${_full}) unstable; urgency=medium

  * Built by CPack; what is new in ltrp says changelog.gz.

 -- ${CPACK_PACKAGE_CONTACT}  ${_date}
")
if(LTRP_GZIP)
  add_custom_command(OUTPUT "${_made}/changelog.gz" DEPENDS "${PROJECT_SOURCE_DIR}/CHANGELOG.md"
    COMMAND ${LTRP_GZIP} -9nc "${PROJECT_SOURCE_DIR}/CHANGELOG.md" > "${_made}/changelog.gz" VERBATIM)
  add_custom_command(OUTPUT "${_made}/changelog.Debian.gz" DEPENDS "${_made}/changelog.Debian"
    COMMAND ${LTRP_GZIP} -9nkf "${_made}/changelog.Debian" VERBATIM)
  set(_files "${_made}/changelog.gz" "${_made}/changelog.Debian.gz")
  if(TARGET ltrp)
    add_custom_command(OUTPUT "${_made}/ltrp.1.gz" DEPENDS ltrp "${CMAKE_CURRENT_LIST_DIR}/manual.cmake"
      COMMAND ${CMAKE_COMMAND} -DTOOL=$<TARGET_FILE:ltrp> -DVERSION=${PROJECT_VERSION} "-DOUT=${_made}/ltrp.1"
              -P "${CMAKE_CURRENT_LIST_DIR}/manual.cmake"
      COMMAND ${LTRP_GZIP} -9nf "${_made}/ltrp.1" VERBATIM)
    list(APPEND _files "${_made}/ltrp.1.gz")
    install(FILES "${_made}/ltrp.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tools)
  endif()
  add_custom_target(ltrp_manual ALL DEPENDS ${_files})
endif()
foreach(_component library dev tools)
  set(_folder "${CMAKE_INSTALL_DATADIR}/doc/${_${_component}}")
  install(FILES "${_made}/copyright" DESTINATION "${_folder}" COMPONENT ${_component})
  if(LTRP_GZIP)
    install(FILES "${_made}/changelog.gz" "${_made}/changelog.Debian.gz" DESTINATION "${_folder}"
      COMPONENT ${_component})
  endif()
endforeach()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/modules/ltrp/samples/" COMPONENT dev
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/${_dev}/examples"
  FILES_MATCHING PATTERN "*.cpp" PATTERN "*.hpp" PATTERN "*.py" PATTERN "__pycache__" EXCLUDE)

include(CPack)
