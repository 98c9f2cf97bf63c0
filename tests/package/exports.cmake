# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Every symbol that the library exports belongs to cv::ltrp, and the public API is among them. KIND=static looks at an
# archive instead: there internals are visible to the linker, but they too have to keep to the namespace.
set(_dynamic -D)
if(KIND STREQUAL "static")
  set(_dynamic "")
endif()
execute_process(COMMAND ${NM} ${_dynamic} -C --defined-only ${LIBRARY} OUTPUT_VARIABLE _symbols COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "," _symbols "${_symbols}")
string(REPLACE "\n" ";" _symbols "${_symbols}")
set(_exported 0)
foreach(_line IN LISTS _symbols)
  if(_line MATCHES "^[0-9a-f]+ ([A-Za-z]) (.*)")
    set(_class "${CMAKE_MATCH_1}")
    set(_name "${CMAKE_MATCH_2}")
    if(KIND STREQUAL "static" AND _class MATCHES "[abdnrtuvwVW]")
      continue()   # local to its file, or an instance of a template that the linker makes one of
    endif()
    if(NOT _name MATCHES "^((non-virtual thunk to|vtable for|typeinfo for|typeinfo name for|guard variable for) )?cv::ltrp::")
      message(SEND_ERROR "exported, but not of cv::ltrp: ${_name}")
    elseif(NOT KIND STREQUAL "static" AND _name MATCHES "cv::ltrp::(io|vit|ops|train|image|core)::")
      message(SEND_ERROR "exported, but internal: ${_name}")
    endif()
    math(EXPR _exported "${_exported} + 1")
  endif()
endforeach()
foreach(_wanted cv::ltrp::Ranker::create cv::ltrp::Scorer::create cv::ltrp::selectPatches cv::ltrp::patchRect cv::ltrp::drawOverlay
        cv::ltrp::registerLayers)
  if(NOT _symbols MATCHES "${_wanted}")
    message(SEND_ERROR "not exported: ${_wanted}")
  endif()
endforeach()
message(STATUS "${_exported} exported symbols")
