#include "kernels/cpu/attention_tile.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/cpu/clones.h"

namespace ditscope::cpu {
namespace {

constexpr int kSumLanes = 16;
constexpr std::int64_t kPackedWordsAtOnce = std::int64_t{8} << 20;

DITSCOPE_VECTOR_CLONES void widen(const Bfloat16Bits* in, int width, float* row) {
  for (int c = 0; c < width; ++c) row[c] = std::bit_cast<float>(std::uint32_t{in[c]} << 16);
}

Bfloat16Bits rounded(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<Bfloat16Bits>((bits >> 16) | 0x40u);
  return static_cast<Bfloat16Bits>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace

void read_row(const float* in, std::ptrdiff_t stride, int width, float* row) {
  if (stride == 1) {
    std::memcpy(row, in, sizeof(float) * static_cast<std::size_t>(width));
  } else {
    for (int c = 0; c < width; ++c) row[c] = in[c * stride];
  }
}

void read_row(const Bfloat16Bits* in, std::ptrdiff_t stride, int width, float* row) {
  if (stride == 1) {
    widen(in, width, row);
  } else {
    for (int c = 0; c < width; ++c) row[c] = std::bit_cast<float>(std::uint32_t{in[c * stride]} << 16);
  }
}

void store_row(const float* row, int width, float factor, float* out, std::ptrdiff_t stride) {
  if (stride == 1) {
    for (int c = 0; c < width; ++c) out[c] = factor * row[c];
  } else {
    for (int c = 0; c < width; ++c) out[c * stride] = factor * row[c];
  }
}

void store_row(const float* row, int width, float factor, Bfloat16Bits* out, std::ptrdiff_t stride) {
  for (int c = 0; c < width; ++c) out[c * stride] = rounded(factor * row[c]);
}

Visits::Visits(const BlockMask* mask, std::int64_t keys)
    : mask_(mask), key_blocks_(blocks_of(keys)), ragged_(keys % kBlockTokens != 0) {
  std::fill_n(last_, kBlockTokens, (std::uint64_t{1} << keys % kBlockTokens) - 1);
}

std::int64_t Visits::count(std::int64_t head, std::int64_t query_block) const {
  if (mask_ == nullptr) return key_blocks_;
  const int list = mask_->list_of_head(head), block = static_cast<int>(query_block);
  return mask_->visits_end(list, block) - mask_->visits_begin(list, block);
}

std::int64_t Visits::key_block(std::int64_t head, std::int64_t query_block, std::int64_t i) const {
  return mask_ ? mask_->visits_begin(mask_->list_of_head(head), static_cast<int>(query_block))[i].key_block : i;
}

const std::uint64_t* Visits::bits(std::int64_t head, std::int64_t query_block, std::int64_t i) const {
  if (mask_ == nullptr) return ragged_ && i + 1 == key_blocks_ ? last_ : nullptr;
  const std::int32_t bits = mask_->visits_begin(mask_->list_of_head(head), static_cast<int>(query_block))[i].bits;
  return bits == BlockMask::kWhole ? nullptr : mask_->row_bits(bits);
}

template <typename Element>
PackedHeads<Element>::PackedHeads(const VectorKernels& kernels, const HostView<const Element, 3>& k,
                                  const HostView<const Element, 3>& v)
    : kernels_(kernels), k_(k), v_(v), blocks_(blocks_of(k.shape[1])) {
  const int width = static_cast<int>(k.shape[2]);
  key_words_ = std::int64_t{kernels.depth(width)} * kBlockTokens;
  value_words_ = v.data ? std::int64_t{kernels.key_steps()} * ((width + 15) / 16 * 16) : 0;
  head_words_ = blocks_ * (key_words_ + value_words_);
  at_once_ =
      std::clamp<std::int64_t>(head_words_ ? kPackedWordsAtOnce / head_words_ : 1, 1, std::max<std::int64_t>(1, k.shape[0]));
  static thread_local Scratch memory;
  packed_ = memory.reserve<std::uint32_t>(static_cast<std::size_t>(head_words_ * at_once_));
}

template <typename Element>
void PackedHeads<Element>::pack(std::int64_t first, std::int64_t heads, const Workers& workers) {
  first_ = first;
  const int width = static_cast<int>(k_.shape[2]);
  parallel_for(workers, heads * blocks_, [&](std::int64_t i) {
    const std::int64_t head = first + i / blocks_, block = i % blocks_;
    const int tokens = tokens_in(block, k_.shape[1]);
    kernels_.pack_columns(rows_of(k_, head, block * kBlockTokens), width, tokens, const_cast<std::uint32_t*>(keys(head, block)));
    if (v_.data) {
      kernels_.pack_values(rows_of(v_, head, block * kBlockTokens), width, tokens,
                           const_cast<std::uint32_t*>(values(head, block)));
    }
  });
}

template class PackedHeads<float>;
template class PackedHeads<Bfloat16Bits>;

AttentionTile::AttentionTile(const VectorKernels& kernels, int width)
    : kernels_(kernels), width_(width), padded_width_((width + 15) / 16 * 16) {
  static thread_local Scratch memory;
  const std::size_t square = kBlockTokens * kBlockTokens, output = static_cast<std::size_t>(kBlockTokens) * padded_width_;
  auto* next = memory.reserve<float>(2 * square + 2 * output + kBlockTokens * (kSumLanes + 1));
  logits = next;
  probabilities_ = reinterpret_cast<std::uint32_t*>(next + square);
  state_.output = next + 2 * square;
  state_.partial_sum = state_.output + output;
  state_.maximum = state_.partial_sum + kBlockTokens * kSumLanes;
  queries_ = reinterpret_cast<std::uint32_t*>(state_.maximum + kBlockTokens);
}

void AttentionTile::expect_logits(int rows, float scale) {
  rows_ = rows;
  scale_ = std::fabs(scale) * kLog2E;
}

void AttentionTile::load_queries(const TokenRows& from, int rows, float scale) {
  expect_logits(rows, scale);
  kernels_.pack_rows(from, width_, rows, std::signbit(scale), queries_);
}

void AttentionTile::begin_softmax() {
  std::fill_n(state_.maximum, kBlockTokens, -std::numeric_limits<float>::infinity());
  std::fill_n(state_.partial_sum, kBlockTokens * kSumLanes, 0.0f);
  std::fill_n(state_.output, kBlockTokens * padded_width_, 0.0f);
}

bool AttentionTile::matters(const std::uint64_t* bits, float within) const {
  for (int r = 0; r < rows_; ++r) {
    const float* row = logits + r * kBlockTokens;
    float highest = -std::numeric_limits<float>::infinity();
    if (bits == nullptr) {
      for (int j = 0; j < kBlockTokens; ++j) highest = std::max(highest, row[j]);
    } else {
      for (std::uint64_t left = bits[r]; left != 0; left &= left - 1) highest = std::max(highest, row[std::countr_zero(left)]);
    }
    if (highest > -std::numeric_limits<float>::infinity() && scale_ * highest + within > state_.maximum[r]) return true;
  }
  return false;
}

void AttentionTile::add_block(const std::uint32_t* values, const std::uint64_t* bits, float* block_sum, float* shrink) {
  kernels_.soften({logits, bits, rows_, scale_, padded_width_, state_, probabilities_, block_sum, shrink});
  if (values) kernels_.accumulate(probabilities_, values, padded_width_, rows_, state_.output);
}

float AttentionTile::sum(int row) const {
  const float* lanes = state_.partial_sum + row * kSumLanes;
  return std::accumulate(lanes, lanes + kSumLanes, 0.0f);
}

float AttentionTile::log_sum_exp(int row) const {
  const float total = sum(row);
  return total == 0 ? -std::numeric_limits<float>::infinity() : (state_.maximum[row] + std::log2(total)) * kLn2;
}

}  // namespace ditscope::cpu
