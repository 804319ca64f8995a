# torch::cpu, made from the PyPI wheel that installer/fetch_libtorch.sh unpacks into .deps/libtorch.
#
# find_package(Torch) of a CUDA wheel refuses to configure on a machine without the CUDA toolkit; the CPU half needs none
# of that, so the few things it takes are named here. libtorch_cpu.so finds libcudart and libcupti through its own RPATH.
set(DITSCOPE_LIBTORCH_DIR ${PROJECT_SOURCE_DIR}/.deps/libtorch/torch CACHE PATH "The torch folder of the PyPI wheel")
if(NOT EXISTS ${DITSCOPE_LIBTORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch is not in ${DITSCOPE_LIBTORCH_DIR}. Run installer/fetch_libtorch.sh, or set "
                      "-DDITSCOPE_LIBTORCH_DIR= to the 'torch' folder of an installed torch 2.11 wheel.")
endif()

add_library(torch::c10 SHARED IMPORTED)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION ${DITSCOPE_LIBTORCH_DIR}/lib/libc10.so)
add_library(torch::cpu SHARED IMPORTED)
set_target_properties(torch::cpu PROPERTIES
  IMPORTED_LOCATION ${DITSCOPE_LIBTORCH_DIR}/lib/libtorch_cpu.so
  INTERFACE_INCLUDE_DIRECTORIES "${DITSCOPE_LIBTORCH_DIR}/include;${DITSCOPE_LIBTORCH_DIR}/include/torch/csrc/api/include"
  INTERFACE_LINK_LIBRARIES "torch::c10")

# Without this option a program finds a GPU by itself and loads LibTorch's CUDA half then (core/bridge/device.h). With it the
# CUDA half is linked, so that a missing piece of the CUDA wheels shows when the program starts and not at the first GPU run.
# Its own libraries lie in other wheels, where the loader finds them through its RPATH and the linker need not look.
if(DITSCOPE_CUDA)
  if(NOT EXISTS ${DITSCOPE_LIBTORCH_DIR}/lib/libtorch_cuda.so)
    message(FATAL_ERROR "DITSCOPE_CUDA is ON, but ${DITSCOPE_LIBTORCH_DIR}/lib has no libtorch_cuda.so. Run installer/fetch_libtorch.sh "
                        "on a machine with an NVIDIA driver, or set -DDITSCOPE_LIBTORCH_DIR= to a torch wheel with CUDA.")
  endif()
  set_property(TARGET torch::cpu APPEND PROPERTY INTERFACE_LINK_LIBRARIES
    "-Wl,--no-as-needed;${DITSCOPE_LIBTORCH_DIR}/lib/libtorch_cuda.so;${DITSCOPE_LIBTORCH_DIR}/lib/libc10_cuda.so;-Wl,--as-needed;-Wl,--allow-shlib-undefined")
endif()
