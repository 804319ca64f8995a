#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ditscope::views {

/// Keeps the last value that was made, as long as it would be made of the same: views are painted again at every move of the mouse.
template <class T>
class Memo {
 public:
  using Sources = std::vector<std::shared_ptr<const void>>;
  /// @param sources  the data that the value is made of; they are held, so that another one never takes their place unseen
  /// @param key      everything else that it depends on
  template <class Make>
  const T& get(Sources sources, const std::string& key, Make make) {
    if (!value_ || sources != sources_ || key != key_) {
      value_ = make();
      sources_ = std::move(sources);
      key_ = key;
      ++generation_;
    }
    return *value_;
  }

  /// Grows when a value is made.
  std::int64_t generation() const { return generation_; }

 private:
  Sources sources_;
  std::string key_;
  std::optional<T> value_;
  std::int64_t generation_ = 0;
};

}  // namespace ditscope::views
