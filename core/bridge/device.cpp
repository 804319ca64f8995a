#include "core/bridge/device.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <string>

namespace ditscope {
namespace {

/// Asks the driver itself, so that nothing of CUDA is loaded on a machine without a GPU.
bool driver_finds_a_device() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) return false;
  using Init = int (*)(unsigned);
  using DeviceCount = int (*)(int*);
  const auto init = reinterpret_cast<Init>(dlsym(driver, "cuInit"));
  const auto device_count = reinterpret_cast<DeviceCount>(dlsym(driver, "cuDeviceGetCount"));
  int count = 0;
  return init && device_count && init(0) == 0 && device_count(&count) == 0 && count > 0;
}

/// libtorch_cuda.so lies beside the libtorch_cpu.so that this program runs on.
std::string beside_libtorch(const char* name) {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &info) || !info.dli_fname) return name;
  const std::string path = info.dli_fname;
  return path.substr(0, path.find_last_of('/') + 1) + name;
}

}  // namespace

bool cuda_available() {
  static const bool available = [] {
    if (!driver_finds_a_device()) return false;
    // Global, because kernels and hooks register with symbols of libtorch_cpu; absent where only the CPU wheels were fetched.
    if (!dlopen(beside_libtorch("libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL)) return false;
    if (!at::globalContext().hasCUDA()) return false;
    // float32 means float32: LibTorch would let cuDNN round the inputs of convolutions to TF32's 10 bits.
    for (const auto op : {at::Float32Op::CONV, at::Float32Op::RNN, at::Float32Op::MATMUL})
      at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, op, at::Float32Precision::IEEE);
    return true;
  }();
  return available;
}

}  // namespace ditscope
