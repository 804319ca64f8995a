#include "core/capture_run/probe.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/bridge/attention.h"
#include "core/bridge/vector_math.h"
#include "core/bridge/views.h"
#include "core/capture/records.h"
#include "kernels/block_mass.h"
#include "kernels/cpu/parallel.h"
#include "kernels/row_attention.h"

namespace ditscope {
namespace {

/// Memory of the calling thread for so many floats, kept for the next call: fresh pages cost as much as the sums.
float* kept_memory(std::int64_t count) {
  static thread_local std::vector<float> memory;
  if (static_cast<std::int64_t>(memory.size()) < count) memory.resize(static_cast<std::size_t>(count));
  return memory.data();
}

/// Sixteen sums side by side.
using Lanes = float __attribute__((vector_size(64), aligned(4), may_alias));

inline __attribute__((always_inline)) float sum_of(const Lanes& lanes) {
  float sums[16];
  std::memcpy(sums, &lanes, sizeof sums);
  for (int width = 8; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  return sums[0];
}

/// Sums of the cells of a row.
DITSCOPE_VECTOR_CLONES void sum_cells(const float* row, const std::int64_t* edges, std::int64_t cells, float* sums) {
  for (std::int64_t c = 0; c < cells; ++c) {
    Lanes lanes{};
    std::int64_t i = edges[c];
    for (; i + 16 <= edges[c + 1]; i += 16) lanes += *reinterpret_cast<const Lanes*>(row + i);
    float rest = 0;
    for (; i < edges[c + 1]; ++i) rest += row[i];
    sums[c] = sum_of(lanes) + rest;
  }
}

/// Sums of what is kept (1) and of what is not (0).
DITSCOPE_VECTOR_CLONES void divided_sum(const float* row, const float* keeps, std::int64_t n, float* kept_sum, float* skipped_sum) {
  Lanes kept{}, skipped{};
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const Lanes share = *reinterpret_cast<const Lanes*>(row + i), of_kept = share * *reinterpret_cast<const Lanes*>(keeps + i);
    kept += of_kept;
    skipped += share - of_kept;
  }
  float kept_rest = 0, skipped_rest = 0;
  for (; i < n; ++i) (keeps[i] > 0 ? kept_rest : skipped_rest) += row[i];
  *kept_sum = sum_of(kept) + kept_rest;
  *skipped_sum = sum_of(skipped) + skipped_rest;
}

/// Probabilities of the rows of a head, (R,T), into the figures of a probe.
void gather(RowProbe& probe, const float* probabilities, const at::Tensor& keeps, std::int64_t head, const std::vector<std::int64_t>& edges) {
  const std::int64_t rows = probe.map.size(1), tokens = edges.back(), cells = static_cast<std::int64_t>(edges.size()) - 1;
  float* map = probe.map.data_ptr<float>() + head * rows * cells;
  float* kept = probe.kept.data_ptr<float>() + head * rows;
  float* skipped = probe.skipped.data_ptr<float>() + head * rows;
  const float* keep = keeps.defined() ? keeps.const_data_ptr<float>() + (keeps.size(0) == 1 ? 0 : head * rows * tokens) : nullptr;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* row = probabilities + r * tokens;
    sum_cells(row, edges.data(), cells, map + r * cells);
    kept[r] = 1, skipped[r] = 0;
    if (keep) divided_sum(row, keep + r * tokens, tokens, &kept[r], &skipped[r]);
  }
}

/// The view of one head.
template <typename T>
HostView<T, 3> head_of(HostView<T, 3> all, std::int64_t head) {
  all.data += head * all.stride[0];
  all.shape[0] = 1;
  return all;
}

template <typename Element>
void probe_with_kernel(const LayerCall& call, std::int64_t batch, const at::Tensor& rows, const at::Tensor& keeps,
                       const std::vector<std::int64_t>& edges, RowProbe& probe) {
  const at::Tensor q = widened(call.q[batch]), k = widened(call.k[batch]), v = widened(call.v[batch]);  // (H,T,D)
  const std::int64_t heads = q.size(0), tokens = q.size(1), count = rows.size(0);
  const at::Tensor numbers = rows.to(at::kInt);
  const at::Tensor full = at::empty({heads, count, q.size(2)}, q.options());  // (H,R,D)
  const auto queries = view<const Element, 3>(q), keys = view<const Element, 3>(k), values = view<const Element, 3>(v);
  const auto out = view<Element, 3>(full);
  float* sums = probe.log_sum_exp.data_ptr<float>();
  // A head at a time a thread: its probabilities are summed up while they are still near the core.
  cpu::parallel_for(torch_workers(at::get_num_threads()), heads, [&](std::int64_t head) {
    float* probabilities = kept_memory(count * tokens);
    RowAttentionArguments<Element> a;
    a.q = head_of(queries, head), a.k = head_of(keys, head), a.v = head_of(values, head);
    a.rows = {numbers.const_data_ptr<std::int32_t>(), {1, count}, {0, 1}};
    a.scale = static_cast<float>(call.scale);
    a.out = head_of(out, head);
    a.log_sum_exp = {sums + head * count, {1, count}, {count, 1}};
    a.probabilities = {probabilities, {1, count, tokens}, {count * tokens, tokens, 1}};
    row_attention(a);
    gather(probe, probabilities, keeps, head, edges);
  });
  probe.full = full.to(at::kFloat);
}

void probe_in_torch(const LayerCall& call, std::int64_t batch, const at::Tensor& rows, const at::Tensor& keeps,
                    const std::vector<std::int64_t>& edges, RowProbe& probe) {
  const std::int64_t heads = call.q.size(1);
  const at::Tensor index = rows.to(call.q.device());
  std::vector<at::Tensor> full;
  for (std::int64_t h = 0; h < heads; ++h) {
    const at::Tensor q = call.q[batch][h].index_select(0, index).to(at::kFloat);                       // (R,D)
    at::Tensor logits = at::matmul(q, call.k[batch][h].to(at::kFloat).transpose(0, 1)) * call.scale;  // (R,T)
    if (call.key_mask.defined()) logits.masked_fill_(call.key_mask[batch].logical_not(), -std::numeric_limits<double>::infinity());
    probe.log_sum_exp[h].copy_(at::logsumexp(logits, -1));
    const at::Tensor probabilities = at::softmax(logits, -1);  // (R,T)
    full.push_back(at::matmul(probabilities, call.v[batch][h].to(at::kFloat)).cpu());
    gather(probe, probabilities.cpu().contiguous().const_data_ptr<float>(), keeps, h, edges);
  }
  probe.full = at::stack(full);  // (H,R,D)
}

/// Tokens with text filled up to whole cells, so that no cell holds both text and video.
struct PaddedLayout {
  std::int64_t slots = 0;
  std::int64_t text_begin = 0, visual_begin = 0;  ///< slots
  bool moved = false;
};

PaddedLayout padded(const TokenLayout& layout, std::int64_t block_tokens) {
  PaddedLayout p;
  const auto up = [&](std::int64_t n) { return (n + block_tokens - 1) / block_tokens * block_tokens; };
  const std::int64_t first = layout.text_first ? layout.text_tokens : layout.visual_tokens();
  p.moved = first % block_tokens != 0;
  p.slots = up(first) + (layout.tokens() - first);
  (layout.text_first ? p.visual_begin : p.text_begin) = up(first);
  return p;
}

/// (H,T,D) with a gap of zeros between text and video.
at::Tensor spread(const at::Tensor& rows, const TokenLayout& layout, const PaddedLayout& p) {
  if (!p.moved) return rows;
  at::Tensor out = at::zeros({rows.size(0), p.slots, rows.size(2)}, rows.options());
  const std::int64_t text = layout.text_first ? 0 : layout.visual_tokens();
  out.narrow(1, p.text_begin, layout.text_tokens).copy_(rows.narrow(1, text, layout.text_tokens));
  out.narrow(1, p.visual_begin, layout.visual_tokens()).copy_(rows.narrow(1, layout.visual_begin(), layout.visual_tokens()));
  return out;
}

BlockMask real_slots(const TokenLayout& layout, const PaddedLayout& p) {
  MaskDescription d;
  d.queries = d.keys = p.slots;
  d.spans_per_row = 1;
  d.valid_keys.assign(static_cast<std::size_t>((p.slots + 63) / 64), 0);
  for (std::int64_t slot = 0; slot < p.slots; ++slot) {
    const bool text = slot >= p.text_begin && slot < p.text_begin + layout.text_tokens;
    const bool visual = slot >= p.visual_begin && slot < p.visual_begin + layout.visual_tokens();
    d.spans.push_back({0, text || visual ? static_cast<std::int32_t>(p.slots) : 0});
    if (text || visual) d.valid_keys[static_cast<std::size_t>(slot / 64)] |= std::uint64_t{1} << (slot % 64);
  }
  return BlockMask(d);
}

template <typename Element>
ExactMap map_with_kernel(const LayerCall& call, std::int64_t batch, std::int64_t block_tokens, const std::vector<std::int64_t>& edges) {
  const PaddedLayout p = padded(call.layout, block_tokens);
  const at::Tensor q = spread(widened(call.q[batch]), call.layout, p), k = spread(widened(call.k[batch]), call.layout, p);  // (H,S,D)
  const std::int64_t heads = q.size(0), cells = (p.slots + block_tokens - 1) / block_tokens;
  BlockMask mask;
  if (p.moved) mask = real_slots(call.layout, p);
  const at::Tensor sums = at::empty({heads, p.slots}, at::kFloat), mass = at::empty({heads, cells, cells}, at::kFloat);
  BlockSearchArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.scale = static_cast<float>(call.scale);
  a.mask = p.moved ? &mask : nullptr;
  a.block_tokens = block_tokens;
  a.log_sum_exp = view<float, 2>(sums);
  a.mass = view<float, 3>(mass);
  block_search(a, torch_workers(at::get_num_threads()));
  ExactMap result;
  result.log_sum_exp = sums;
  if (p.moved) {
    const at::Tensor text = sums.narrow(1, p.text_begin, call.layout.text_tokens);
    const at::Tensor visual = sums.narrow(1, p.visual_begin, call.layout.visual_tokens());
    result.log_sum_exp = call.layout.text_first ? at::cat({text, visual}, 1) : at::cat({visual, text}, 1);
  }
  std::vector<float> queries;
  for (std::size_t c = 0; c + 1 < edges.size(); ++c) queries.push_back(static_cast<float>(edges[c + 1] - edges[c]));
  result.map = mass / at::tensor(queries).view({1, -1, 1});
  return result;
}

ExactMap map_in_torch(const LayerCall& call, std::int64_t batch, const std::vector<std::int64_t>& edges) {
  const std::int64_t heads = call.q.size(1), tokens = call.q.size(2), cells = static_cast<std::int64_t>(edges.size()) - 1;
  ExactMap result{at::empty({heads, tokens}, at::kFloat), at::zeros({heads, cells, cells}, at::kFloat)};
  std::vector<std::int64_t> cell_of;
  for (std::int64_t c = 0; c < cells; ++c) cell_of.insert(cell_of.end(), static_cast<std::size_t>(edges[static_cast<std::size_t>(c) + 1] - edges[static_cast<std::size_t>(c)]), c);
  const at::Tensor cell = at::tensor(cell_of, at::kLong).to(call.q.device());
  for (std::int64_t c = 0; c < cells; ++c) {
    const std::int64_t first = edges[static_cast<std::size_t>(c)], count = edges[static_cast<std::size_t>(c) + 1] - first;
    const at::Tensor q = call.q[batch].narrow(1, first, count).to(at::kFloat);
    for (std::int64_t h = 0; h < heads; ++h) {
      at::Tensor logits = at::matmul(q[h], call.k[batch][h].to(at::kFloat).transpose(0, 1)) * call.scale;  // (rows,T)
      if (call.key_mask.defined()) logits.masked_fill_(call.key_mask[batch].logical_not(), -std::numeric_limits<double>::infinity());
      result.log_sum_exp[h].narrow(0, first, count).copy_(at::logsumexp(logits, -1));
      const at::Tensor columns = at::softmax(logits, -1).mean(0);  // (T)
      result.map[h][c].copy_(at::zeros({cells}, columns.options()).index_add(0, cell, columns));
    }
  }
  return result;
}

}  // namespace

RowProbe probe_rows(const LayerCall& call, std::int64_t batch, const at::Tensor& rows, const at::Tensor& keeps,
                    const std::vector<std::int64_t>& edges) {
  const std::int64_t heads = call.q.size(1), count = rows.size(0);
  RowProbe probe;
  probe.log_sum_exp = at::empty({heads, count}, at::kFloat);
  probe.kept = at::empty({heads, count}, at::kFloat);
  probe.skipped = at::empty({heads, count}, at::kFloat);
  probe.map = at::empty({heads, count, static_cast<std::int64_t>(edges.size()) - 1}, at::kFloat);
  if (!kernel_takes(call))
    probe_in_torch(call, batch, rows, keeps, edges, probe);
  else if (call.q.scalar_type() == at::kBFloat16)
    probe_with_kernel<Bfloat16Bits>(call, batch, rows, keeps, edges, probe);
  else
    probe_with_kernel<float>(call, batch, rows, keeps, edges, probe);
  return probe;
}

ExactMap exact_map(const LayerCall& call, std::int64_t batch, std::int64_t block_tokens) {
  const auto edges = map_edges(call.layout.text_tokens, call.layout.text_first, call.layout.tokens(), block_tokens);
  if (!kernel_takes(call)) return map_in_torch(call, batch, edges);
  return call.q.scalar_type() == at::kBFloat16 ? map_with_kernel<Bfloat16Bits>(call, batch, block_tokens, edges)
                                               : map_with_kernel<float>(call, batch, block_tokens, edges);
}

at::Tensor kept_log_sum_exp(const LayerCall& call, std::int64_t batch, const Selection& selection) {
  const LayerCall element = element_in_slots(call, batch, selection.arrangement());  // (1,H,S,D)
  at::Tensor out = output_like(element.q);
  const at::Tensor sums = at::empty({element.q.size(1), element.q.size(2)}, element.q.options().dtype(at::kFloat));  // (H,S)
  selected_attention(element, selection, {}, {}, out, sums);
  return (selection.arrangement() ? by_token(sums, *selection.arrangement()) : sums).to(at::kCPU);
}

}  // namespace ditscope
