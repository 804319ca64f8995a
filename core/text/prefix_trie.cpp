#include "core/text/prefix_trie.h"

#include <algorithm>

namespace ditscope {

PrefixTrie::PrefixTrie(std::vector<std::pair<std::string, std::int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  nodes_.emplace_back();
  struct Range {
    std::size_t first, last, depth;
  };
  std::vector<Range> ranges = {{0, entries.size(), 0}};  // entries below node i, which agree in their first `depth` bytes
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    auto [first, last, depth] = ranges[node];
    for (; first < last && entries[first].first.size() == depth; ++first) {
      if (depth > 0) nodes_[node].value = entries[first].second;
    }
    nodes_[node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (first < last) {
      const char byte = entries[first].first[depth];
      auto next = first;
      while (next < last && entries[next].first[depth] == byte) ++next;
      Node child;
      child.byte = static_cast<std::uint8_t>(byte);
      nodes_.push_back(child);
      ranges.push_back({first, next, depth + 1});
      ++nodes_[node].children;
      first = next;
    }
  }
}

std::uint32_t PrefixTrie::child(std::uint32_t node, std::uint8_t byte) const {
  if (nodes_.empty()) return 0;
  const auto* begin = nodes_.data() + nodes_[node].first_child;
  const auto* end = begin + nodes_[node].children;
  const auto* found = std::lower_bound(begin, end, byte, [](const Node& n, std::uint8_t b) { return n.byte < b; });
  return found != end && found->byte == byte ? static_cast<std::uint32_t>(found - nodes_.data()) : 0;
}

std::int32_t PrefixTrie::find(std::string_view key) const {
  std::int32_t value = -1;
  prefixes(key, [&](std::size_t length, std::int32_t number) { value = length == key.size() ? number : value; });
  return value;
}

}  // namespace ditscope
