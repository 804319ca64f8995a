// Window: the static mask of Re-ttention and DiTFastAttn. By itself it has nothing that makes up for what it skips; what a correction
// is worth shows against it.
//
//   O_i = softmax over S_i of (scale * q_i k_j) V
//   S_i = all tokens                                          if i is text
//         text and { j : |site(i) - site(j)| <= half }        else, in all frames; site = place within the frame, in raster order
//   half = floor(floor(sites * kept_ratio) / 2)
//
// `window=band` is DiTFastAttn's instead: |i - j| <= floor(visual tokens * kept_ratio / 2) on the flat order of visual tokens, its w = N/8 at
// kept_ratio 1/4; text as above (its sequel's "arrow").
//
// The mask is that of Re-ttention, NeurIPS 2025, arXiv:2505.22918, Sec. 4; the schedule gives it the same full steps, as the
// paper does for its baselines. Differs from the paper: nothing; the paper shows this window only with its corrections.
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/attention/methods.h"
#include "core/attention/block_grid.h"
#include "core/attention/window_plan.h"
#include "kernels/keep_reason.h"

namespace ditscope {

BlockMask window_mask(const TokenLayout& layout, double kept_ratio) {
  const std::int64_t sites = layout.sites(), frames = layout.frames, tokens = layout.tokens(), begin = layout.visual_begin();
  const std::int64_t half = static_cast<std::int64_t>(static_cast<double>(sites) * kept_ratio) / 2;
  const auto span = [](std::int64_t from, std::int64_t to) {
    return TokenSpan{static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)};
  };
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.always = layout.text_first ? span(0, layout.text_tokens) : span(tokens - layout.text_tokens, tokens);
  const bool one_band = layout.order == TokenOrder::PositionMajor || frames == 1;
  d.spans_per_row = one_band ? 1 : static_cast<int>(frames);
  d.spans.reserve(static_cast<std::size_t>(tokens) * d.spans_per_row);
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t visual = i - begin;
    if (visual < 0 || visual >= layout.visual_tokens()) {  // a text query sees everything
      d.spans.push_back(span(0, tokens));
      for (int s = 1; s < d.spans_per_row; ++s) d.spans.push_back(span(tokens, tokens));
      continue;
    }
    const std::int64_t site = one_band ? visual / frames : visual % sites;
    const std::int64_t first = std::max<std::int64_t>(site - half, 0), last = std::min(site + half + 1, sites);
    if (one_band) {
      d.spans.push_back(span(begin + first * frames, begin + last * frames));
    } else {
      for (std::int64_t f = 0; f < frames; ++f) d.spans.push_back(span(begin + f * sites + first, begin + f * sites + last));
    }
  }
  return BlockMask(d);
}

BlockMask band_mask(const TokenLayout& layout, double kept_ratio) {
  TokenLayout flat = layout;  // one frame whose sites are all visual tokens
  flat.rows = 1;
  flat.columns = layout.visual_tokens();
  flat.frames = 1;
  return window_mask(flat, kept_ratio);
}

namespace {

class Window final : public Planner {
 public:
  Window(double kept_ratio, bool band) : kept_ratio_(kept_ratio), band_(band) {}

  std::unique_ptr<Planner> clone() const override { return std::make_unique<Window>(*this); }
  /// Position-major where the window then needs fewer blocks: several frames of several sites.
  TokenOrder preferred_order(const TokenLayout& layout) const override {
    return !band_ && layout.frames > 1 && layout.sites() > 1 ? TokenOrder::PositionMajor : TokenOrder::FrameMajor;
  }
  std::optional<double> requested_kept_ratio() const override { return kept_ratio_; }

  Planned plan(const LayerCall& call, std::int64_t) override {
    return {selection_.of(call.layout, [&] {
      const TokenLayout& l = call.layout;
      auto mask = std::make_shared<const BlockMask>(band_ ? band_mask(l, kept_ratio_) : window_mask(l, kept_ratio_));
      const bool reordered = band_ && l.order != TokenOrder::FrameMajor;
      auto selection = reordered ? std::make_shared<Selection>(std::move(mask), frames_in_order(l)) : std::make_shared<Selection>(std::move(mask));
      selection->set_reasons(at::full({1, 1, 1}, static_cast<int>(KeepReason::Window), at::kByte));
      return std::shared_ptr<const Selection>(selection);
    })};
  }

  void add_selections(std::set<const Selection*>& to) const override { selection_.add_to(to); }

 private:
  /// Frame after frame, of position-major tokens; text in place.
  static std::shared_ptr<const Arrangement> frames_in_order(const TokenLayout& l) {
    std::vector<std::int64_t> tokens(static_cast<std::size_t>(l.tokens()));
    std::iota(tokens.begin(), tokens.end(), 0);
    for (std::int64_t p = 0; p < l.visual_tokens(); ++p)
      tokens[static_cast<std::size_t>(l.visual_begin() + p)] = l.visual_begin() + p % l.sites() * l.frames + p / l.sites();
    return Arrangement::make(l.tokens(), at::tensor(tokens, at::kLong));
  }

  double kept_ratio_;
  bool band_;
  PerLayout<Selection> selection_;
};

}  // namespace

std::unique_ptr<Planner> make_window(const ParameterValues& parameters, int) {
  const auto shape = parameters.find("window");
  return std::make_unique<Window>(std::get<double>(parameters.at("kept_ratio")),
                                  shape != parameters.end() && std::get<std::string>(shape->second) == "band");
}

}  // namespace ditscope
