#include "core/capture/exact_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/row_attention.h"

namespace ditscope {
namespace {

void expect_within(const char* what, std::int64_t begin, std::int64_t end, std::int64_t size) {
  if (begin < 0 || begin >= end || end > size)
    throw Error(ErrorKind::InvalidArgument, std::string("expected ") + what + " from 0 to " + std::to_string(size - 1) + ", got " +
                                                std::to_string(begin) + (end == begin + 1 ? "" : " to " + std::to_string(end - 1)));
}

HostView<const float, 3> head_view(const std::vector<float>& rows, const AttentionOperands& o, std::int64_t head) {
  return {rows.data() + head * o.tokens * o.width, {1, o.tokens, o.width}, {o.tokens * o.width, o.width, 1}};
}

}  // namespace

AttentionOperands stored_operands(const CaptureReader& capture, int run_id, int step, int layer, int branch) {
  AttentionOperands o;
  for (const auto& [kind, values] : {std::pair{"q", &o.q}, std::pair{"k", &o.k}, std::pair{"v", &o.v}}) {
    const CaptureArrayInfo info = capture.get(run_id, {kind, step, layer, branch});
    const auto& shape = info.header.shape;
    if (shape.size() != 3 || shape[2] > 256 || (o.heads != 0 && (shape[0] != o.heads || shape[1] != o.tokens || shape[2] != o.width)))
      throw Error(ErrorKind::Corrupt, "expected q, k and v of one shape (H,T,D), got others; the capture is damaged, record it again");
    o.heads = shape[0], o.tokens = shape[1], o.width = shape[2];
    *values = capture.values(info);
  }
  o.scale = 1 / std::sqrt(static_cast<double>(o.width));
  o.source = "stored";
  o.note = "q, k and v as stored, in bfloat16";
  return o;
}

std::vector<float> attention_rows(const AttentionOperands& o, std::int64_t head, const std::vector<std::int64_t>& queries,
                                  std::vector<float>* log_sum_exp) {
  expect_within("a head", head, head + 1, o.heads);
  std::vector<std::int32_t> rows;
  for (const std::int64_t query : queries) {
    expect_within("a query token", query, query + 1, o.tokens);
    rows.push_back(static_cast<std::int32_t>(query));
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  if (count * o.tokens > (std::int64_t{1} << 28))
    throw Error(ErrorKind::InvalidArgument, "These rows are too many to be computed at once; ask for fewer.");
  std::vector<float> probabilities(static_cast<std::size_t>(count * o.tokens)), sums(rows.size());
  RowAttentionArguments<float> a;
  a.q = head_view(o.q, o, head);
  a.k = head_view(o.k, o, head);
  a.v = {nullptr, {1, o.tokens, o.width}, {}};
  a.rows = {rows.data(), {1, count}, {count, 1}};
  a.scale = static_cast<float>(o.scale);
  a.log_sum_exp = {sums.data(), {1, count}, {count, 1}};
  a.probabilities = {probabilities.data(), {1, count, o.tokens}, {count * o.tokens, o.tokens, 1}};
  row_attention(a);
  if (log_sum_exp) *log_sum_exp = std::move(sums);
  return probabilities;
}

std::vector<float> attention_tile(const AttentionOperands& o, std::int64_t head, std::int64_t query_begin, std::int64_t query_end,
                                  std::int64_t key_begin, std::int64_t key_end) {
  expect_within("query tokens", query_begin, query_end, o.tokens);
  expect_within("key tokens", key_begin, key_end, o.tokens);
  if ((query_end - query_begin) * (key_end - key_begin) > (std::int64_t{1} << 24))
    throw Error(ErrorKind::InvalidArgument, "This tile has more than 2^24 values; ask for a smaller one, or for a map.");
  std::vector<float> tile;
  tile.reserve(static_cast<std::size_t>((query_end - query_begin) * (key_end - key_begin)));
  constexpr std::int64_t kRows = 64;
  for (std::int64_t first = query_begin; first < query_end; first += kRows) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = first; row < std::min(first + kRows, query_end); ++row) rows.push_back(row);
    const std::vector<float> probabilities = attention_rows(o, head, rows);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const float* row = probabilities.data() + static_cast<std::int64_t>(r) * o.tokens;
      tile.insert(tile.end(), row + key_begin, row + key_end);
    }
  }
  return tile;
}

std::vector<float> logit_terms(const AttentionOperands& o, std::int64_t head, std::int64_t query, std::int64_t key) {
  expect_within("a head", head, head + 1, o.heads);
  expect_within("a query token", query, query + 1, o.tokens);
  expect_within("a key token", key, key + 1, o.tokens);
  std::vector<float> terms(static_cast<std::size_t>(o.width));
  const float* q = o.q.data() + (head * o.tokens + query) * o.width;
  const float* k = o.k.data() + (head * o.tokens + key) * o.width;
  for (std::size_t d = 0; d < terms.size(); ++d) terms[d] = static_cast<float>(o.scale * q[d] * k[d]);
  return terms;
}

}  // namespace ditscope
