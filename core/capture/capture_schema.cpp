#include "core/capture/capture_schema.h"

namespace ditscope::capture_file {

namespace {

std::vector<std::string> make_schema(int minor) {
  const auto since = [minor](int version, const char* columns) { return std::string(minor >= version ? columns : ""); };
  return {
      // state: recording (so it stays after a crash), complete, stopped: <why>
      R"(CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID)",
      R"(CREATE TABLE environments(
  environment_id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, json TEXT NOT NULL) STRICT)",
      R"(CREATE TABLE models(
  model_id INTEGER PRIMARY KEY, name TEXT NOT NULL, class TEXT NOT NULL, config TEXT NOT NULL,
  fingerprint TEXT NOT NULL, layers INTEGER NOT NULL, heads INTEGER NOT NULL, head_width INTEGER NOT NULL) STRICT)",
      R"(CREATE TABLE requests(
  request_id INTEGER PRIMARY KEY, prompt TEXT NOT NULL, negative_prompt TEXT NOT NULL,
  seed TEXT NOT NULL, -- decimal, unsigned 64 bit
  noise_hash TEXT NOT NULL, steps INTEGER NOT NULL, guidance_scale REAL NOT NULL, scheduler TEXT NOT NULL, -- JSON
  frames INTEGER NOT NULL, height_px INTEGER NOT NULL, width_px INTEGER NOT NULL, fps REAL NOT NULL,
  grid_frames INTEGER NOT NULL, grid_rows INTEGER NOT NULL, grid_columns INTEGER NOT NULL,
  text_tokens INTEGER NOT NULL, text_first INTEGER NOT NULL, -- N = text_tokens + frames * rows * columns of the grid
  words TEXT NOT NULL) STRICT -- JSON, a list per branch: [[token_id, piece, first byte, end byte], ...])",
      R"(CREATE TABLE runs(
  run_id INTEGER PRIMARY KEY, request_id INTEGER NOT NULL REFERENCES requests,
  model_id INTEGER NOT NULL REFERENCES models, environment_id INTEGER NOT NULL REFERENCES environments,
  name TEXT NOT NULL, method TEXT NOT NULL, parameters TEXT NOT NULL, schedule TEXT NOT NULL, branches TEXT NOT NULL, -- JSON
  request TEXT NOT NULL, dtype TEXT NOT NULL, level TEXT NOT NULL, selection TEXT NOT NULL, token_order TEXT NOT NULL,
  state TEXT NOT NULL, started_utc TEXT NOT NULL, ended_utc TEXT NOT NULL,
  total_ms REAL, attention_ms REAL, capture_ms REAL, shadow_ms REAL, -- shadow time is never part of total_ms
  kept_ratio_requested REAL, kept_ratio_achieved REAL, peak_bytes INTEGER NOT NULL,
  metrics TEXT NOT NULL) STRICT)",
      R"(CREATE TABLE steps( -- a row is there exactly when the step is complete
  run_id INTEGER NOT NULL, step INTEGER NOT NULL, timestep REAL NOT NULL, sigma REAL, guidance_scale REAL,
  action TEXT NOT NULL, step_ms REAL, attention_ms REAL, capture_ms REAL, shadow_ms REAL,
  kept_ratio_requested REAL, kept_ratio REAL, state_bytes INTEGER NOT NULL, latent_error_ratio REAL,
  replay_from INTEGER NOT NULL, PRIMARY KEY(run_id, step)) STRICT, WITHOUT ROWID)",
      R"(CREATE TABLE calls(
  call_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, step INTEGER NOT NULL, layer INTEGER NOT NULL,
  branch INTEGER NOT NULL, -- index into runs.branches
  action TEXT NOT NULL, plan_ms REAL, execute_ms REAL, )" + since(2, "correct_ms REAL, -- part of execute_ms\n  ") + R"(measure_ms REAL, shadow_ms REAL,
  flops_dense REAL, flops_done REAL, plan_bytes INTEGER NOT NULL, state_bytes INTEGER NOT NULL,
  sampled_rows INTEGER NOT NULL, nonfinite_count INTEGER NOT NULL, rows_sha256 TEXT NOT NULL,
  UNIQUE(run_id, step, layer, branch)) STRICT)",
      R"(CREATE TABLE heads( -- ratios 0..1 unless said; log-sum-exp in nats
  call_id INTEGER NOT NULL, head INTEGER NOT NULL, plan_id INTEGER NOT NULL, age_steps INTEGER, iou_previous REAL,
  kept_ratio_requested REAL, kept_ratio_achieved REAL, kept_ratio_tiles REAL, recall REAL,
  rho_true_mean REAL, rho_true_p05 REAL, rho_true_p50 REAL, rho_true_p95 REAL,
  rho_used_mean REAL, rho_used_p05 REAL, rho_used_p95 REAL, rho_over_one_ratio REAL,
  row_mass_mean REAL, lse_mean REAL, lse_p05 REAL, lse_p50 REAL, lse_p95 REAL, lse_delta_mean REAL,
  error_ratio REAL, error_l1_ratio REAL, error_cosine REAL, residual_ratio REAL,
  execute_ms REAL, )" + since(2, "plan_ms REAL, correct_ms REAL, pv_left_out_ratio REAL,\n  ") +
          R"(nonfinite_count INTEGER NOT NULL, PRIMARY KEY(call_id, head)) STRICT, WITHOUT ROWID)",
      R"(CREATE TABLE plans( -- what a head kept; many heads, layers and steps share one; plan_id 0: every pair
  plan_id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  q_block_tokens INTEGER NOT NULL, k_block_tokens INTEGER NOT NULL, q_blocks INTEGER NOT NULL, k_blocks INTEGER NOT NULL,
  tokens INTEGER NOT NULL, queries INTEGER NOT NULL, keys INTEGER NOT NULL, -- slots: tokens where there is no order
  kept_blocks INTEGER NOT NULL, kept_ratio REAL NOT NULL,
  mask_id INTEGER NOT NULL, -- tensor (q_blocks, ceil(k_blocks/8)), bit 0 first
  partial_blocks_id INTEGER NOT NULL, -- tensor (P) of q_block * k_blocks + k_block; 0: every kept block is kept whole
  partial_bits_id INTEGER NOT NULL, -- tensor (P, q_block_tokens): bit j of row i keeps key j of the block
  q_order_id INTEGER NOT NULL, k_order_id INTEGER NOT NULL) STRICT -- tensors, slot -> token; 0: tokens as they come)",
      R"(CREATE TABLE tensors(
  tensor_id INTEGER PRIMARY KEY,
  data_id INTEGER NOT NULL, -- owner of the chunks: itself, or an earlier tensor with equal header and sha256
  run_id INTEGER NOT NULL, kind TEXT NOT NULL, step INTEGER NOT NULL, layer INTEGER NOT NULL, branch INTEGER NOT NULL,
  block_tokens INTEGER NOT NULL, source TEXT NOT NULL, -- exact, shadow, sampled, estimated
  dtype TEXT NOT NULL, shape TEXT NOT NULL, chunk_items INTEGER NOT NULL, -- NumPy's name; JSON, row-major
  encoding TEXT NOT NULL, scale REAL NOT NULL, offset REAL NOT NULL, -- plain, bits, bf16, linear, log2
  filter TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT -- none, up, shuffle; hash of the decoded bytes or empty)",
      R"(CREATE INDEX tensors_key ON tensors(run_id, kind, step, layer, branch, block_tokens))",
      R"(CREATE TABLE chunks(
  chunk_id INTEGER PRIMARY KEY, -- data_id * 2^20 + chunk number
  codec INTEGER NOT NULL, -- 0 bytes as they are, unfiltered; 1 zlib(filter(bytes))
  crc32 INTEGER NOT NULL, data BLOB NOT NULL) STRICT)",
      R"(CREATE TABLE bookmarks(
  bookmark_id INTEGER PRIMARY KEY, created_utc TEXT NOT NULL, title TEXT NOT NULL, note TEXT NOT NULL, colour TEXT NOT NULL,
  run_id INTEGER NOT NULL, step INTEGER NOT NULL, layer INTEGER NOT NULL, head INTEGER NOT NULL, branch INTEGER NOT NULL,
  view TEXT NOT NULL) STRICT -- JSON: view name, camera, ranges, selected tokens)",
      R"(CREATE TABLE gaps( -- what should be here and is not
  gap_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, step INTEGER NOT NULL, layer INTEGER NOT NULL, branch INTEGER NOT NULL,
  kind TEXT NOT NULL, bytes INTEGER NOT NULL, reason TEXT NOT NULL) STRICT -- budget, pressure, size)",
  };
}

}  // namespace

const std::vector<std::string>& schema(int minor) {
  static const std::vector<std::string> kFirst = make_schema(1), kNow = make_schema(kMinor);
  return minor < 2 ? kFirst : kNow;
}

}  // namespace ditscope::capture_file
