#pragma once
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace ditscope::test {

/// Bytes near valid ones: a few random edits of a seed file. The same seed gives the same bytes.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed, std::vector<std::string> dictionary = {})
      : random_(seed), dictionary_(std::move(dictionary)) {}

  std::string operator()(std::string bytes) {
    for (int edits = 1 + below(4); edits > 0; --edits) edit(bytes);
    return bytes;
  }

 private:
  int below(std::size_t limit) { return limit == 0 ? 0 : static_cast<int>(random_() % limit); }
  void edit(std::string& bytes) {
    const auto at = static_cast<std::size_t>(below(bytes.size() + 1));
    const auto length = std::min<std::size_t>(static_cast<std::size_t>(1 + below(16)), bytes.size() - at);
    static const std::string kExtremes[] = {std::string(8, '\0'),
                                            std::string(8, '\xff'),
                                            std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8),
                                            std::string("\0\0\0\0\0\0\0\x80", 8),
                                            std::string("\0\0\0\x80\0\0\0\0", 8),
                                            std::string("\1\0\0\0\0\0\0\0", 8)};
    switch (below(dictionary_.empty() ? 7 : 9)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 4:
        bytes.insert(at, std::string(length, static_cast<char>(below(256))));
        break;
      case 5:
        bytes.resize(at);
        break;
      case 6:
        bytes.replace(at, std::min<std::size_t>(8, bytes.size() - at), kExtremes[below(6)]);
        break;
      case 7:
        bytes.insert(at, dictionary_[static_cast<std::size_t>(below(dictionary_.size()))]);
        break;
      default:
        bytes.replace(at, length, dictionary_[static_cast<std::size_t>(below(dictionary_.size()))]);
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> dictionary_;
};

/// Pieces of JSON that readers trip over.
inline std::vector<std::string> json_dictionary() {
  return {"{",
          "}",
          "[",
          "]",
          ",",
          ":",
          "\"",
          "null",
          "true",
          "-1",
          "0",
          "1e999",
          "18446744073709551615",
          "18446744073709551616",
          "-0",
          "9223372036854775807",
          "\"\"",
          "\\ud800",
          "\\u0000",
          "\xc0\xaf",
          "\xed\xa0\x80",
          "[[[[[[[[",
          "{\"a\":{\"a\":{\"a\":{",
          "1.5",
          "\"F32\"",
          "\"BOOL\"",
          "\"shape\"",
          "\"data_offsets\"",
          "\"dtype\"",
          "\"__metadata__\"",
          "[0,0]",
          "\"vocab\"",
          "\"content\"",
          "\"type\""};
}

}  // namespace ditscope::test
