# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# Installs the build to a fresh prefix, then configures, builds and runs an outside project with it.
file(REMOVE_RECURSE "${WORK}")
set(_flags "")
if(SANITIZE)
  set(_flags -DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
                        -DOpenCV_DIR=${OpenCV_DIR} -DCMAKE_CXX_COMPILER=${CXX} ${_flags} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build COMMAND_ERROR_IS_FATAL ANY)
file(GLOB _rankers "${WORK}/prefix/share/ltrp/*rank*.safetensors")
execute_process(COMMAND ${WORK}/build/consumer ${_rankers} OUTPUT_VARIABLE _output COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "consumer printed: ${_output}")
if(NOT _output MATCHES "keeps 49 of 196 patches, the best at 208,208" OR (_rankers AND NOT _output MATCHES "ranks [0-9]+ patches"))
  message(FATAL_ERROR "the outside project ran, but not as expected")
endif()
file(GLOB _installed "${WORK}/prefix/bin/ltrp")
if(_installed)
  execute_process(COMMAND ${_installed} --version OUTPUT_VARIABLE _version COMMAND_ERROR_IS_FATAL ANY)
  message(STATUS "installed tool: ${_version}")
endif()
