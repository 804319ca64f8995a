#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ditscope {

/// Byte strings with a number each; answers which of them a text begins with. Children of a node lie side by side.
class PrefixTrie {
 public:
  PrefixTrie() = default;
  /// Empty keys are left out; of equal keys the last one's number counts.
  explicit PrefixTrie(std::vector<std::pair<std::string, std::int32_t>> entries);

  bool empty() const { return nodes_.size() <= 1; }

  /// Calls found(length_bytes, number) for every key that `text` begins with, the shortest first.
  template <typename Found>
  void prefixes(std::string_view text, Found found) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size() && (node = child(node, static_cast<unsigned char>(text[i]))) != 0; ++i) {
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

  /// The number of exactly `key`, or -1.
  std::int32_t find(std::string_view key) const;

 private:
  struct Node {
    std::uint32_t first_child = 0;
    std::uint16_t children = 0;
    std::uint8_t byte = 0;
    std::int32_t value = -1;
  };
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const;

  std::vector<Node> nodes_;
};

}  // namespace ditscope
