// Sparse VideoGen: every head runs one band, over tokens frame after frame (a spatial head) or site after site (a temporal head),
// whichever comes closer to full attention on a few sampled rows.
//
// Xi et al., ICML 2025, arXiv:2502.01776, N tokens, C of them text, F tokens a frame:
//   mask:    core/attention/svg_band.h; the same for both kinds, in the head's own order
//   choice:  n_s sampled query rows; MSE of the two masked outputs against the full one over (rows, D); the smaller wins
//   profiling masks, blocks of 128 of the visual part: |b_i - b_j| < floor(1.5 F / 128) with text, else < floor(2 F / 128); text rows
//   and columns on; the temporal one counts blocks site after site
//   sink:    keys of the first frame kept by all, in both; the code for models without text among the tokens (`first_frame_sink`)
//
// Differs from the paper:
// - Rows are drawn from all tokens by a generator of our own that depends on layer, step and guidance branch; the code uses the
//   process's, and for HunyuanVideo and Wan only the first 10000 rows (`sampled_from`).
// - The profiling band is at least one block wide, so that frames below 86 tokens have one.
// - For CogVideoX the code counts the blocks of the spatial profiling mask from the first text token: `profiling=code`.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/attention/block_grid.h"
#include "core/attention/methods.h"
#include "core/attention/svg_band.h"

namespace ditscope {

std::int64_t svg_band_tokens(const TokenLayout& layout, double kept_ratio) {
  const auto tokens = static_cast<double>(layout.tokens());
  const double visual = kept_ratio - 2 * static_cast<double>(layout.text_tokens) / tokens;
  const double width = tokens * (1 - std::sqrt(1 - std::clamp(visual, 0.0, 1.0)));
  const double blocks = layout.text_tokens > 0 ? std::floor(width / 128) : std::ceil(width / 128);
  return std::max<std::int64_t>(128 * static_cast<std::int64_t>(blocks), 1);
}

BlockMask svg_mask(const TokenLayout& layout, double kept_ratio, bool first_frame) {
  const std::int64_t tokens = layout.tokens(), begin = layout.visual_begin(), end = begin + layout.visual_tokens();
  const std::int64_t reach = svg_band_tokens(layout, kept_ratio) - (layout.text_tokens > 0 ? 1 : 0);
  const auto span = [](std::int64_t from, std::int64_t to) { return TokenSpan{static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)}; };
  MaskDescription d;
  d.queries = d.keys = tokens;
  const bool text_last = layout.text_tokens > 0 && !layout.text_first;
  const std::int64_t sink = first_frame ? begin + layout.sites() : begin;  // where keys that all rows keep end
  d.always = text_last ? span(end, tokens) : span(0, sink);
  d.spans_per_row = text_last ? 2 : 1;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const bool text = i < begin || i >= end;
    const TokenSpan band = text ? span(0, tokens) : span(std::max<std::int64_t>(i - reach, 0), std::min(i + reach + 1, tokens));
    const bool apart = text_last && band.begin > sink;  // a sink that `always` does not hold
    if (text_last) d.spans.push_back(apart ? span(0, sink) : span(0, 0));
    d.spans.push_back(apart || !text_last ? band : span(0, std::max<std::int64_t>(band.end, sink)));
  }
  return BlockMask(d);
}

namespace {

/// What the layout decides.
struct Orders {
  at::Tensor spatial, temporal;  // (T) token in each slot, text in place
  std::shared_ptr<const BlockMask> mask;
  at::Tensor spatial_block, temporal_block;  // (T) profiling block by spatial slot, -1 for text
  at::Tensor first_frame;                    // (T) bool by spatial slot
};

Orders orders_of(const TokenLayout& l, double kept_ratio, bool count_text, bool first_frame) {
  const std::int64_t tokens = l.tokens(), begin = l.visual_begin(), sites = l.sites();
  std::vector<std::int64_t> spatial, temporal, spatial_block, temporal_block, first;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t v = i - begin;
    const bool text = v < 0 || v >= l.visual_tokens();
    const auto token = [&](std::int64_t frame, std::int64_t site) {
      return begin + (l.order == TokenOrder::FrameMajor ? frame * sites + site : site * l.frames + frame);
    };
    spatial.push_back(text ? i : token(v / sites, v % sites));
    temporal.push_back(text ? i : token(v % l.frames, v / l.frames));
    spatial_block.push_back(text ? -1 : (count_text ? i : v) / 128);
    temporal_block.push_back(text ? -1 : (v % sites * l.frames + v / sites) / 128);
    first.push_back(!text && v < sites);
  }
  return {at::tensor(spatial, at::kLong),       at::tensor(temporal, at::kLong),
          std::make_shared<const BlockMask>(svg_mask(l, kept_ratio, first_frame)), at::tensor(spatial_block, at::kLong),
          at::tensor(temporal_block, at::kLong), at::tensor(first, at::kLong).to(at::kBool)};
}

class SparseVideoGen final : public Planner {
 public:
  struct Parameters {
    double kept_ratio = 0.25;
    std::int64_t rows = 64, sampled_from = 0;  ///< of the first tokens; 0: of all
    bool count_text = false;
    std::string first_frame = "auto";  ///< kept by all rows: on, off, or where there is no text
  };

  explicit SparseVideoGen(const Parameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<SparseVideoGen>(*this); }
  std::optional<double> requested_kept_ratio() const override { return p_.kept_ratio; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const Orders& orders = *orders_.of(call.layout, [&] { return std::make_shared<const Orders>(orders_of(call.layout, p_.kept_ratio, p_.count_text, sink(call.layout))); });
    const at::Tensor temporal = call.layout.frames > 1 ? temporal_heads(call, batch, orders) : at::zeros({call.q.size(1)}, at::kBool);
    const bool none = !temporal.any().item<bool>();
    std::shared_ptr<const Arrangement> arrangement;
    if (!none)
      arrangement = Arrangement::make(call.q.size(2), at::where(temporal.unsqueeze(1), orders.temporal.unsqueeze(0), orders.spatial.unsqueeze(0)));
    else if (call.layout.order != TokenOrder::FrameMajor)
      arrangement = Arrangement::make(call.q.size(2), orders.spatial);
    Planned planned{std::make_shared<const Selection>(orders.mask, arrangement)};
    planned.search_kept_ratio = static_cast<double>(std::min(p_.rows, call.q.size(2))) / static_cast<double>(call.q.size(2));
    return planned;
  }

  std::int64_t bytes_held() const override {
    const auto& orders = orders_.latest();
    return orders ? orders->mask->bytes() + static_cast<std::int64_t>(orders->spatial.nbytes()) * 4 + static_cast<std::int64_t>(orders->first_frame.nbytes()) : 0;
  }

 private:
  bool sink(const TokenLayout& layout) const { return p_.first_frame == "on" || (p_.first_frame == "auto" && layout.text_tokens == 0); }

  /// Which heads the temporal band serves better.
  at::Tensor temporal_heads(const LayerCall& call, std::int64_t batch, const Orders& orders) const {  // (H) bool
    const std::int64_t tokens = call.q.size(2), count = std::min(p_.rows, tokens), among = p_.sampled_from > 0 ? std::min(p_.sampled_from, tokens) : tokens;
    const bool conditional = call.branches.empty() || call.branches[static_cast<std::size_t>(batch)] == Branch::Conditional;
    std::mt19937_64 random(static_cast<std::uint64_t>(call.step) * 4099 + static_cast<std::uint64_t>(call.layer) * 2 + conditional);
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < count; ++r) rows.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(among)));
    const at::Tensor chosen = at::tensor(rows, at::kLong);  // spatial slots
    const auto device = call.q.device();
    const at::Tensor spatial = orders.spatial.to(device);
    const at::Tensor q = call.q[batch].index_select(1, spatial.index_select(0, chosen.to(device))).to(at::kFloat);  // (H,R,D)
    const at::Tensor k = call.k[batch].index_select(1, spatial).to(at::kFloat), v = call.v[batch].index_select(1, spatial).to(at::kFloat);
    at::Tensor logits = at::matmul(q, k.transpose(1, 2)) * call.scale;  // (H,R,T)
    if (call.key_mask.defined())
      logits.masked_fill_(call.key_mask[batch].index_select(0, spatial).logical_not(), -std::numeric_limits<double>::infinity());
    const at::Tensor full = at::matmul(at::softmax(logits, 2), v);  // (H,R,D)
    const auto error = [&](const at::Tensor& blocks) {             // (H)
      const at::Tensor kept = profile(call.layout, blocks, chosen, sink(call.layout) ? orders.first_frame : at::Tensor()).to(device);
      const at::Tensor some = at::matmul(at::softmax(logits.masked_fill(kept.logical_not(), -std::numeric_limits<double>::infinity()), 2), v);
      return (some - full).square().mean({1, 2});
    };
    return error(orders.temporal_block).lt(error(orders.spatial_block)).to(at::kCPU);
  }

  static at::Tensor profile(const TokenLayout& l, const at::Tensor& blocks, const at::Tensor& rows, const at::Tensor& first_frame) {  // (R,T); undefined: no sink
    const bool text = l.text_tokens > 0;
    const std::int64_t width = std::max<std::int64_t>((text ? l.sites() * 3 / 2 : l.sites() * 2) / 128, 1);
    const at::Tensor row = blocks.index_select(0, rows).unsqueeze(1), column = blocks.unsqueeze(0);
    at::Tensor kept = (row - column).abs().lt(width).logical_or(row.lt(0)).logical_or(column.lt(0));
    return first_frame.defined() ? kept.logical_or(first_frame.unsqueeze(0)) : kept;
  }

  Parameters p_;
  PerLayout<Orders> orders_;
};

}  // namespace

std::unique_ptr<Planner> make_svg(const ParameterValues& parameters, int) {
  const auto integer = [&](const char* key) { return std::get<std::int64_t>(parameters.at(key)); };
  const auto text = [&](const char* key) { return std::get<std::string>(parameters.at(key)); };
  return std::make_unique<SparseVideoGen>(SparseVideoGen::Parameters{std::get<double>(parameters.at("kept_ratio")), integer("sampled_rows"),
                                                                     integer("sampled_from"), text("profiling") == "code", text("first_frame_sink")});
}

}  // namespace ditscope
