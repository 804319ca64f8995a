#pragma once
// Included by gpu.h under nvcc. Instructions: PTX ISA 8.x, sm_80.
#include <cstdint>

#include "kernels/cuda/element.h"

#define GPU_INLINE __device__ __forceinline__
#define GPU_UNROLL _Pragma("unroll")
#define GPU_PRAGMA(text) _Pragma(#text)
#define GPU_UNROLL_BY(count) GPU_PRAGMA(unroll count)
#define GPU_NO_UNROLL _Pragma("unroll 1")

namespace ditscope::gpu {

GPU_INLINE int thread() {
  return static_cast<int>(threadIdx.x);
}
GPU_INLINE int block() {
  return static_cast<int>(blockIdx.x);
}
GPU_INLINE int blocks() {
  return static_cast<int>(gridDim.x);
}
/// Waits for all threads of the block; what they wrote to shared memory is seen then.
GPU_INLINE void sync_block() {
  __syncthreads();
}
/// The same among the first kThreads threads of the block.
template <int kThreads>
GPU_INLINE void sync_first() {
  asm volatile("bar.sync 1, %0;" ::"n"(kThreads) : "memory");
}
GPU_INLINE void sync_warp() {
  __syncwarp();
}
/// The same value, which the compiler knows nothing about: what follows from it is not computed ahead and kept in registers.
template <typename Word>
GPU_INLINE Word opaque(Word value) {
  asm volatile("" : "+r"(value));
  return value;
}
/// Loads after this are not moved before it: those of a row wait until the registers of the row before are free.
GPU_INLINE void keep_order() {
  __syncwarp();
}
/// What this thread wrote to global memory is seen by whoever sees its later writes.
GPU_INLINE void fence() {
  __threadfence();
}
GPU_INLINE int atomic_add(int* counter, int value) {
  return atomicAdd(counter, value);
}
/// Reads what other blocks wrote during this launch.
GPU_INLINE float load_fresh(const float* pointer) {
  return __ldcg(pointer);
}
GPU_INLINE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
GPU_INLINE int shuffle(int value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
GPU_INLINE bool any(bool value) {
  return __any_sync(0xffffffffu, value) != 0;
}

GPU_INLINE float exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
GPU_INLINE float log2(float x) {
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
GPU_INLINE float multiply_add(float a, float b, float c) {
  return __fmaf_rn(a, b, c);
}
GPU_INLINE float larger(float a, float b) {
  return fmaxf(a, b);
}

/// Bytes from the beginning of shared memory.
GPU_INLINE std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Copies 16 bytes to shared memory behind the thread's back, `bytes` of them (0 or 16) from `source`, zeros for the rest. Both
/// are aligned to 16 bytes; with 0 bytes `source` is not read.
GPU_INLINE void copy_async(std::uint32_t shared, const void* source, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(source), "r"(bytes) : "memory");
}
/// Closes a group of copies.
GPU_INLINE void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most kPending of the thread's newest groups are under way.
template <int kPending>
GPU_INLINE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8 x 8 matrices of 16-bit elements from shared memory; lanes 8i .. 8i+7 give the addresses of the rows of matrix i. A lane
/// gets elements 2(lane%4) and 2(lane%4)+1 of row lane/4 of each.
GPU_INLINE void load_matrices(std::uint32_t (&r)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
/// The same, transposed: elements of rows 2(lane%4) and 2(lane%4)+1 in column lane/4.
GPU_INLINE void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

/// c (16 x 8) += a (16 x 32) b (32 x 8) of signed bytes, four neighbouring ones of k a register; exact.
GPU_INLINE void multiply_bytes(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <typename Element>
struct Arithmetic;

template <>
struct Arithmetic<Bfloat16Bits> {
  /// c (16 x 8) += a (16 x 16) b (16 x 8), sums in float32.
  static GPU_INLINE void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
  /// Two elements, the first in the low half.
  static GPU_INLINE std::uint32_t pack(float first, float second) {
    std::uint32_t result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
    return result;
  }
  static GPU_INLINE float widen(std::uint16_t bits) { return __uint_as_float(std::uint32_t{bits} << 16); }
};

template <>
struct Arithmetic<Float16Bits> {
  static GPU_INLINE void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
  static GPU_INLINE std::uint32_t pack(float first, float second) {
    std::uint32_t result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
    return result;
  }
  static GPU_INLINE float widen(std::uint16_t bits) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(bits));
    return result;
  }
};

}  // namespace ditscope::gpu
