#pragma once
// Included by gpu.h without nvcc: the words of gpu_device.h on the CPU, for tests. One block at a time; each of its threads is a
// context of its own that runs until it has to wait for others. What a GPU leaves undefined is made to show: shared memory starts
// as NaN, an asynchronous copy lands no earlier than it is waited for, lanes that meet at different instructions, misaligned
// addresses and bank conflicts of matrix loads are errors.
#include <ucontext.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/element.h"

#define GPU_INLINE inline
#define GPU_UNROLL
#define GPU_UNROLL_BY(count)
#define GPU_NO_UNROLL

namespace ditscope::gpu {

class Machine {
 public:
  /// Runs body(shared memory) as every thread of `blocks` blocks, one block after the other. @param backwards  the last thread
  /// goes first wherever there is a choice
  static void run(int blocks, int threads, std::size_t shared_bytes, bool backwards,
                  const std::function<void(unsigned char*)>& body) {
    for (int block = 0; block < blocks; ++block) {
      Machine machine(blocks, block, threads, shared_bytes, backwards, body);
      machine.finish();
    }
  }
  static Machine& now() { return *running(); }

  int thread() const { return current_; }
  int block() const { return block_; }
  int blocks() const { return blocks_; }

  /// Meets the other threads of the group of `size` threads, neighbours from a multiple of `size` on; the last to come does
  /// `work` on what all brought.
  void meet(int size, const char* name, void* brought, const std::function<void(void**)>& work) {
    const int first = current_ / size * size;
    Group& group = groups_[{size, first}];
    group.brought.resize(static_cast<std::size_t>(size));
    if (group.present == 0) group.name = name;
    if (std::strcmp(group.name, name) != 0) stop(std::string("threads meet at ") + name + " and at " + group.name);
    group.brought[static_cast<std::size_t>(current_ - first)] = brought;
    if (++group.present == size) {
      if (work) work(group.brought.data());
      group.present = 0;
      ++group.meetings;
      return;
    }
    const std::int64_t meeting = group.meetings;
    wait_until([&group, meeting] { return group.meetings != meeting; });
  }
  /// Lets others run until the condition holds.
  void wait_until(const std::function<bool()>& condition) {
    Lane& lane = lanes_[static_cast<std::size_t>(current_)];
    if (condition()) return;
    lane.waits_for = &condition;
    leave(lane);
    lane.waits_for = nullptr;
  }
  int threads() const { return static_cast<int>(lanes_.size()); }
  /// State of instructions that keep some: barriers by address, products under way by warpgroup.
  template <typename State>
  State& state(std::uint32_t key) {
    auto& slot = states_[key];
    if (!slot) slot = std::make_shared<State>();
    return *static_cast<State*>(slot.get());
  }
  [[noreturn]] void stop(const std::string& message) {
    failure_ = "thread " + std::to_string(current_) + ": " + message;
    for (;;) leave(lanes_[static_cast<std::size_t>(current_)]);
  }
  void require(bool condition, const char* message) {
    if (!condition) stop(message);
  }

  struct Copy {
    void* to;
    const void* from;
    int bytes;
  };
  std::vector<Copy>& open_copies() { return lanes_[static_cast<std::size_t>(current_)].open; }
  std::deque<std::vector<Copy>>& groups() { return lanes_[static_cast<std::size_t>(current_)].groups; }
  std::uint32_t address(const void* pointer) const {
    return static_cast<std::uint32_t>(static_cast<const unsigned char*>(pointer) - shared_);
  }
  /// 16 bytes of shared memory.
  unsigned char* chunk(std::uint32_t address) {
    require(address + 16 <= shared_bytes_, "an address outside shared memory");
    require(address % 16 == 0, "a shared address that is not a multiple of 16");
    return shared_ + address;
  }

 private:
  struct Group {
    std::vector<void*> brought;
    int present = 0;
    std::int64_t meetings = 0;
    const char* name = "";
  };
  using Stack = std::unique_ptr<unsigned char[]>;
  using Place = void* [5];  ///< in a stack, to come back to
  struct Lane {
    ucontext_t context{};  ///< where it starts
    Stack stack;
    Place place{};
    bool started = false, done = false;
    const std::function<bool()>* waits_for = nullptr;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
  };
  static constexpr std::size_t kStackBytes = 1 << 17;

  Machine(int blocks, int block, int threads, std::size_t shared_bytes, bool backwards,
          const std::function<void(unsigned char*)>& body)
      : blocks_(blocks),
        block_(block),
        shared_bytes_(shared_bytes),
        backwards_(backwards),
        body_(body),
        lanes_(threads),
        storage_(shared_bytes + 1024, 0xff) {
    shared_ = storage_.data() + (1024 - reinterpret_cast<std::uintptr_t>(storage_.data()) % 1024) % 1024;
    for (Lane& lane : lanes_) {
      if (stacks().empty()) stacks().push_back(std::make_unique_for_overwrite<unsigned char[]>(kStackBytes));
      lane.stack = std::move(stacks().back());
      stacks().pop_back();
      getcontext(&lane.context);
      lane.context.uc_stack.ss_sp = lane.stack.get();
      lane.context.uc_stack.ss_size = kStackBytes;
      lane.context.uc_link = nullptr;  // it leaves by itself
      makecontext(&lane.context, &Machine::enter, 0);
    }
  }
  static Machine*& running() {
    static thread_local Machine* machine = nullptr;
    return machine;
  }
  /// Stacks that earlier blocks have left: fresh ones would cost more than what runs on them.
  static std::vector<Stack>& stacks() {
    static thread_local std::vector<Stack> kept;
    return kept;
  }
  static void enter() {
    Machine& machine = now();
    machine.body_(machine.shared_);
    machine.lanes_[static_cast<std::size_t>(machine.current_)].done = true;
    jump(machine.home_);
  }
  // From one stack to another without a system call, which swapcontext() makes twice for the mask of signals.
  [[noreturn, gnu::noinline]] static void jump(Place& place) { __builtin_longjmp(place, 1); }
  [[gnu::noinline]] void leave(Lane& lane) {
    if (__builtin_setjmp(lane.place) == 0) jump(home_);
  }
  [[gnu::noinline]] void go_on(Lane& lane) {
    if (__builtin_setjmp(home_) != 0) return;
    if (lane.started) jump(lane.place);
    lane.started = true;
    setcontext(&lane.context);
  }
  void finish() {
    running() = this;
    const int count = static_cast<int>(lanes_.size());
    for (bool all = false; !all;) {
      bool moved = false;
      all = true;
      for (int i = 0; i < count; ++i) {
        current_ = backwards_ ? count - 1 - i : i;
        Lane& lane = lanes_[static_cast<std::size_t>(current_)];
        if (lane.done) continue;
        all = false;
        if (lane.waits_for && !(*lane.waits_for)()) continue;
        moved = true;
        go_on(lane);
        if (!failure_.empty()) throw std::logic_error(failure_);
      }
      if (!all && !moved) throw std::logic_error("the threads of a block wait for each other at different places");
    }
    for (Lane& lane : lanes_) stacks().push_back(std::move(lane.stack));
    running() = nullptr;
  }

  int blocks_, block_, current_ = 0;
  std::size_t shared_bytes_;
  bool backwards_;
  const std::function<void(unsigned char*)>& body_;
  std::map<std::pair<int, int>, Group> groups_;
  std::map<std::uint32_t, std::shared_ptr<void>> states_;
  std::vector<Lane> lanes_;
  std::vector<unsigned char> storage_;
  unsigned char* shared_ = nullptr;
  Place home_{};
  std::string failure_;
};

inline int thread() {
  return Machine::now().thread();
}
inline int block() {
  return Machine::now().block();
}
inline int blocks() {
  return Machine::now().blocks();
}
inline void sync_block() {
  Machine::now().meet(Machine::now().threads(), "sync_block", nullptr, {});
}
inline void sync_warp() {
  Machine::now().meet(32, "sync_warp", nullptr, {});
}
template <int kThreads>
void sync_first() {
  Machine::now().meet(kThreads, "sync_first", nullptr, {});
}
inline void fence() {}
inline int atomic_add(int* counter, int value) {
  const int before = *counter;
  *counter += value;
  return before;
}
inline float load_fresh(const float* pointer) {
  return *pointer;
}
inline float exp2(float x) {
  return std::exp2f(x);
}
inline float log2(float x) {
  return std::log2f(x);
}
inline float multiply_add(float a, float b, float c) {
  return std::fmaf(a, b, c);
}
inline float larger(float a, float b) {
  return std::fmaxf(a, b);
}

inline float shuffle_xor(float value, int mask) {
  struct Brought {
    float value, result;
    int mask;
  } mine{value, 0, mask};
  Machine::now().meet(32, "shuffle_xor", &mine, [](void** all) {
    for (int i = 0; i < 32; ++i) {
      Brought& b = *static_cast<Brought*>(all[i]);
      b.result = static_cast<Brought*>(all[i ^ b.mask])->value;
    }
  });
  return mine.result;
}

inline int shuffle(int value, int lane) {
  struct Brought {
    int value, lane, result;
  } mine{value, lane, 0};
  Machine::now().meet(32, "shuffle", &mine, [](void** all) {
    for (int i = 0; i < 32; ++i) {
      Brought& b = *static_cast<Brought*>(all[i]);
      b.result = static_cast<Brought*>(all[b.lane])->value;
    }
  });
  return mine.result;
}

inline bool any(bool value) {
  struct Brought {
    bool value, result;
  } mine{value, false};
  Machine::now().meet(32, "any", &mine, [](void** all) {
    bool found = false;
    for (int i = 0; i < 32; ++i) found |= static_cast<Brought*>(all[i])->value;
    for (int i = 0; i < 32; ++i) static_cast<Brought*>(all[i])->result = found;
  });
  return mine.result;
}

inline std::uint32_t shared_address(const void* pointer) {
  return Machine::now().address(pointer);
}
template <typename Word>
Word opaque(Word value) {
  return value;
}
inline void keep_order() {
  sync_warp();
}
inline void copy_async(std::uint32_t shared, const void* source, int bytes) {
  Machine& machine = Machine::now();
  unsigned char* to = machine.chunk(shared);
  machine.require(reinterpret_cast<std::uintptr_t>(source) % 16 == 0, "an asynchronous copy from a misaligned address");
  machine.require(bytes == 0 || bytes == 16, "an asynchronous copy of neither 0 nor 16 bytes");
  machine.open_copies().push_back({to, source, bytes});
}
inline void commit_copies() {
  Machine& machine = Machine::now();
  machine.groups().push_back(std::move(machine.open_copies()));
  machine.open_copies().clear();
}
template <int kPending>
void wait_copies() {
  auto& groups = Machine::now().groups();
  for (; groups.size() > kPending; groups.pop_front()) {
    for (const Machine::Copy& copy : groups.front()) {
      std::memset(copy.to, 0, 16);
      std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
    }
  }
}

namespace detail {

struct MatrixLoad {
  const void* row;
  std::uint32_t* result;
};

inline void load(void** all, bool transposed) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    const std::uint16_t* rows[8];
    unsigned banks = 0;
    for (int r = 0; r < 8; ++r) {
      rows[r] = static_cast<const std::uint16_t*>(static_cast<MatrixLoad*>(all[matrix * 8 + r])->row);
      banks |= 1u << (reinterpret_cast<std::uintptr_t>(rows[r]) / 16 % 8);
    }
    Machine::now().require(banks == 0xff, "a bank conflict of a matrix load");
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = 2 * (lane % 4);
      const std::uint16_t low = transposed ? rows[t][g] : rows[g][t], high = transposed ? rows[t + 1][g] : rows[g][t + 1];
      static_cast<MatrixLoad*>(all[lane])->result[matrix] = low | std::uint32_t{high} << 16;
    }
  }
}

}  // namespace detail

inline void load_matrices(std::uint32_t (&r)[4], std::uint32_t row) {
  detail::MatrixLoad mine{Machine::now().chunk(row), r};
  Machine::now().meet(32, "load_matrices", &mine, [](void** all) { detail::load(all, false); });
}
inline void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t row) {
  detail::MatrixLoad mine{Machine::now().chunk(row), r};
  Machine::now().meet(32, "load_matrices_transposed", &mine, [](void** all) { detail::load(all, true); });
}

/// Layouts of the fragments: PTX ISA, "Matrix Fragments for mma.m16n8k32".
inline void multiply_bytes(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  struct Brought {
    int* c;
    const std::uint32_t* a;
    std::uint32_t b[2];
  } mine{c, a, {b0, b1}};
  Machine::now().meet(32, "multiply_bytes", &mine, [](void** all) {
    const auto byte = [](std::uint32_t word, int which) { return static_cast<std::int8_t>(word >> (8 * which)); };
    int left[16][32], right[32][8];
    for (int lane = 0; lane < 32; ++lane) {
      const Brought& brought = *static_cast<Brought*>(all[lane]);
      for (int e = 0; e < 16; ++e) {
        left[lane / 4 + (e / 4 % 2) * 8][lane % 4 * 4 + e % 4 + (e / 8) * 16] = byte(brought.a[e / 4], e % 4);
      }
      for (int e = 0; e < 8; ++e) right[lane % 4 * 4 + e % 4 + (e / 4) * 16][lane / 4] = byte(brought.b[e / 4], e % 4);
    }
    for (int lane = 0; lane < 32; ++lane) {
      int* sums = static_cast<Brought*>(all[lane])->c;
      for (int e = 0; e < 4; ++e) {
        for (int k = 0; k < 32; ++k) sums[e] += left[lane / 4 + (e / 2) * 8][k] * right[k][lane % 4 * 2 + e % 2];
      }
    }
  });
}

template <typename Element>
struct Arithmetic {
  static constexpr bool kBfloat16 = sizeof(Element) == 2 && std::is_same_v<Element, Bfloat16Bits>;

  static float widen(std::uint16_t bits) {
    if constexpr (kBfloat16) {
      const std::uint32_t wide = std::uint32_t{bits} << 16;
      float result;
      std::memcpy(&result, &wide, 4);
      return result;
    } else {
      _Float16 half;
      std::memcpy(&half, &bits, 2);
      return static_cast<float>(half);
    }
  }
  static std::uint16_t narrow(float value) {
    std::uint16_t result;
    if constexpr (kBfloat16) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, 4);
      result = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    } else {
      const _Float16 half = static_cast<_Float16>(value);
      std::memcpy(&result, &half, 2);
    }
    return result;
  }
  static std::uint32_t pack(float first, float second) { return narrow(first) | std::uint32_t{narrow(second)} << 16; }

  /// Layouts of the fragments: PTX ISA, "Matrix Fragments for mma.m16n8k16".
  static void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    struct Brought {
      float* c;
      const std::uint32_t* a;
      std::uint32_t b[2];
    } mine{c, a, {b0, b1}};
    Machine::now().meet(32, "multiply", &mine, [](void** all) {
      const auto half = [](std::uint32_t word, int which) { return widen(static_cast<std::uint16_t>(word >> (16 * which))); };
      float a[16][16], b[16][8];
      for (int lane = 0; lane < 32; ++lane) {
        const Brought& brought = *static_cast<Brought*>(all[lane]);
        for (int e = 0; e < 8; ++e) {
          a[lane / 4 + (e / 2 % 2) * 8][lane % 4 * 2 + e % 2 + (e / 4) * 8] = half(brought.a[e / 2], e % 2);
        }
        for (int e = 0; e < 4; ++e) b[lane % 4 * 2 + e % 2 + (e / 2) * 8][lane / 4] = half(brought.b[e / 2], e % 2);
      }
      for (int lane = 0; lane < 32; ++lane) {
        float* c = static_cast<Brought*>(all[lane])->c;
        for (int e = 0; e < 4; ++e) {
          const int row = lane / 4 + (e / 2) * 8, column = lane % 4 * 2 + e % 2;
          float sum = 0;
          for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
          c[e] += sum;
        }
      }
    });
  }
};

}  // namespace ditscope::gpu
