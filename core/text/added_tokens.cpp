#include "core/text/added_tokens.h"

#include <algorithm>

#include "core/text/unicode.h"

namespace ditscope {
namespace {

PrefixTrie trie_of(const std::vector<AddedToken>& tokens) {
  std::vector<std::pair<std::string, std::int32_t>> entries;
  for (std::size_t i = 0; i < tokens.size(); ++i) entries.emplace_back(tokens[i].content, static_cast<std::int32_t>(i));
  return PrefixTrie(std::move(entries));
}

/// Letters, digits and underscores; beyond ASCII, all but white space and the blocks of punctuation.
bool is_word(std::uint32_t c) {
  if (c < 0x80) return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const bool latin_sign = c < 0xc0 ? c != 0xaa && c != 0xb5 && c != 0xba : c == 0xd7 || c == 0xf7;
  const bool punctuation = (c >= 0x2010 && c < 0x2070) || (c >= 0x3000 && c < 0x3004) || (c >= 0x3008 && c < 0x3021);
  return !latin_sign && !punctuation && !is_white_space(c);
}

std::size_t start_of_last(std::string_view text) {
  auto at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const auto before = text.substr(0, begin);
  const bool free_before = before.empty() || !is_word(code_point_at(before, start_of_last(before)).value);
  return free_before && (end == text.size() || !is_word(code_point_at(text, end).value));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), trie_(trie_of(tokens_)) {}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text) const {
  std::vector<Segment> segments;
  std::size_t done = 0;
  const auto text_until = [&](std::size_t end) {
    if (end > done) segments.push_back({done, end, nullptr});
  };
  for (std::size_t at = 0; !trie_.empty() && at < text.size();) {
    std::size_t length = 0;
    const AddedToken* token = nullptr;
    trie_.prefixes(text.substr(at), [&](std::size_t matched, std::int32_t number) {
      length = matched;
      token = &tokens_[static_cast<std::size_t>(number)];
    });
    if (!token) {
      ++at;
      continue;
    }
    auto begin = at, end = at + length;
    at = end;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    while (token->lstrip && begin > done) {
      const auto last = start_of_last(text.substr(0, begin));
      if (!is_white_space(code_point_at(text, last).value)) break;
      begin = last;
    }
    begin = std::max(begin, done);
    while (token->rstrip && end < text.size()) {
      const auto next = code_point_at(text, end);
      if (!is_white_space(next.value)) break;
      end += next.length_bytes;
    }
    text_until(begin);
    segments.push_back({begin, end, token});
    done = at = end;
  }
  text_until(text.size());
  return segments;
}

}  // namespace ditscope
