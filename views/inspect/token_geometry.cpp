#include "views/inspect/token_geometry.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ditscope::views {
namespace {

using Json = nlohmann::json;

struct Span {
  std::int64_t begin = 0, end = 0;
};

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

TokenGeometry::TokenGeometry(const CaptureRun& run)
    : text_tokens_(run.text_tokens),
      text_first_(run.text_first),
      position_major_(run.token_order == "position_major"),
      frames_(run.grid_frames),
      rows_(run.grid_rows),
      columns_(run.grid_columns),
      video_frames_(std::max(run.frames, 1)),
      width_px_(run.width_px),
      height_px_(run.height_px) {
  pieces_.resize(run.branches.size());
  words_.resize(run.branches.size());
  // The words come from the file: what is no list of [id, piece, begin, end] names no words.
  const Json all = Json::parse(run.words, nullptr, false);
  if (!all.is_array()) return;
  for (std::size_t branch = 0; branch < std::min(run.branches.size(), all.size()); ++branch) {
    const std::string& prompt = run.branches[branch] == "unconditional" ? run.negative_prompt : run.prompt;
    std::vector<Span> spans;
    if (!all[branch].is_array()) continue;
    for (const Json& entry : all[branch]) {
      if (static_cast<std::int64_t>(spans.size()) == text_tokens_) break;
      if (!entry.is_array() || entry.size() != 4 || !entry[1].is_string() || !entry[2].is_number_integer() || !entry[3].is_number_integer()) break;
      const auto length = static_cast<std::int64_t>(prompt.size());
      const std::int64_t begin = std::clamp<std::int64_t>(entry[2].get<std::int64_t>(), 0, length);
      spans.push_back({begin, std::clamp<std::int64_t>(entry[3].get<std::int64_t>(), begin, length)});
      pieces_[branch].push_back({entry[1].get<std::string>(), spans.back().begin == spans.back().end});
    }
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(prompt.size());) {
      while (at < static_cast<std::int64_t>(prompt.size()) && is_space(prompt[at])) ++at;
      std::int64_t end = at;
      while (end < static_cast<std::int64_t>(prompt.size()) && !is_space(prompt[end])) ++end;
      if (end == at) break;
      Word word{prompt.substr(at, end - at), {}};
      for (std::size_t i = 0; i < spans.size(); ++i) {
        // A piece may begin with the space before its word; it belongs to the word in which it ends.
        if (spans[i].end > at && spans[i].end <= end && spans[i].begin < spans[i].end) {
          word.tokens.push_back((text_first_ ? 0 : visual_tokens()) + static_cast<std::int64_t>(i));
        }
      }
      words_[branch].push_back(std::move(word));
      at = end;
    }
  }
}

bool TokenGeometry::is_text(std::int64_t token) const { return text_index(token) >= 0; }

std::int64_t TokenGeometry::text_index(std::int64_t token) const {
  const std::int64_t index = text_first_ ? token : token - visual_tokens();
  return token >= 0 && index >= 0 && index < text_tokens_ ? index : -1;
}

TokenPlace TokenGeometry::place(std::int64_t token) const {
  if (const std::int64_t text = text_index(token); text >= 0) return {-1, static_cast<int>(text), 0};
  const std::int64_t visual = token - visual_begin(), sites = std::int64_t{rows_} * columns_;
  return {static_cast<int>(visual / sites), static_cast<int>(visual % sites / columns_), static_cast<int>(visual % columns_)};
}

std::int64_t TokenGeometry::token(int frame, int row, int column) const {
  return visual_begin() + (std::int64_t{frame} * rows_ + row) * columns_ + column;
}

std::string TokenGeometry::name(std::int64_t token, int branch) const {
  if (token < 0 || token >= tokens()) return "no token";
  if (const std::int64_t text = text_index(token); text >= 0) {
    const bool known = branch >= 0 && branch < static_cast<int>(pieces_.size()) && text < static_cast<std::int64_t>(pieces_[branch].size());
    if (!known) return "(pad " + std::to_string(text) + ")";
    std::string piece = pieces_[branch][text].text;
    if (pieces_[branch][text].special) return "(" + piece + ")";
    if (piece.rfind("\u2581", 0) == 0 && piece.size() > 3) piece.erase(0, 3);  // SentencePiece's sign for a space before
    return "'" + piece + "'";
  }
  const TokenPlace at = place(token);
  return "(" + std::to_string(at.frame) + ", " + std::to_string(at.row) + ", " + std::to_string(at.column) + ")";
}

std::int64_t TokenGeometry::to_call(std::int64_t token) const {
  if (!position_major_ || is_text(token)) return token;
  const TokenPlace at = place(token);
  return visual_begin() + (std::int64_t{at.row} * columns_ + at.column) * frames_ + at.frame;
}

std::int64_t TokenGeometry::from_call(std::int64_t call_token) const {
  if (!position_major_ || is_text(call_token)) return call_token;
  const std::int64_t visual = call_token - visual_begin(), site = visual / frames_;
  return token(static_cast<int>(visual % frames_), static_cast<int>(site / columns_), static_cast<int>(site % columns_));
}

int TokenGeometry::grid_frame(int video_frame) const {
  if (video_frame <= 0 || frames_ == 1 || video_frames_ == 1) return 0;
  const double per_frame = static_cast<double>(video_frames_ - 1) / (frames_ - 1);
  return std::min(frames_ - 1, static_cast<int>(std::ceil(video_frame / per_frame - 1e-9)));
}

TokenPixels TokenGeometry::pixels(std::int64_t token) const {
  const TokenPlace at = place(token);
  TokenPixels pixels;
  if (frames_ > 1 && at.frame > 0) {
    const double per_frame = static_cast<double>(video_frames_ - 1) / (frames_ - 1);
    pixels.first_frame = static_cast<int>(std::floor((at.frame - 1) * per_frame + 1e-9)) + 1;
    pixels.last_frame = static_cast<int>(std::floor(at.frame * per_frame + 1e-9));
  } else if (frames_ == 1) {
    pixels.last_frame = video_frames_ - 1;
  }
  const double width = static_cast<double>(width_px_) / columns_, height = static_cast<double>(height_px_) / rows_;
  pixels.area = {at.column * width, at.row * height, width, height};
  return pixels;
}

std::int64_t TokenGeometry::token_at(int video_frame, double x_px, double y_px) const {
  if (video_frame < 0 || video_frame >= video_frames_ || !(x_px >= 0 && x_px < width_px_ && y_px >= 0 && y_px < height_px_)) return -1;
  const int column = std::min(columns_ - 1, static_cast<int>(x_px * columns_ / width_px_));
  const int row = std::min(rows_ - 1, static_cast<int>(y_px * rows_ / height_px_));
  return token(frames_ == 1 ? 0 : grid_frame(video_frame), row, column);
}

const std::vector<TokenGeometry::Word>& TokenGeometry::words(int branch) const {
  static const std::vector<Word> kNone;
  return branch >= 0 && branch < static_cast<int>(words_.size()) ? words_[branch] : kNone;
}

}  // namespace ditscope::views
