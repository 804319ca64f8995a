#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/capture/capture_reader.h"

namespace ditscope {

/// q, k and v of one call and guidance branch, from which rows and tiles are computed exactly and no N x N ever. Tokens are in the
/// order of the run's `token_order`.
struct AttentionOperands {
  std::int64_t heads = 0, tokens = 0, width = 0;
  double scale = 1;                  ///< logits are scale * q.k
  std::vector<float> q, k, v;        // (H,T,D)
  std::vector<float> out;            // (H,T,D) what the method gave; empty where only q, k and v were stored
  std::string source;                ///< "stored" (bfloat16) or "replayed"
  bool bit_identical = false;        ///< replayed: the output has the very bits that the run had
  std::string note;                  ///< why not, or what to know
};

/// q, k and v as a capture stored them. @throws Error{NotFound} where it did not
AttentionOperands stored_operands(const CaptureReader& capture, int run_id, int step, int layer, int branch);

/// Softmax over all keys of some query rows of one head. @param log_sum_exp (R), null to skip
/// @throws Error{InvalidArgument} where a head or token is out of range
std::vector<float> attention_rows(const AttentionOperands& operands, std::int64_t head, const std::vector<std::int64_t>& queries,
                                  std::vector<float>* log_sum_exp = nullptr);  // (R,T)
/// Columns key_begin .. key_end-1 of rows query_begin .. query_end-1 of the same. At most 2^24 values.
std::vector<float> attention_tile(const AttentionOperands& operands, std::int64_t head, std::int64_t query_begin, std::int64_t query_end,
                                  std::int64_t key_begin, std::int64_t key_end);
/// What each dimension gives to one logit; they sum to scale * q.k.
std::vector<float> logit_terms(const AttentionOperands& operands, std::int64_t head, std::int64_t query, std::int64_t key);  // (D)

}  // namespace ditscope
