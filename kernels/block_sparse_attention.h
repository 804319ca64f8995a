#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/block_mask.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// bfloat16 travels as its 16 bits.
using Bfloat16Bits = std::uint16_t;

/// The threads that a kernel may use. `run(body)` calls body() on up to `count`
/// threads at once and returns when all have ended; the kernels hand out work
/// inside. Without `run` the calling thread works alone. Results do not depend
/// on either.
struct Workers {
  int count = 1;
  std::function<void(const std::function<void()>& body)> run;
};

/// out = row_scale * block_scale * softmax(scale * Q K^T over the kept keys) V
/// + block_vector + residual: rows are normalised over what the mask keeps.
///
/// Visits only the 64 x 64 blocks that the mask keeps, with a running softmax
/// (fp32 sums), on the widest instruction set that the machine has: AVX-512
/// with BF16, AVX-512, AVX2 + FMA, portable. The environment variable
/// DITSCOPE_ISA (avx512bf16, avx512, avx2, portable) lowers the choice.
/// Deterministic: the same bits for every number of workers. Values of masked
/// keys that share a block with kept ones must be finite.
///
/// @tparam Element float or Bfloat16Bits. In bfloat16, probabilities are
/// rounded to bfloat16 before they meet V on avx512bf16.
/// @see Dao 2023, arXiv:2307.08691, Alg. 1 (ours skips blocks)
template <typename Element>
struct AttentionArguments {
  HostView<const Element, 3> q;           ///< (H,Tq,D), any strides; D 1..256
  HostView<const Element, 3> k, v;        ///< (H,Tk,D)
  float scale = 1;                        ///< logits are scale * q.k
  const BlockMask* mask = nullptr;        ///< Tq x Tk, for any or for H heads; null: every key
  HostView<Element, 3> out;               ///< (H,Tq,D), overwritten; a row with no kept key
                                          ///< is 0 before vector and residual
  HostView<float, 2> log_sum_exp;         ///< (H,Tq) natural log of the kept mass, -inf
                                          ///< for such a row; null data to skip
  HostView<const float, 2> row_scale;     ///< (H,Tq); null data: 1
  HostView<const float, 2> block_scale;   ///< (H,M), M blocks of 64 queries; null data: 1
  HostView<const float, 3> block_vector;  ///< (H,M,D), added to every row of its block; null data: 0
  HostView<const Element, 3> residual;    ///< (H,Tq,D), may be `out`; null data: 0

  /// With these the mask is one of Pq x Pk places, M counts blocks of places,
  /// and everything else stays by token: place p of head h holds token
  /// query_tokens[h,p], place p of the keys key_tokens[h,p]. Tokens are fetched
  /// and put back on the way, so that none has to be moved before. A head
  /// stride of 0 shares one order. Below 0: an empty place; of queries nothing
  /// is written, of keys the mask keeps none. A query token that stands in no
  /// place keeps what `out` held, one that stands in two is an error of the
  /// caller's. Null data: place p is token p.
  HostView<const std::int32_t, 2> query_tokens;  ///< (H,Pq), places side by side
  HostView<const std::int32_t, 2> key_tokens;    ///< (H,Pk)
};

/// @throws Error{InvalidArgument} naming the first shape that disagrees;
/// nothing is written then
template <typename Element>
void block_sparse_attention(const AttentionArguments<Element>& arguments, const Workers& workers = {});

/// One pass over all pairs that tells apart what a mask keeps (w) and what it
/// skips (c), as a refresh step needs:
///   out = softmax over all keys V;  log_sum_exp and log_sum_exp_kept;
///   residual = out - rho * O_w with rho = exp(log_sum_exp_kept - log_sum_exp),
///   computed as (1 - rho) * O_c without cancellation, or with `unit_rho`: out
///   - O_w.
/// A row that keeps nothing has rho 0 and O_w 0. The logits of every pair are
/// computed once.
template <typename Element>
struct SplitArguments {
  HostView<const Element, 3> q;     ///< (H,Tq,D)
  HostView<const Element, 3> k, v;  ///< (H,Tk,D)
  float scale = 1;
  const BlockMask* kept = nullptr;     ///< the mask, required
  const BlockMask* skipped = nullptr;  ///< kept->complement(), required
  bool unit_rho = false;
  HostView<Element, 3> out;             ///< (H,Tq,D)
  HostView<float, 2> log_sum_exp;       ///< (H,Tq), null data to skip
  HostView<float, 2> log_sum_exp_kept;  ///< (H,Tq), null data to skip
  HostView<Element, 3> residual;        ///< (H,Tq,D), null data to skip
  HostView<float, 3> block_mass;        ///< (H,M,N): the share of the softmax mass of query block m's
                                        ///< rows that falls on the keys of block n, mean over the
                                        ///< rows, so that a row of the map sums to 1; null data to
                                        ///< skip
};

/// @throws Error{InvalidArgument} naming the first shape that disagrees;
/// nothing is written then
template <typename Element>
void split_attention(const SplitArguments<Element>& arguments, const Workers& workers = {});

/// Instruction sets that this machine can run, widest first, with DITSCOPE_ISA
/// applied: the first one is used.
std::vector<std::string> available_instruction_sets();

}  // namespace ditscope
