#include "core/attention/selection.h"

#include <ATen/ATen.h>

#include "core/bridge/attention.h"
#include "core/bridge/views.h"
#include "kernels/error.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

std::int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
}

/// Index (H,S) as it selects rows of (H,S,D).
at::Tensor as_rows(const at::Tensor& index, std::int64_t width) {
  return index.unsqueeze(-1).expand({index.size(0), index.size(1), width});
}

template <typename Element>
void gather_rows(const at::Tensor& in, const at::Tensor& source, at::Tensor& out) {
  HostView<const std::int32_t, 2> order{source.const_data_ptr<std::int32_t>(), {in.size(0), source.size(-1)}, {0, 1}};
  if (source.dim() == 2) order.stride = {source.stride(0), source.stride(1)};
  gather_tokens<Element>(view<const Element, 3>(in), order, view<Element, 3>(out), workers_for(in.size(0), source.size(-1) / kBlockTokens));
}

bool gathers_on_cpu(const at::Tensor& rows) {
  return rows.is_cpu() && (rows.element_size() == 4 || rows.element_size() == 2) && !(at::GradMode::is_enabled() && rows.requires_grad());
}

/// out[h, p] = in[h, source[p]] or in[h, source[h, p]]: many times as fast as LibTorch's operations. @param in, out (H,.,D) of the
/// same type, 2 or 4 bytes an element     @param source (S) or (H,S) int, places of `in`
void gather_on_cpu(const at::Tensor& in, const at::Tensor& source, at::Tensor out) {
  if (in.element_size() == 4)
    gather_rows<float>(in, source, out);
  else
    gather_rows<Bfloat16Bits>(in, source, out);
}

}  // namespace

std::shared_ptr<const Arrangement> Arrangement::make(std::int64_t tokens, const at::Tensor& queries, const at::Tensor& keys) {
  auto a = std::make_shared<Arrangement>();
  a->tokens = tokens;
  a->queries = queries.contiguous();
  a->keys = keys.defined() ? keys.contiguous() : a->queries;
  std::vector<std::int64_t> shape = queries.sizes().vec();
  const at::Tensor slots = at::arange(shape.back(), at::kLong).expand(shape);
  shape.back() = tokens + 1;  // empty slots fall into the last place
  a->query_slots = at::zeros(shape, at::kLong).scatter_(-1, queries, slots).narrow(-1, 0, tokens).contiguous();
  const auto places = [tokens](const at::Tensor& order) {
    return order.masked_fill(order.ge(tokens), -1).to(at::kInt).contiguous();
  };
  a->query_places = places(a->queries);
  a->key_places = a->keys.is_same(a->queries) ? a->query_places : places(a->keys);
  return a;
}

std::int64_t Arrangement::bytes() const {
  const auto own = [](const at::Tensor& of_keys, const at::Tensor& of_queries) {
    return of_keys.is_same(of_queries) ? 0 : bytes_of(of_keys);
  };
  return bytes_of(queries) + bytes_of(query_slots) + own(keys, queries) + bytes_of(query_places) + own(key_places, query_places);
}

at::Tensor in_slots(const at::Tensor& rows, const at::Tensor& tokens) {
  const std::int64_t count = rows.size(2);
  if (gathers_on_cpu(rows) && rows.dim() == 4 && count > 0) {
    const at::Tensor from = tokens.clamp_max(count - 1).to(at::kInt);  // (S) or (H,S)
    at::Tensor slots = at::empty({rows.size(0), rows.size(1), tokens.size(-1), rows.size(3)}, rows.options());
    for (std::int64_t b = 0; b < rows.size(0); ++b) gather_on_cpu(rows[b], from, slots[b]);
    if (const at::Tensor none = tokens.ge(count); none.any().item<bool>()) slots.masked_fill_(none.unsqueeze(-1), 0);
    return slots;
  }
  const at::Tensor index = tokens.clamp_max(count - 1).to(rows.device()), empty = tokens.ge(count);  // (S) or (H,S)
  at::Tensor slots;                                                                                  // (B,H,S,D)
  if (tokens.dim() == 1)
    slots = rows.index_select(2, index);
  else
    slots = rows.gather(2, as_rows(index, rows.size(3)).unsqueeze(0).expand({rows.size(0), -1, -1, -1}));
  if (empty.any().item<bool>()) slots.masked_fill_(empty.unsqueeze(-1).to(rows.device()), 0);
  return slots;
}

at::Tensor by_token(const at::Tensor& slots, const Arrangement& arrangement) {
  if (gathers_on_cpu(slots) && slots.dim() == 3) {
    at::Tensor rows = at::empty({slots.size(0), arrangement.query_slots.size(-1), slots.size(2)}, slots.options());
    gather_on_cpu(slots, arrangement.query_slots.to(at::kInt), rows);
    return rows;
  }
  const at::Tensor index = arrangement.query_slots.to(slots.device());  // (T) or (H,T)
  if (index.dim() == 1) return slots.index_select(1, index);
  return slots.gather(1, slots.dim() == 2 ? index : as_rows(index, slots.size(2)));
}

Selection::Selection(std::shared_ptr<const BlockMask> mask, std::shared_ptr<const Arrangement> arrangement, double kept_ratio,
                     double kept_ratio_blocks)
    : masks_{std::move(mask)},
      arrangement_(std::move(arrangement)),
      kept_ratio_(kept_ratio < 0 ? masks_[0]->kept_ratio() : kept_ratio),
      kept_ratio_blocks_(kept_ratio_blocks < 0 ? masks_[0]->kept_ratio_blocks() : kept_ratio_blocks) {}

Selection::Selection(std::vector<std::shared_ptr<const BlockMask>> masks, std::shared_ptr<const Arrangement> arrangement)
    : masks_(std::move(masks)), arrangement_(std::move(arrangement)), kept_ratio_(0), kept_ratio_blocks_(0) {
  for (const auto& mask : masks_) {
    kept_ratio_ += mask->kept_ratio() / static_cast<double>(masks_.size());
    kept_ratio_blocks_ += mask->kept_ratio_blocks() / static_cast<double>(masks_.size());
  }
}

void Selection::set_blocks(std::shared_ptr<const BlockGrid> grid, const at::Tensor& kept_blocks) {
  grid_ = std::move(grid);
  kept_blocks_ = kept_blocks;
}

const BlockMask& Selection::skipped() const {
  if (!skipped_) skipped_ = std::make_shared<const BlockMask>(masks_[0]->complement());
  return *skipped_;
}

at::Tensor Selection::kept_tokens(std::int64_t heads, at::IntArrayRef rows) const {
  if (!arrangement_) return kept_slot_rows(*this, heads, rows);
  const Arrangement& a = *arrangement_;
  const std::int64_t count = static_cast<std::int64_t>(rows.size());
  const bool own_order = a.queries.dim() == 2 || a.keys.dim() == 2;
  const auto slots_of = [&](std::int64_t head) {
    const at::Tensor of_head = a.query_slots.dim() == 2 ? a.query_slots[head] : a.query_slots;
    std::vector<std::int64_t> slots;
    for (const std::int64_t row : rows) slots.push_back(of_head[row].item<std::int64_t>());
    return slots;
  };
  const auto to_tokens = [&](const at::Tensor& kept, const at::Tensor& keys) {  // (planes, rows, S) -> (planes, rows, T)
    at::Tensor tokens = at::zeros({kept.size(0), count, a.tokens + 1}, at::kInt);
    tokens.index_add_(2, keys, kept.to(at::kInt));
    return tokens.narrow(2, 0, a.tokens).gt(0);
  };
  if (!own_order) return to_tokens(kept_slot_rows(*this, heads, slots_of(0)), a.keys);
  std::vector<at::Tensor> planes;
  for (std::int64_t h = 0; h < heads; ++h) {
    at::Tensor kept = kept_slot_rows(*this, heads, slots_of(h));  // (1 or H, rows, S)
    kept = kept.narrow(0, kept.size(0) == 1 ? 0 : h, 1);
    planes.push_back(to_tokens(kept, a.keys.dim() == 2 ? a.keys[h] : a.keys));
  }
  return at::cat(planes);
}

std::int64_t Selection::bytes() const {
  std::int64_t masks = 0;
  for (const auto& mask : masks_) masks += mask->bytes();
  return masks + (skipped_ ? skipped_->bytes() : 0) + (arrangement_ ? arrangement_->bytes() : 0) + bytes_of(kept_blocks_) + bytes_of(reasons_);
}

LayerCall element_in_slots(const LayerCall& call, std::int64_t batch, const Arrangement* arrangement) {
  LayerCall one = call;
  const auto element = [&](const at::Tensor& tensor, const at::Tensor* tokens) {
    const at::Tensor rows = tensor.narrow(0, batch, 1);  // (1,H,T,D)
    return tokens == nullptr ? rows : in_slots(rows, *tokens);
  };
  one.q = element(call.q, arrangement ? &arrangement->queries : nullptr);
  one.k = element(call.k, arrangement ? &arrangement->keys : nullptr);
  one.v = element(call.v, arrangement ? &arrangement->keys : nullptr);
  if (!call.branches.empty()) one.branches = {call.branches[static_cast<std::size_t>(batch)]};
  if (call.key_mask.defined()) {
    one.key_mask = call.key_mask.narrow(0, batch, 1);
    if (arrangement) {
      if (arrangement->keys.dim() != 1)
        throw Error(ErrorKind::Unsupported,
                    "expected no key mask where every head orders its keys by itself, got one; choose another method");
      const at::Tensor index = arrangement->keys.clamp_max(arrangement->tokens - 1).to(one.key_mask.device());
      one.key_mask = one.key_mask.index_select(1, index).logical_and_(
          arrangement->keys.lt(arrangement->tokens).unsqueeze(0).to(one.key_mask.device()));
    }
  }
  return one;
}

void selected_attention(const LayerCall& one, const Selection& selection, const at::Tensor& row_scale, const at::Tensor& residual,
                        at::Tensor& out, const at::Tensor& log_sum_exp) {
  if (!selection.by_head()) return masked_attention(one, 0, selection.mask(), row_scale, residual, out, log_sum_exp);
  const auto of_head = [](const at::Tensor& rows, std::int64_t dim, std::int64_t head) {
    return rows.defined() ? rows.narrow(dim, head, 1) : rows;
  };
  for (std::int64_t h = 0; h < one.q.size(1); ++h) {
    LayerCall head = one;
    for (at::Tensor* tensor : {&head.q, &head.k, &head.v}) *tensor = tensor->narrow(1, h, 1);
    head.pv_skip = of_head(one.pv_skip, 0, h);
    at::Tensor part = out.narrow(1, h, 1);
    masked_attention(head, 0, selection.mask(h), of_head(row_scale, 0, h), of_head(residual, 0, h), part,
                     of_head(log_sum_exp, 0, h));
  }
}

bool attend_in_place(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out) {
  const Arrangement* arrangement = selection.arrangement();
  if (!arrangement || !places_taken(call)) return false;
  const Arrangement& a = *arrangement;
  if (!selection.by_head()) {
    masked_attention_by_place(call, batch, selection.mask(), a.query_places, a.key_places, out);
    return true;
  }
  for (std::int64_t h = 0; h < call.q.size(1); ++h) {
    const auto of_head = [h](const at::Tensor& places) { return places.dim() == 2 ? places[h] : places; };
    LayerCall head = call;
    for (at::Tensor* tensor : {&head.q, &head.k, &head.v}) *tensor = tensor->narrow(1, h, 1);
    at::Tensor part = out.narrow(1, h, 1);
    masked_attention_by_place(head, batch, selection.mask(h), of_head(a.query_places), of_head(a.key_places), part);
  }
  return true;
}

at::Tensor kept_slot_rows(const Selection& selection, std::int64_t heads, at::IntArrayRef rows) {
  if (!selection.by_head()) return kept_rows(selection.mask(), heads, rows);
  std::vector<at::Tensor> planes;
  for (std::int64_t h = 0; h < heads; ++h) planes.push_back(kept_rows(selection.mask(h), 1, rows));
  return at::cat(planes);
}

}  // namespace ditscope
