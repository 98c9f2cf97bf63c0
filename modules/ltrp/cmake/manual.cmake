# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Writes the tool's manual page from the output of `ltrp help`: cmake -DTOOL=... -DVERSION=... -DOUT=... -P manual.cmake

# The tool's output, escaped so that troff prints it literally.
function(literal variable)
  execute_process(COMMAND ${TOOL} help ${ARGN} OUTPUT_VARIABLE _text COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\\" "\\e" _text "${_text}")
  string(REPLACE "-" "\\-" _text "${_text}")
  string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" _text "${_text}")
  set(${variable} ".nf\n${_text}.fi\n" PARENT_SCOPE)
endfunction()

literal(_general)
string(REGEX MATCH "Commands:\n([^\n]+\n)+" _list "${_general}")
string(REGEX MATCHALL "\n  [a-z]+" _commands "${_list}")
set(_page ".TH LTRP 1 \"\" \"ltrp ${VERSION}\" \"User Commands\"
.SH NAME
ltrp \\- rank the patches of images by how much they matter
.SH SYNOPSIS
.B ltrp
.I COMMAND
[arguments]
.SH DESCRIPTION
${_general}")
foreach(_command ${_commands})
  string(STRIP "${_command}" _command)
  if(NOT _command STREQUAL "help")
    literal(_help ${_command})
    string(TOUPPER "${_command}" _title)
    string(APPEND _page ".SH COMMAND ${_title}\n${_help}")
  endif()
endforeach()
string(APPEND _page ".SH ENVIRONMENT
.TP
.B LTRP_MODELS
folder in which weight files are looked for where no option names one
")
file(WRITE "${OUT}" "${_page}")
