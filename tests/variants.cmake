# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

# The long checks of .ci/run: other builds of the project; each build is a test on which the variant's own tests depend.

# ltrp_variant(NAME [TARGET target] OPTION...): builds everything, or only that target, into variants/NAME.
function(ltrp_variant name)
  cmake_parse_arguments(PARSE_ARGV 1 _variant "" "TARGET" "")
  set(_target "")
  if(_variant_TARGET)
    set(_target --build-target ${_variant_TARGET})
  endif()
  add_test(NAME ${name}.build
    COMMAND ${CMAKE_CTEST_COMMAND} --build-and-test "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/variants/${name}"
            --build-generator ${CMAKE_GENERATOR} ${_target}
            --build-options -DOpenCV_DIR=${OpenCV_DIR} -DLTRP_BUILD_TESTS=ON ${_variant_UNPARSED_ARGUMENTS})
  set_tests_properties(${name}.build PROPERTIES FIXTURES_SETUP ${name} TIMEOUT 2700 PROCESSORS 2)
endfunction()

# ltrp_variant_test(VARIANT TEST COMMAND...): a test of the variant's build; the command is relative to its bin/.
function(ltrp_variant_test variant test command)
  # With cmake -E env: otherwise ctest warns about a program that the build has not created yet.
  add_test(NAME ${variant}.${test}
    COMMAND ${CMAKE_COMMAND} -E env UBSAN_OPTIONS=print_stacktrace=1 OMP_WAIT_POLICY=passive ${LTRP_TEST_FOLDERS}
            "${PROJECT_BINARY_DIR}/variants/${variant}/bin/${command}" ${ARGN})
  set_tests_properties(${variant}.${test} PROPERTIES FIXTURES_REQUIRED ${variant} TIMEOUT 900)
endfunction()

# AddressSanitizer and UndefinedBehaviorSanitizer on the library. Training runs and the tool are only tested in the
# plain build: instrumented they take long, and the code they share with the loaders and the API is tested from there.
# The same applies to tests that limit memory or make calls fail, which would break the sanitizers.
set(_left_out "train|train_runs|golden|gradients|tool.*|samples|faults|inputs|inputs_hostile|targets")
ltrp_variant(sanitize TARGET ltrp_sanitized -DLTRP_SANITIZE=address,undefined -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DLTRP_FUZZ=ON
  -DLTRP_BUILD_TOOL=OFF "-DLTRP_LEAVE_OUT_TESTS=${_left_out}")
foreach(_suite ${LTRP_SUITES})
  if(NOT _suite MATCHES "^(${_left_out})$")
    ltrp_variant_test(sanitize ${_suite} ltrp_tests --run_test=${_suite} --log_level=test_suite --report_level=short)
  endif()
endforeach()
set_tests_properties(sanitize.coverage_photos PROPERTIES SKIP_REGULAR_EXPRESSION "is skipped because .*LTRP_TEST_DATA is not set")
if(TARGET opencv_test_ltrp)
  ltrp_variant_test(sanitize opencv_test_ltrp opencv_test_ltrp)
endif()

ltrp_variant_test(sanitize lifetime.exit ltrp_lifetime exit)

# Half a minute of fuzzing for each loader, with the sanitizers.
file(GLOB _targets CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/fuzz_*.cpp")
if(NOT TARGET ltrp_archive)   # not built without libarchive
  list(FILTER _targets EXCLUDE REGEX "/fuzz_shard\\.cpp$")
endif()
foreach(_target ${_targets})
  get_filename_component(_name "${_target}" NAME_WE)
  ltrp_variant_test(sanitize ${_name} ${_name} --seconds 30)
endforeach()

# Without oneDNN the same results come from cv::gemm. Without libarchive the tool compiles too.
ltrp_variant(gemm TARGET ltrp -DLTRP_WITH_DNNL=OFF -DLTRP_WITH_ARCHIVE=OFF -DLTRP_WERROR=ON)
foreach(_case ${_cases})
  get_filename_component(_folder "${_case}" DIRECTORY)
  get_filename_component(_name "${_folder}" NAME)
  ltrp_variant_test(gemm golden.${_name} ltrp golden "${_folder}")
endforeach()

# ThreadSanitizer, without oneDNN: neither its code nor OpenMP's is instrumented, so their synchronisation would not be
# seen. The full number of images is `ltrp_lifetime threads 1000`; here it is a tenth.
ltrp_variant(tsan TARGET ltrp_lifetime -DLTRP_WITH_DNNL=OFF -DLTRP_SANITIZE=thread -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DLTRP_BUILD_TOOL=OFF)
ltrp_variant_test(tsan threads ltrp_lifetime threads 100)
set_tests_properties(tsan.threads PROPERTIES PROCESSORS 2)

# The Python package in a fresh environment: its own build, the script that is also run with cv2.ltrp, and the types.
add_test(NAME python COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/python/run" "${PROJECT_BINARY_DIR}/python-test")
set_tests_properties(python PROPERTIES TIMEOUT 1200 PROCESSORS 2)

# Within OpenCV's own build, from source. Each version compiles OpenCV once, unless ccache has it.
foreach(_version ${LTRP_CI_OPENCV})
  set(_steps build exports test perf samples consumer python)
  if(_version VERSION_GREATER_EQUAL 5)
    list(APPEND _steps tool)
  endif()
  foreach(_step ${_steps})
    add_test(NAME intree-${_version}.${_step} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/intree/run" ${_version} ${_step})
    set_tests_properties(intree-${_version}.${_step} PROPERTIES TIMEOUT 2700 PROCESSORS 2)
    if(_step STREQUAL "build")
      set_tests_properties(intree-${_version}.${_step} PROPERTIES FIXTURES_SETUP intree-${_version})
    else()
      set_tests_properties(intree-${_version}.${_step} PROPERTIES FIXTURES_REQUIRED intree-${_version})
    endif()
  endforeach()
endforeach()

# The CUDA build compiles and links without warnings, if there is nvcc; its behaviour without a GPU (an error with the
# reason) is tested by the suite api. Kernels and host code run in the suites simt_*. ltrp-mpi with NCCL is built too,
# but its sums over GPUs are not run here: in the suite mpi_device sums are copied to the host.
find_program(LTRP_CI_NVCC nvcc HINTS /usr/local/cuda/bin)
mark_as_advanced(LTRP_CI_NVCC)
if(LTRP_CI_NVCC)
  set(_left_out ${_tests})
  list(TRANSFORM _left_out REPLACE ".*/test_([^/]*)\\.cpp$" "\\1")
  list(FILTER _left_out EXCLUDE REGEX "^api")
  list(JOIN _left_out "|" _left_out)
  get_filename_component(_nvcc "${LTRP_CI_NVCC}" REALPATH)
  get_filename_component(_cuda "${_nvcc}" DIRECTORY)
  find_library(LTRP_CI_NCCL nccl HINTS "${_cuda}/../lib" "${_cuda}/../lib64")
  mark_as_advanced(LTRP_CI_NCCL)
  set(_nccl -DLTRP_BUILD_TOOL=OFF)
  if(LTRP_CI_NCCL AND TARGET ltrp-mpi)
    set(_nccl -DLTRP_WITH_MPI=ON -DLTRP_WITH_NCCL=ON "-DNCCL_LIBRARY=${LTRP_CI_NCCL}")
  else()
    message(WARNING "libnccl or MPI was not found: ltrp-mpi WITH NCCL IS LEFT OUT of this run")
  endif()
  ltrp_variant(cuda TARGET ltrp_tests ${_nccl} -DLTRP_WITH_CUDA=ON -DLTRP_WERROR=ON "-DLTRP_LEAVE_OUT_TESTS=${_left_out}" "-DCMAKE_CUDA_COMPILER=${LTRP_CI_NVCC}"
    -DCMAKE_CUDA_ARCHITECTURES=90-real)   # the others would take three times as long
  if(LTRP_CI_NCCL AND TARGET ltrp-mpi)
    add_test(NAME cuda.nccl COMMAND ${CMAKE_COMMAND} --build "${PROJECT_BINARY_DIR}/variants/cuda" --target ltrp-mpi)
    set_tests_properties(cuda.nccl PROPERTIES FIXTURES_REQUIRED cuda TIMEOUT 1800 PROCESSORS 2)
  endif()
  ltrp_variant_test(cuda api ltrp_tests --run_test=api --log_level=test_suite --report_level=short)
else()
  message(WARNING "no nvcc on PATH or in /usr/local/cuda/bin: THE CUDA BUILD IS LEFT OUT of this run")
endif()
