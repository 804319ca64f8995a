#pragma once
// Included by gpu_hopper.h without nvcc. Boxes land when they are asked for; products of a warpgroup are computed, from what
// shared memory holds then, no earlier than they are waited for, so memory that is given back too early shows.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/cuda/gpu.h"

namespace ditscope::gpu {

struct TensorMap {
  const std::uint16_t* base = nullptr;
  std::int64_t width = 0, tokens = 0, heads = 0, token_stride = 0, head_stride = 0;
};

namespace detail {

struct Barrier {
  int count = 0, missing = 0, phase = 0;
  std::int64_t bytes = 0;
  void look() {
    if (missing > 0 || bytes > 0) return;
    missing = count;
    ++phase;
  }
};
inline Barrier& barrier_at(std::uint32_t address) {
  Machine::now().require(address % 8 == 0, "a barrier at an address that is not a multiple of 8");
  return Machine::now().state<Barrier>(address);
}
inline void arrive_with(std::uint32_t address, std::int64_t bytes) {
  Barrier& barrier = barrier_at(address);
  Machine::now().require(barrier.missing > 0, "more threads arrive at a barrier than it counts");
  barrier.bytes += bytes;
  --barrier.missing;
  barrier.look();
}

}  // namespace detail

template <int kRegisters>
void give_registers() {
  Machine::now().meet(128, "give_registers", nullptr, {});
}
template <int kRegisters>
void take_registers() {
  Machine::now().meet(128, "take_registers", nullptr, {});
}
inline void start_barrier(std::uint32_t barrier, int count) {
  detail::barrier_at(barrier).count = detail::barrier_at(barrier).missing = count;
}
inline void publish_barriers() {}
inline void arrive(std::uint32_t barrier) {
  detail::arrive_with(barrier, 0);
}
inline void arrive_expecting(std::uint32_t barrier, int bytes) {
  detail::arrive_with(barrier, bytes);
}
inline void wait_barrier(std::uint32_t barrier, int parity) {
  detail::Barrier& b = detail::barrier_at(barrier);
  Machine::now().wait_until([&b, parity] { return b.phase % 2 != parity; });
}

inline void copy_box(std::uint32_t shared, const TensorMap& map, int channel, int token, int head, std::uint32_t barrier) {
  Machine& machine = Machine::now();
  machine.require(shared % 1024 == 0, "a box that does not begin at a multiple of 1024 bytes");
  for (int row = 0; row < 64; ++row) {
    for (int c = 0; c < 64; ++c) {
      const bool there = token + row < map.tokens && channel + c < map.width && head < map.heads;
      const std::uint16_t value = there ? map.base[head * map.head_stride + (token + row) * map.token_stride + channel + c] : 0;
      const std::uint32_t linear = shared + static_cast<std::uint32_t>(row * 128 + c * 2);
      const std::uint32_t place = linear ^ ((linear >> 7 & 7) << 4);
      std::memcpy(machine.chunk(place & ~15u) + place % 16, &value, 2);
    }
  }
  detail::Barrier& b = detail::barrier_at(barrier);
  b.bytes -= 8192;
  b.look();
}

namespace detail {

/// One product of a warpgroup, as its threads asked for it.
struct Product {
  float (*c[128])[4];
  std::uint32_t a[128][4];
  std::uint64_t b = 0;
  int columns = 0, add = 0;
  bool by_row = false;
};
struct Products {
  std::vector<std::function<void()>> open;
  std::deque<std::vector<std::function<void()>>> groups;
};
inline Products& products() {
  return Machine::now().state<Products>(0xfffff000u + static_cast<std::uint32_t>(thread() / 128));
}

/// Element of b: 16 bytes of a row of 128, rows in groups of 8 that lie as far apart as the descriptor says.
inline std::uint16_t element(const Product& p, int k, int n) {
  Machine& machine = Machine::now();
  const std::uint32_t start = static_cast<std::uint32_t>(p.b & 0x3fff) << 4;
  const std::uint32_t group = static_cast<std::uint32_t>(p.b >> 32 & 0x3fff) << 4;
  machine.require(p.b >> 62 == 1, "a descriptor without the 128-byte swizzle");
  const int row = p.by_row ? k : n, column = p.by_row ? n : k;
  const std::uint32_t linear =
      start + static_cast<std::uint32_t>(row / 8) * group + static_cast<std::uint32_t>(row % 8 * 128 + column * 2);
  const std::uint32_t place = linear ^ ((linear >> 7 & 7) << 4);
  std::uint16_t bits;
  std::memcpy(&bits, machine.chunk(place & ~15u) + place % 16, 2);
  return bits;
}

template <typename Element>
void compute(const Product& p) {
  using Math = Arithmetic<Element>;
  for (int warp = 0; warp < 4; ++warp) {
    float a[16][16];
    for (int lane = 0; lane < 32; ++lane) {
      for (int e = 0; e < 8; ++e) {
        a[lane / 4 + (e / 2 % 2) * 8][lane % 4 * 2 + e % 2 + (e / 4) * 8] =
            Math::widen(static_cast<std::uint16_t>(p.a[warp * 32 + lane][e / 2] >> (16 * (e % 2))));
      }
    }
    for (int n = 0; n < p.columns; ++n) {
      float b[16];
      for (int k = 0; k < 16; ++k) b[k] = Math::widen(element(p, k, n));
      for (int row = 0; row < 16; ++row) {
        float sum = 0;
        for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k];
        float& c = p.c[warp * 32 + row % 8 * 4 + n % 8 / 2][n / 8][row / 8 * 2 + n % 2];
        c = p.add ? c + sum : sum;
      }
    }
  }
}

}  // namespace detail

inline void begin_products() {
  Machine::now().meet(128, "begin_products", nullptr, {});
}
inline void end_products() {
  Machine::now().meet(128, "end_products", nullptr, [](void**) {
    detail::Products& products = detail::products();
    products.groups.push_back(std::move(products.open));
    products.open.clear();
  });
}
/// A wait is a warp's own; that the first warp to wait computes for all shows no less, as none may give memory back before.
template <int kPending>
void wait_products() {
  sync_warp();
  auto& groups = detail::products().groups;
  for (; groups.size() > kPending; groups.pop_front()) {
    for (const auto& work : groups.front()) work();
  }
  sync_warp();
}
template <int kTiles>
void settle(float (*)[4]) {}

template <typename Element, int kColumns, bool kByRow>
void multiply_group(float (*c)[4], const std::uint32_t (&a)[4], std::uint64_t b, int add) {
  struct Brought {
    float (*c)[4];
    const std::uint32_t* a;
    std::uint64_t b;
    int add;
  } mine{c, a, b, add};
  Machine::now().meet(128, "multiply_group", &mine, [](void** all) {
    auto product = std::make_shared<detail::Product>();
    for (int i = 0; i < 128; ++i) {
      const Brought& brought = *static_cast<Brought*>(all[i]);
      product->c[i] = brought.c;
      for (int e = 0; e < 4; ++e) product->a[i][e] = brought.a[e];
      Machine::now().require(brought.b == static_cast<Brought*>(all[0])->b, "a warpgroup with several descriptors");
      product->b = brought.b;
      product->add = brought.add;
    }
    product->columns = kColumns;
    product->by_row = kByRow;
    detail::products().open.push_back([product] { detail::compute<Element>(*product); });
  });
}

}  // namespace ditscope::gpu
