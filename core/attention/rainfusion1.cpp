// RainFusion 1: every head is spatial, temporal or textural, whichever of the three static patterns holds enough of its attention.
//
// 2025, arXiv:2505.21036, F frames of sites, bandwidth b:
//   spatial:   keys of frames |f_i - f_j| <= floor(b F / 2) and of the key frame 0, whole
//   temporal:  keys of sites |site_i - site_j| <= floor(floor(b sites) / 2), in every frame
//   textural:  keys with i mod tau = j mod tau: a checkerboard, about 1/tau of them
//   choice, at every call, on q and k taken every omega-th token: temporal if its share of attention >= alpha, else spatial if its
//   share is, else textural
//   "plus": of the bandwidths 1/8, 1/4, 1/2 the least with which one of the two reaches alpha
//   text rows and columns are always kept
//
// Differs from the paper: it gives no alpha and no omega; ours are knobs, 0.9 and 8. It also looks at the first frame by itself; ours
// samples all frames. Its checkerboard serves kernels that gather keys; ours lays tokens class by class.
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <numeric>

#include "core/attention/block_grid.h"
#include "core/attention/methods.h"
#include "core/attention/window_plan.h"

namespace ditscope {
namespace {

struct RainFusion1Parameters {
  std::vector<double> bandwidths;  ///< ascending: the first that serves is taken
  double recall = 0.9;
  std::int64_t stride = 8, classes = 2;
};

std::int64_t near_frames(const TokenLayout& l, double bandwidth) {
  return static_cast<std::int64_t>(bandwidth * static_cast<double>(l.frames) / 2);
}

std::int64_t near_sites(const TokenLayout& l, double bandwidth) {
  return static_cast<std::int64_t>(static_cast<double>(l.sites()) * bandwidth) / 2;
}

/// The patterns of a layout, over slots: visual tokens frame after frame, for textural heads class after class; text in place.
struct Patterns {
  struct Band {
    std::shared_ptr<const BlockMask> spatial, temporal;
  };
  std::vector<Band> bands;  ///< one a bandwidth
  std::shared_ptr<const BlockMask> textural;
  at::Tensor by_frame, by_class;  // (T) token of each slot
};

MaskDescription describe(const TokenLayout& l, int spans_per_row) {
  MaskDescription d;
  d.queries = d.keys = l.tokens();
  d.spans_per_row = spans_per_row;
  const auto begin = static_cast<std::int32_t>(l.visual_begin()), end = static_cast<std::int32_t>(l.visual_begin() + l.visual_tokens());
  d.always = l.text_first ? TokenSpan{0, begin} : TokenSpan{end, static_cast<std::int32_t>(l.tokens())};
  return d;
}

/// A mask whose visual rows keep what spans_of(row, spans) says, in places among the visual tokens; text rows keep everything.
template <typename SpansOf>
std::shared_ptr<const BlockMask> mask_of(const TokenLayout& l, int spans_per_row, const SpansOf& spans_of) {
  MaskDescription d = describe(l, spans_per_row);
  const auto tokens = static_cast<std::int32_t>(l.tokens());
  for (std::int64_t i = 0; i < l.tokens(); ++i) {
    const std::int64_t v = i - l.visual_begin();
    std::vector<TokenSpan> spans{{0, tokens}};
    if (v >= 0 && v < l.visual_tokens()) {
      spans.clear();
      spans_of(v, spans);
      for (TokenSpan& span : spans) {
        span.begin += static_cast<std::int32_t>(l.visual_begin());
        span.end += static_cast<std::int32_t>(l.visual_begin());
      }
    }
    spans.resize(static_cast<std::size_t>(spans_per_row), {tokens, tokens});
    d.spans.insert(d.spans.end(), spans.begin(), spans.end());
  }
  return std::make_shared<const BlockMask>(d);
}

Patterns patterns_of(const TokenLayout& layout, const RainFusion1Parameters& p) {
  TokenLayout l = layout;
  l.order = TokenOrder::FrameMajor;  // as the slots lie
  Patterns all;
  for (const double bandwidth : p.bandwidths) {
    const std::int64_t near = near_frames(l, bandwidth), sites = l.sites();
    auto spatial = mask_of(l, 2, [&](std::int64_t v, std::vector<TokenSpan>& spans) {
      const std::int64_t frame = v / sites, first = std::max<std::int64_t>(frame - near, 0), last = std::min(frame + near + 1, l.frames);
      if (first > 0) spans.push_back({0, static_cast<std::int32_t>(sites)});
      spans.push_back({static_cast<std::int32_t>(first * sites), static_cast<std::int32_t>(last * sites)});
    });
    all.bands.push_back({std::move(spatial), std::make_shared<const BlockMask>(window_mask(l, bandwidth))});
  }
  std::vector<std::int64_t> by_frame, by_class;
  std::vector<std::int64_t> starts{0};  // of the classes, in places among visual tokens
  for (std::int64_t c = 0; c < p.classes; ++c) {
    for (std::int64_t v = c; v < l.visual_tokens(); v += p.classes) by_class.push_back(v);
    starts.push_back(static_cast<std::int64_t>(by_class.size()));
  }
  all.textural = mask_of(l, 1, [&](std::int64_t v, std::vector<TokenSpan>& spans) {
    std::size_t c = 0;
    while (v >= starts[c + 1]) ++c;
    spans.push_back({static_cast<std::int32_t>(starts[c]), static_cast<std::int32_t>(starts[c + 1])});
  });
  const auto tokens_of = [&](const std::vector<std::int64_t>& raster) {
    std::vector<std::int64_t> tokens(static_cast<std::size_t>(l.tokens()));
    std::iota(tokens.begin(), tokens.end(), 0);
    for (std::size_t p_ = 0; p_ < raster.size(); ++p_) {
      const std::int64_t v = raster[p_];
      const std::int64_t place = layout.order == TokenOrder::FrameMajor ? v : v % l.sites() * l.frames + v / l.sites();
      tokens[static_cast<std::size_t>(l.visual_begin()) + p_] = l.visual_begin() + place;
    }
    return at::tensor(tokens, at::kLong);
  };
  by_frame.resize(static_cast<std::size_t>(l.visual_tokens()));
  std::iota(by_frame.begin(), by_frame.end(), 0);
  all.by_frame = tokens_of(by_frame);
  all.by_class = tokens_of(by_class);
  return all;
}

class RainFusion1 final : public Planner {
 public:
  explicit RainFusion1(RainFusion1Parameters parameters) : p_(std::move(parameters)) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<RainFusion1>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const TokenLayout& l = call.layout;
    const Patterns& patterns = *patterns_.of(l, [&] { return std::make_shared<const Patterns>(patterns_of(l, p_)); });
    const std::int64_t heads = call.q.size(1);
    const std::vector<at::Tensor> recalls = recalls_of(call, batch, patterns);  // per bandwidth (2,H): temporal, spatial
    std::vector<std::shared_ptr<const BlockMask>> masks;
    std::vector<at::Tensor> orders;
    for (std::int64_t h = 0; h < heads; ++h) {
      masks.push_back(patterns.textural);
      orders.push_back(patterns.by_class);
      for (std::size_t b = 0; b < recalls.size() && masks.back() == patterns.textural; ++b) {
        const bool temporal = recalls[b][0][h].item<double>() >= p_.recall;
        if (!temporal && recalls[b][1][h].item<double>() < p_.recall) continue;
        masks.back() = temporal ? patterns.bands[b].temporal : patterns.bands[b].spatial;
        orders.back() = patterns.by_frame;
      }
    }
    const auto arrangement = Arrangement::make(l.tokens(), at::stack(orders));
    Planned planned;
    planned.selection = heads == 1 ? std::make_shared<const Selection>(masks[0], arrangement)
                                   : std::make_shared<const Selection>(std::move(masks), arrangement);
    const double sampled = 1.0 / static_cast<double>(p_.stride);
    planned.search_kept_ratio = sampled * sampled / 2;  // q and k alone
    return planned;
  }

  std::int64_t bytes_held() const override {
    const auto& patterns = patterns_.latest();
    if (!patterns) return 0;
    std::int64_t bytes = patterns->textural->bytes() + static_cast<std::int64_t>(patterns->by_frame.nbytes() + patterns->by_class.nbytes());
    for (const auto& band : patterns->bands) bytes += band.spatial->bytes() + band.temporal->bytes();
    return bytes;
  }

 private:
  /// Shares of attention that the temporal and the spatial pattern hold between sampled tokens.
  std::vector<at::Tensor> recalls_of(const LayerCall& call, std::int64_t batch, const Patterns& patterns) const {
    const TokenLayout& l = call.layout;
    const at::Tensor visual = patterns.by_frame.slice(0, l.visual_begin(), l.visual_begin() + l.visual_tokens());
    const at::Tensor places = at::arange(0, l.visual_tokens(), p_.stride, at::kLong);  // (R) raster places
    const at::Tensor tokens = visual.index_select(0, places).to(call.q.device());
    const at::Tensor text = at::arange(l.text_tokens, at::kLong) + (l.text_first ? 0 : l.visual_tokens());
    const auto rows = [&](const at::Tensor& x, const at::Tensor& index) { return x[batch].index_select(1, index).to(at::kFloat); };
    const at::Tensor q = rows(call.q, tokens);                                                                       // (H,R,D)
    const at::Tensor k = at::cat({rows(call.k, tokens), rows(call.k, text.to(call.k.device()))}, 1);                 // (H,R+C,D)
    // Text counts as often as it is there, a sampled key for as many as it stands for.
    at::Tensor logits = at::matmul(q, k.transpose(1, 2)) * call.scale;
    logits.slice(2, 0, places.size(0)).add_(std::log(static_cast<double>(p_.stride)));
    const at::Tensor shares = at::softmax(logits, 2).to(at::kCPU, at::kDouble);                                      // (H,R,R+C)
    const at::Tensor of_text = shares.slice(2, places.size(0)).sum({1, 2}), of_visual = shares.slice(2, 0, places.size(0));
    const at::Tensor frame = places.div(l.sites(), "floor"), site = places.remainder(l.sites());
    std::vector<at::Tensor> recalls;
    for (const double bandwidth : p_.bandwidths) {
      const at::Tensor temporal = (site.unsqueeze(1) - site).abs().le(near_sites(l, bandwidth));
      const at::Tensor spatial = (frame.unsqueeze(1) - frame).abs().le(near_frames(l, bandwidth)).logical_or(frame.eq(0));
      const auto recall = [&](const at::Tensor& kept) { return ((of_visual * kept).sum({1, 2}) + of_text) / static_cast<double>(places.size(0)); };
      recalls.push_back(at::stack({recall(temporal), recall(spatial)}));
    }
    return recalls;
  }

  RainFusion1Parameters p_;
  PerLayout<Patterns> patterns_;
};

}  // namespace

std::unique_ptr<Planner> make_rainfusion1(const ParameterValues& parameters, int) {
  RainFusion1Parameters p;
  const std::string& bandwidth = std::get<std::string>(parameters.at("bandwidth"));
  p.bandwidths = {0.125, 0.25, 0.5};
  if (bandwidth != "plus") p.bandwidths = {bandwidth == "1/2" ? 0.5 : bandwidth == "1/4" ? 0.25 : 0.125};
  p.recall = std::get<double>(parameters.at("recall_threshold"));
  p.stride = std::get<std::int64_t>(parameters.at("sample_stride"));
  p.classes = std::get<std::int64_t>(parameters.at("texture_period"));
  return std::make_unique<RainFusion1>(std::move(p));
}

}  // namespace ditscope
