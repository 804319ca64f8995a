#pragma once
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
    }
    return *value_;
  }

 private:
  Sources sources_;
  std::string key_;
  std::optional<T> value_;
};

}  // namespace ditscope::views
