#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/keep_reason.h"

namespace ditscope {

// The rows of a capture, the same for who writes them and who reads them. Ids start at 1; -1: the axis does not apply; an empty
// optional: not measured. Units and formulas stand in docs/capture.md.

/// An array of a capture. The writer takes `values` (encoded on its thread as `encoding` says) or `bytes` as they are to be.
struct CaptureTensor {
  std::string kind;  ///< map lse_full lse_kept log_rho log_rho_used latents preview frames text_embedding q k v row_ids ...
  int step = -1, layer = -1, branch = -1;
  int block_tokens = 1;             ///< tokens a cell of a map
  std::string source = "exact";     ///< exact, shadow, sampled (rows of `row_ids`), estimated
  std::string dtype = "<f4";        ///< NumPy's name of a stored element
  std::vector<std::int64_t> shape;  ///< row-major
  std::string encoding = "plain";   ///< plain bits bf16 linear log2
  double scale = 1, offset = 0;     ///< linear: offset + scale * element
  std::string filter = "none";      ///< none up shuffle
  std::vector<float> values;        ///< the numbers meant; for log2, linear and <f2
  std::vector<std::uint8_t> bytes;  ///< little-endian elements
  bool may_repeat = false;          ///< equal arrays are stored once
  bool essential = false;           ///< never dropped while there is room: the run waits for the disk instead
};

/// What one head, or several, kept: 64 x 64 blocks, and inside of those that are cut the exact pairs.
struct CapturePlan {
  std::int64_t plan_id = 0;
  std::string kind = "mask";        ///< dense, mask
  int q_block_tokens = 64, k_block_tokens = 64, q_blocks = 0, k_blocks = 0;
  std::int64_t tokens = 0;
  std::int64_t queries = 0, keys = 0;        ///< slots: tokens where there is no order
  std::int64_t kept_blocks = 0;
  double kept_ratio = 1;            ///< kept pairs over all pairs
  std::vector<std::uint8_t> block_bits;      ///< (q_blocks, ceil(k_blocks/8)), bit 0 first
  std::vector<std::uint32_t> partial_blocks; ///< (P) q_block * k_blocks + k_block, ascending: blocks with some pairs
  std::vector<std::uint64_t> partial_bits;   ///< (P, q_block_tokens): bit j of row i keeps key j of the block

  std::vector<std::uint8_t> reasons;         ///< (q_blocks, k_blocks) of KeepReason; empty: the method does not say

  std::vector<std::uint32_t> q_order, k_order;  ///< slot -> token, `tokens` where a slot is empty; empty: tokens as they come

  bool dense() const { return kind == "dense"; }
  bool keeps_block(int q_block, int k_block) const;
  /// None where it is skipped or not said.
  KeepReason reason(int q_block, int k_block) const {
    return reasons.empty() ? KeepReason::None
                           : static_cast<KeepReason>(reasons[static_cast<std::size_t>(q_block) * static_cast<std::size_t>(k_blocks) + static_cast<std::size_t>(k_block)]);
  }
  bool keeps_slots(std::int64_t query_slot, std::int64_t key_slot) const;
  /// One byte a key token, 1 where the query token keeps it.
  std::vector<std::uint8_t> row(std::int64_t query) const;  // (tokens)
  /// Share of pairs kept in each cell of a grid. @param edges  first token of each cell and, at the end, the number of tokens
  std::vector<float> kept_ratios(const std::vector<std::int64_t>& edges) const;  // (C,C)
  /// Blocks that both keep over blocks that either keeps; 1 where both keep nothing.
  static double block_iou(const CapturePlan& a, const CapturePlan& b);

 private:
  template <typename CellOf>
  void add_ordered_pairs(const CellOf& cell_of, std::size_t cells, std::vector<double>& counts) const;
};

struct CaptureHead {
  int head = 0;
  std::int64_t plan_id = 0;                  ///< 0: dense
  std::shared_ptr<const CapturePlan> plan;   ///< the writer's way to say the same
  std::optional<std::int64_t> age_steps;     ///< since the mask was chosen
  std::optional<double> iou_previous;        ///< with the mask of the step before
  std::optional<double> kept_ratio_requested, kept_ratio_achieved, kept_ratio_tiles, recall;
  std::optional<double> rho_true_mean, rho_true_p05, rho_true_p50, rho_true_p95;
  std::optional<double> rho_used_mean, rho_used_p05, rho_used_p95, rho_over_one_ratio;
  std::optional<double> row_mass_mean, lse_mean, lse_p05, lse_p50, lse_p95, lse_delta_mean;
  std::optional<double> error_ratio, error_l1_ratio, error_cosine, residual_ratio;
  std::optional<double> plan_ms, execute_ms, correct_ms;  ///< its shares of the call's; correct_ms is part of execute_ms
  std::optional<double> pv_left_out_ratio;   ///< of all pairs, those that were kept and met no v
  std::int64_t nonfinite_count = 0;
};

struct CaptureCall {
  std::int64_t call_id = 0;
  int run_id = 0, step = 0, layer = 0, branch = 0;
  std::string action = "full";               ///< full refresh sparse search cached
  std::optional<double> plan_ms, execute_ms, correct_ms, measure_ms, shadow_ms;  ///< correct_ms is part of execute_ms
  std::optional<double> flops_dense, flops_done;
  std::int64_t plan_bytes = 0, state_bytes = 0;
  std::int64_t sampled_rows = 0;             ///< rows behind recall, rho and errors; all tokens under shadow
  std::int64_t nonfinite_count = 0;
  std::string rows_sha256;                   ///< hex; of the output at the run's sampled rows: what a replay is held against
  std::vector<std::uint8_t> rows_bytes;      ///< the writer hashes these
  std::vector<CaptureHead> heads;
};

struct CaptureStep {
  int run_id = 0, step = 0;
  double timestep = 0;
  std::optional<double> sigma, guidance_scale;
  std::string action = "full";
  std::optional<double> step_ms, attention_ms, capture_ms, shadow_ms;  ///< shadow_ms is no part of step_ms
  std::optional<double> kept_ratio_requested, kept_ratio;
  std::int64_t state_bytes = 0;
  std::optional<double> latent_error_ratio;  ///< relative RMS against the capture's first run, where they share noise and steps
  int replay_from = 0;                       ///< steps replay_from .. step-1 rebuild what the method remembers
};

struct CaptureModel {
  std::string name, class_name, config;      ///< config: JSON
  std::string fingerprint;                   ///< hex, of configs and weights; see model_fingerprint()
  int layers = 0, heads = 0, head_width = 0;
};

/// A run: what was asked, of what, where, and how it ended.
struct CaptureRun {
  int run_id = 0;
  std::string name, method, parameters = "{}", schedule = "[]";  ///< schedule: JSON, per step the kind of each layer
  std::vector<std::string> branches;         ///< "unconditional" "conditional"
  std::string dtype, level, selection = "{}", token_order = "frame_major";
  std::string state = "recording";           ///< recording, complete, stopped: <why>, interrupted: <how far>
  std::string started_utc, ended_utc;
  std::optional<double> total_ms, attention_ms, capture_ms, shadow_ms;
  std::optional<double> kept_ratio_requested, kept_ratio_achieved;
  std::int64_t peak_bytes = 0;
  std::string metrics = "{}";

  // The request.
  std::string request = "{}";                ///< JSON of core/pipeline/request.h, completed
  std::string prompt, negative_prompt, seed = "0", noise_hash, scheduler = "{}", words = "[]";
  int steps = 0, frames = 0, height_px = 0, width_px = 0;
  double guidance_scale = 1, fps = 8;
  int grid_frames = 1, grid_rows = 1, grid_columns = 1, text_tokens = 0;
  bool text_first = true;
  CaptureModel model;
  std::string environment = "{}";            ///< JSON: versions, instruction set, threads, device

  std::int64_t tokens() const { return text_tokens + std::int64_t{grid_frames} * grid_rows * grid_columns; }
};

/// A place worth a return.
struct CaptureBookmark {
  std::int64_t bookmark_id = 0;
  std::string title, note, colour, view;  ///< colour: #RRGGBB or empty; view: JSON
  int run_id = 0, step = 0, layer = 0, head = 0, branch = 0;
};

/// Something that belongs here and is not.
struct CaptureGap {
  int run_id = 0, step = -1, layer = -1, branch = -1;
  std::string kind;
  std::int64_t bytes = 0;
  std::string reason;  ///< budget, pressure, size
};

/// First token of each cell of a map and, at the end, the number of tokens. Cells restart where text meets video.
std::vector<std::int64_t> map_edges(std::int64_t text_tokens, bool text_first, std::int64_t tokens, std::int64_t block_tokens);
/// The smallest 64 * 2^k with which a map has at most `cells` cells.
std::int64_t map_block_tokens(std::int64_t text_tokens, bool text_first, std::int64_t tokens, std::int64_t cells);

}  // namespace ditscope
