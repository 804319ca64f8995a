#include "core/text/unigram.h"

#include <algorithm>
#include <limits>

#include "core/text/unicode.h"

namespace ditscope {
namespace {

constexpr double kUnknownPenalty = 10.0;

PrefixTrie trie_of(const std::vector<std::pair<std::string, double>>& pieces) {
  std::vector<std::pair<std::string, std::int32_t>> entries;
  entries.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) entries.emplace_back(pieces[i].first, static_cast<std::int32_t>(i));
  return PrefixTrie(std::move(entries));
}

}  // namespace

Unigram::Unigram(const std::vector<std::pair<std::string, double>>& pieces, std::int64_t unk_id)
    : trie_(trie_of(pieces)), unk_id_(unk_id) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [text, score] : pieces) {
    scores_.push_back(score);
    lowest = std::min(lowest, score);
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

void Unigram::cut(std::string_view word, std::vector<Token>& out) const {
  struct Best {
    double score = 0;
    std::int64_t id = 0;
    std::size_t begin = std::string_view::npos;  // of the last piece on the best way to this byte
  };
  std::vector<Best> best(word.size() + 1);
  for (std::size_t at = 0; at < word.size();) {
    const auto score = best[at].score;
    const auto character = code_point_at(word, at).length_bytes;
    bool known = false;
    const auto offer = [&](std::size_t length, std::int64_t id, double piece_score) {
      auto& there = best[at + length];
      if (there.begin == std::string_view::npos || score + piece_score > there.score) there = {score + piece_score, id, at};
    };
    trie_.prefixes(word.substr(at), [&](std::size_t length, std::int32_t id) {
      offer(length, id, scores_[static_cast<std::size_t>(id)]);
      known = known || length == character;
    });
    if (!known) offer(character, unk_id_, unknown_score_);
    at += character;
  }
  const auto first = out.size();
  for (std::size_t end = word.size(); end > 0;) {
    const auto& last = best[end];
    if (last.id == unk_id_ && out.size() > first && out.back().id == unk_id_) {
      out.back().begin = last.begin;
    } else {
      out.push_back({last.id, last.begin, end});
    }
    end = last.begin;
  }
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

}  // namespace ditscope
