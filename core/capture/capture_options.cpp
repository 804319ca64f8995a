#include "core/capture/capture_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <climits>
#include <cmath>

#include "core/capture/records.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr int kLargestIndex = 1 << 20;

int parse_index(std::string_view text, const std::string& whole) {
  int value = -1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || value < 0 || value > kLargestIndex)
    throw Error(ErrorKind::InvalidArgument, "expected none, all, every:N or numbers such as \"0,3-5,20-\", got \"" + whole +
                                                "\" (at \"" + std::string(text) + "\"); numbers are 0 to " + std::to_string(kLargestIndex));
  return value;
}

}  // namespace

IndexSet::IndexSet(const std::string& text) : text_(text) {
  if (text == "none" || text.empty()) {
    text_ = "none";
    return;
  }
  if (text == "all") {
    ranges_ = {{0, INT_MAX}};
    return;
  }
  if (text.starts_with("every:")) {
    every_ = parse_index(std::string_view(text).substr(6), text);
    if (every_ == 0) parse_index("", text);
    return;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = std::string_view(text).substr(begin, end - begin);
    const std::size_t dash = part.find('-');
    const int first = parse_index(part.substr(0, dash), text);
    const int last = dash == std::string_view::npos ? first : dash + 1 == part.size() ? INT_MAX : parse_index(part.substr(dash + 1), text);
    if (last < first) throw Error(ErrorKind::InvalidArgument, "expected a range from low to high, got \"" + std::string(part) + "\"");
    ranges_.emplace_back(first, last);
    begin = end + 1;
  }
}

bool IndexSet::contains(int index) const {
  if (every_ > 0) return index % every_ == 0;
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& range) { return index >= range.first && index <= range.second; });
}

int IndexSet::count(int count) const {
  int found = 0;
  for (int i = 0; i < count; ++i) found += contains(i);
  return found;
}

CaptureOptions::Level parse_capture_level(const std::string& text) {
  if (text == "off") return CaptureOptions::Level::Off;
  if (text == "summary") return CaptureOptions::Level::Summary;
  if (text == "full") return CaptureOptions::Level::Full;
  throw Error(ErrorKind::InvalidArgument, "expected a capture level off, summary or full, got \"" + text + "\"; choose one of these");
}

const char* capture_level_name(CaptureOptions::Level level) {
  return level == CaptureOptions::Level::Full ? "full" : level == CaptureOptions::Level::Summary ? "summary" : "off";
}

std::int64_t parse_bytes(const std::string& text) {
  std::size_t taken = 0;
  double value = -1;
  try {
    value = std::stod(text, &taken);
  } catch (const std::exception&) {
    taken = 0;
  }
  std::string unit;
  for (const char c : text.substr(taken))
    if (c != ' ') unit += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  static const std::map<std::string, double> kUnits{{"", 1},           {"B", 1},           {"KB", 1e3},        {"MB", 1e6},
                                                    {"GB", 1e9},       {"TB", 1e12},       {"KIB", 1024},      {"MIB", 1048576},
                                                    {"GIB", 1073741824}, {"TIB", 1099511627776}};
  const auto found = kUnits.find(unit);
  if (taken == 0 || found == kUnits.end() || !(value >= 0) || value * found->second > 9e15)
    throw Error(ErrorKind::InvalidArgument, "expected a size such as 500MB or 2GiB, got \"" + text + "\"; give a number and a unit");
  return static_cast<std::int64_t>(std::llround(value * found->second));
}

std::int64_t sampled_cells(CaptureOptions::Level level, std::int64_t tokens) {
  return level == CaptureOptions::Level::Full ? kMap_cells : std::clamp<std::int64_t>(tokens / 96, 16, 64);
}

CaptureEstimate estimate_capture(const CaptureOptions& options, const CaptureSizes& s) {
  CaptureEstimate estimate;
  if (options.level == CaptureOptions::Level::Off) return estimate;
  const bool full = options.level == CaptureOptions::Level::Full;
  const auto cells_of = [&](std::int64_t block) { return static_cast<std::int64_t>(map_edges(s.text_tokens, true, s.tokens, block).size()) - 1; };
  const std::int64_t rows = cells_of(map_block_tokens(s.text_tokens, true, s.tokens, sampled_cells(options.level, s.tokens)));
  const std::int64_t heads = std::int64_t{s.layers} * s.branches * s.heads, blocks = (s.tokens + 63) / 64;
  const int chosen_steps = options.steps.count(s.steps), chosen_layers = options.layers.count(s.layers), shadowed = options.shadow.count(s.steps);
  const std::int64_t chosen_heads = std::int64_t{chosen_steps} * chosen_layers * s.branches * s.heads;
  auto& parts = estimate.parts;
  constexpr std::int64_t kHead_bytes = 260, kStep_bytes = 400;
  parts["scalars"] = s.steps * (heads * kHead_bytes + kStep_bytes);
  parts["latents"] = (s.steps + 1) * s.latent_bytes;
  parts["previews"] = s.steps * s.preview_bytes;
  parts["frames"] = s.frames_bytes;
  parts["text"] = s.text_bytes;
  parts["sampled rows"] = s.steps * heads * rows * 6;
  parts["maps"] = s.steps * heads * rows * rows;
  if (full) parts["row log-sum-exp"] = s.dense_steps * heads * s.tokens * 2;
  parts["masks"] = (s.steps - s.dense_steps) * heads * blocks * ((blocks + 7) / 8);
  parts["mask reasons"] = (full ? (s.steps - s.dense_steps) * heads : kSummaryReasons) * blocks * blocks;
  if (shadowed > 0) {
    const std::int64_t cells = cells_of(map_block_tokens(s.text_tokens, true, s.tokens, kMap_cells));
    parts["shadow"] = shadowed * heads * (s.tokens * 4 + cells * cells);
  }
  if (chosen_heads > 0)
    parts["q, k, v"] = chosen_heads * (3 * s.tokens * s.head_width * 2 + cells_of(64) * cells_of(64) + s.tokens * 2);
  for (const auto& [name, bytes] : parts) estimate.bytes += bytes;
  estimate.bytes += estimate.bytes / 20;
  estimate.essential_step_bytes = (heads * kHead_bytes + kStep_bytes + s.latent_bytes) * 21 / 20;
  estimate.essential_end_bytes = (s.latent_bytes + s.frames_bytes) * 21 / 20;
  return estimate;
}

}  // namespace ditscope
