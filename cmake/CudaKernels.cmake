# ditscope_cuda_kernels(TARGET): compiles kernels/cuda with nvcc into a static room, where the option asks for it and nvcc is found.
#
# Where 9.0 is among the capabilities, also the kernels of kernels/cuda/hopper, for sm_90a alone.
#
# nvcc is called by itself and not through CMake's CUDA language: the compiler that PyPI brings beside LibTorch has no layout that
# CMake 3.25 knows, and the resource report of every kernel (-Xptxas -v) is kept as a file that a test reads.
#
#   DITSCOPE_CUDA_KERNELS        ON where DITSCOPE_CUDA is; without nvcc the build says so and goes on without the kernels
#   DITSCOPE_NVCC                the compiler; searched beside LibTorch, in PATH and in /usr/local/cuda
#   DITSCOPE_CUDA_ARCHITECTURES  compute capabilities; PTX of the oldest, which all are made from, is added for GPUs between them
#                                and to come. "native" asks the driver
option(DITSCOPE_CUDA_KERNELS "Compile the attention kernels for GPUs (needs nvcc)" ${DITSCOPE_CUDA})
set(DITSCOPE_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING "Compute capabilities, or native")
find_program(DITSCOPE_NVCC nvcc HINTS ${DITSCOPE_LIBTORCH_DIR}/../nvidia/cu13/bin $ENV{CUDA_HOME}/bin PATHS /usr/local/cuda/bin
             DOC "CUDA compiler")

# The capability of this machine's first GPU, or all of them where none is found.
function(ditscope_cuda_architectures result)
  set(architectures ${DITSCOPE_CUDA_ARCHITECTURES})
  if(architectures STREQUAL "native")
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE found ERROR_QUIET
                    RESULT_VARIABLE status)
    if(status EQUAL 0 AND found MATCHES "^([0-9]+)\\.([0-9]+)")
      set(architectures ${CMAKE_MATCH_1}${CMAKE_MATCH_2})
    else()
      set(architectures 80 86 89 90 100 120)
    endif()
  endif()
  set(${result} ${architectures} PARENT_SCOPE)
endfunction()

function(ditscope_cuda_kernels target)
  if(NOT DITSCOPE_CUDA_KERNELS)
    return()
  endif()
  if(NOT DITSCOPE_NVCC)
    message(WARNING "nvcc was not found: the attention kernels for GPUs are left out. Install nvidia-cuda-nvcc 13.0 from PyPI beside "
                    "LibTorch, or set -DDITSCOPE_NVCC=.")
    return()
  endif()
  get_filename_component(bin ${DITSCOPE_NVCC} REALPATH)  # of a link in PATH, too
  get_filename_component(bin ${bin} DIRECTORY)
  get_filename_component(toolkit ${bin} DIRECTORY)
  find_library(DITSCOPE_CUDART_STATIC cudart_static HINTS ${toolkit}/lib64 ${toolkit}/lib ${toolkit}/targets/x86_64-linux/lib NO_DEFAULT_PATH)
  if(NOT DITSCOPE_CUDART_STATIC)
    message(WARNING "libcudart_static.a was not found below ${toolkit}: the attention kernels for GPUs are left out. Install "
                    "nvidia-cuda-runtime of nvcc's version.")
    return()
  endif()

  ditscope_cuda_architectures(architectures)
  list(SORT architectures COMPARE NATURAL)
  list(GET architectures 0 oldest)
  list(TRANSFORM architectures PREPEND sm_ OUTPUT_VARIABLE machines)
  list(JOIN machines "," machines)
  set(codes -gencode "arch=compute_${oldest},code=[compute_${oldest},${machines}]")
  message(STATUS "CUDA kernels: ${DITSCOPE_NVCC}, compute capabilities ${architectures}")

  set(hopper)
  if(90 IN_LIST architectures)
    set(hopper -DDITSCOPE_HOPPER)
  endif()

  set(folder ${PROJECT_SOURCE_DIR}/kernels/cuda)
  set(objects)
  # compile(NAME SOURCE DEFINITIONS...) : an object for ${codes} and its resource report.
  macro(compile name source)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.o)
    add_custom_command(OUTPUT ${object} ${object}.resources.txt
      COMMAND ${CMAKE_COMMAND} -DNVCC=${DITSCOPE_NVCC} -DOBJECT=${object} -DSOURCE=${folder}/${source} -DROOT=${PROJECT_SOURCE_DIR}
              -DHOST=${CMAKE_CXX_COMPILER} "-DOPTIONS=${ARGN};${codes}" -P ${PROJECT_SOURCE_DIR}/cmake/compile_cuda.cmake
      MAIN_DEPENDENCY ${folder}/${source} DEPENDS ${PROJECT_SOURCE_DIR}/cmake/compile_cuda.cmake
      DEPFILE ${object}.d COMMENT "Compiling CUDA object ${name}" VERBATIM)
    list(APPEND objects ${object})
  endmacro()
  compile(attention attention.cu ${hopper})
  foreach(width 64 128 256)
    compile(float_${width} float_kernels.cu -DDITSCOPE_WIDTH=${width})
  endforeach()
  foreach(width 32 64 80 96 128 256)
    foreach(element Bfloat16Bits Float16Bits)
      compile(${element}_${width} tile_kernels.cu -DDITSCOPE_ELEMENT=${element} -DDITSCOPE_WIDTH=${width})
    endforeach()
  endforeach()
  foreach(element float Bfloat16Bits Float16Bits)
    compile(mass_${element} mass_kernels.cu -DDITSCOPE_ELEMENT=${element})
  endforeach()
  foreach(element Bfloat16Bits Float16Bits)
    compile(int8_${element} int8_kernels.cu -DDITSCOPE_ELEMENT=${element})
  endforeach()
  if(hopper)
    set(codes -gencode arch=compute_90a,code=sm_90a)
    foreach(width 64 80 96 128)
      foreach(element Bfloat16Bits Float16Bits)
        compile(hopper_${element}_${width} hopper/hopper_kernels.cu -DDITSCOPE_ELEMENT=${element} -DDITSCOPE_WIDTH=${width})
      endforeach()
    endforeach()
  endif()
  ditscope_room(${target} ${objects})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  # The static runtime asks for the driver when it is first used: a program with it starts on machines without one.
  target_link_libraries(${target} PUBLIC ditscope_kernels PRIVATE ${DITSCOPE_CUDART_STATIC} Threads::Threads ${CMAKE_DL_LIBS} rt)
  target_compile_definitions(${target} INTERFACE DITSCOPE_CUDA_KERNELS)
  target_include_directories(${target} SYSTEM INTERFACE ${toolkit}/include)
endfunction()
