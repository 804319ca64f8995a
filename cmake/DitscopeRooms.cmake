# The rooms of the house as targets. A room that may not see a library does not link it, so a wrong include does not compile.

# The warnings and include root that every target shares.
add_library(ditscope_options INTERFACE)
target_include_directories(ditscope_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(ditscope_options INTERFACE -Wall -Wextra)

# ditscope_room(NAME SOURCES... ) : a static library without torch, Qt or GL.
function(ditscope_room name)
  add_library(${name} STATIC ${ARGN} ${PROJECT_SOURCE_DIR}/cmake/room.cpp)
  target_link_libraries(${name} PUBLIC ditscope_options)
endfunction()

# ditscope_torch_room(NAME SOURCES...) : a static library on LibTorch. Its torch include paths stay private, so what links it
# (GUI, views) sees only the torch-free headers. All such rooms share one precompiled <ATen/ATen.h>.
function(ditscope_torch_room name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC ditscope_options PRIVATE torch::cpu)
  target_compile_options(${name} PRIVATE -Wno-unused-parameter)
  if(TARGET ditscope_torch_pch)
    target_precompile_headers(${name} REUSE_FROM ditscope_torch_pch)
  endif()
endfunction()

# ditscope_test(NAME SOURCES... LIBS libs... [TORCH]) : a GoogleTest program; NAME is also its ctest label.
function(ditscope_test name)
  cmake_parse_arguments(T "TORCH" "TIMEOUT" "SOURCES;LIBS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${T_SOURCES} ${T_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ditscope_options ditscope_test_support ${T_LIBS} GTest::gtest GTest::gmock)
  target_compile_definitions(${name} PRIVATE DITSCOPE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" DITSCOPE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(T_TORCH)
    target_link_libraries(${name} PRIVATE torch::cpu)
    target_compile_options(${name} PRIVATE -Wno-unused-parameter)
    # g++ only takes the precompiled header where it was made with the same kind of position-independent code.
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
    target_precompile_headers(${name} REUSE_FROM ditscope_torch_pch)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 900)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # One OpenMP thread a program: programs run side by side, and threads that spin for each other on a busy machine take many
  # times as long. A test that is about threads sets their number itself.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS ${name} ENVIRONMENT "OMP_NUM_THREADS=1;${T_ENVIRONMENT}")
endfunction()

# ditscope_room_test(NAME FOLDER LIBS libs... [TORCH]) : one test program from all *_test.cpp below tests/FOLDER, where there are any.
function(ditscope_room_test name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*_test.cpp)
  if(sources)
    ditscope_test(${name} SOURCES ${sources} ${ARGN})
  endif()
endfunction()
