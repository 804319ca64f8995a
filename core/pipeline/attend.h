#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"

namespace ditscope {

/// A method on tensors alone: q, k and v of some consecutive steps of one layer, from any program.
struct AttendRequest {
  std::filesystem::path tensors;  ///< safetensors with `q`, `k`, `v` (S,B,H,T,D), float32, bfloat16 or float16
  std::filesystem::path out;      ///< safetensors to write; empty: nothing
  std::filesystem::path capture;  ///< .ditcap to write, for the inspector; empty: nothing
  MethodChoice method;
  std::int64_t frames = 0, rows = 0, columns = 0;  ///< the grid of visual tokens, frame-major: columns run fastest
  std::int64_t text_tokens = 0;
  bool text_first = true;
  std::vector<bool> conditional;          ///< (B) guidance branch of each batch element; empty: all conditional
  int first_step = 0, total_steps = 0;    ///< where in the run the S steps lie; total 0: they are its end
  int layer = 0, layers = 1;
  double scale = 0;                       ///< logits are scale * q.k; 0: 1/sqrt(D)
  int measured_rows = 64;                 ///< query rows that are held against full attention
  int threads = 0;                        ///< 0: all cores
  std::int64_t memory_budget_bytes = 0;   ///< the most that the method may hold between steps; 0: no limit
};

/// What one step kept and cost. Lists are (B*H), batch elements outermost.
struct AttendStep {
  int step = 0;
  std::string kind;
  double kept_ratio_requested = 1, kept_ratio_achieved = 1, kept_ratio_blocks = 1;
  double seconds = 0;                                               ///< of the whole call: plan_, execute_ and correct_seconds
  double plan_seconds = 0, execute_seconds = 0, correct_seconds = 0;  ///< what a kernel applies while it attends counts as executing
  std::int64_t method_bytes = 0;
  int measured_rows = 0;
  std::vector<double> recall;        ///< share of full attention's probability on kept pairs: the true rho
  std::vector<double> rho_used;      ///< factor on what the kept pairs give, mean over rows; empty: none
  std::vector<double> row_mass;      ///< sum of the weights that a row is made of, mean over rows; empty: 1
  std::vector<double> pv_left_out_ratio;  ///< share of all pairs that pv_skip left out of the kept ones; empty: none
  std::vector<double> relative_l2, relative_l1, cosine_error;  ///< of the output, against full attention
  std::vector<double> log_sum_exp;   ///< over all keys, mean over rows
};

struct AttendResult {
  MethodChoice method;  ///< with all its parameters
  std::vector<std::int64_t> shape;  ///< (S,B,H,T,D)
  std::vector<AttendStep> steps;
};

/// (S,B,H,T,D) of `q`. @throws as attend_file() for what it finds wrong in the file
std::vector<std::int64_t> attend_shape(const std::filesystem::path& tensors);

/// Runs the steps and writes `out` (S,B,H,T,D) in the dtype of q; `lse` (S,B,H,T) float32, over the keys that a row kept; `kept`
/// (S,B,H,M,N) float32, the share of the pairs of each 64 x 64 block that was computed, M = N = ceil(T/64), tokens as in the input.
/// A method that lays tokens in another order adds `query_slots` and `key_slots` (S,B,H,T') int64, the token of each slot, -1 where
/// empty, and `kept_slots` (S,B,H,M',N'), `kept` in that order; steps that kept everything hold -1 and 1 there. A step that takes an
/// earlier output as it is has `kept` 0 and `lse` -inf.
/// @throws Error{NotFound, Corrupt} of the file, Error{InvalidArgument} where shapes, grid, steps or parameters disagree or values
/// are not finite, Error{Device} where the result cannot be written, Error{Cancelled}
/// @param goes_on  asked before each of the steps with its index from 0; false stops, and a capture keeps what is complete
AttendResult attend_file(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on = {});

}  // namespace ditscope
