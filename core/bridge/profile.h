#pragma once
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <string>

namespace ditscope {

/// What the time of a run on the CPU goes into, for `bench generate`. Stages are named by whoever runs them, stretches by the code
/// that does the work; time of a stage that no stretch covers is the remainder. Where nobody watches, a stretch costs the test of
/// a pointer.
class Profile {
 public:
  enum class Kind { Gemm, Convolution, Attention, Elementwise };
  struct Key {
    std::string stage;
    Kind kind = Kind::Elementwise;
    std::string name;
    int layer = -1;  ///< -1: outside the layers
    auto operator<=>(const Key&) const = default;
  };
  struct Sum {
    std::int64_t calls = 0;
    double seconds = 0;
    double flop = 0;  ///< multiplications and additions of the definition, 0 where they are not counted
  };

  const std::map<Key, Sum>& sums() const { return sums_; }
  const std::map<std::string, double>& stage_seconds() const { return stage_seconds_; }

  /// Makes this the profile of the calling thread while it lives.
  class Watching {
   public:
    explicit Watching(Profile& profile) { current_ = &profile; }
    ~Watching() { current_ = nullptr; }
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
  };

  /// A stage, from here to the end of the scope. Stages do not nest.
  class Stage {
   public:
    explicit Stage(const char* name);
    ~Stage();
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

   private:
    Profile* profile_ = current_;
    std::chrono::steady_clock::time_point start_;
  };

  /// A stretch of one kind of work, from here to the end of the scope; stretches do not nest.
  class Stretch {
   public:
    /// @param name  static text
    Stretch(Kind kind, const char* name, double flop = 0) : profile_(current_), kind_(kind), name_(name), flop_(flop) {
      if (profile_) start_ = std::chrono::steady_clock::now();
    }
    ~Stretch() {
      if (profile_) finish();
    }
    /// For work whose size shows only afterwards.
    void count(double flop) { flop_ += flop; }
    Stretch(const Stretch&) = delete;
    Stretch& operator=(const Stretch&) = delete;

   private:
    void finish() const;
    Profile* profile_;
    Kind kind_;
    const char* name_;
    double flop_;
    std::chrono::steady_clock::time_point start_;
  };

  /// The layer that stretches belong to from now on; -1 for none.
  static void enter_layer(int layer) {
    if (current_) current_->layer_ = layer;
  }

 private:
  static thread_local Profile* current_;

  std::string stage_;
  int layer_ = -1;
  std::map<Key, Sum> sums_;
  std::map<std::string, double> stage_seconds_;
};

const char* profile_kind_name(Profile::Kind kind);

}  // namespace ditscope
