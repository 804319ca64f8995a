#pragma once
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/capture/capture_writer.h"

namespace ditscope::views {

/// What a capture for tests holds: run A attends in full, run B as Re-ttention does. Every figure follows from its place, so that a
/// test knows what a plot must show.
struct PlotCapture {
  int steps = 6, layers = 2, heads = 3;
  int text_tokens = 4, grid_frames = 3, grid_rows = 4, grid_columns = 4;
  int frames = 9, side_px = 16;
  int runs = 2;
  bool shadow = true;      ///< without: no figure of errors and rho, and no rows
  bool poisoned = false;   ///< errors of step 4 are infinite; what cannot be stored stays out
  bool with_frames = true;

  int tokens() const { return text_tokens + grid_frames * grid_rows * grid_columns; }
  /// Full at 0 and 1, a refresh at 2, sparse after it.
  const char* action(int run, int step) const { return run == 0 || step < 2 ? "full" : step == 2 ? "refresh" : "sparse"; }
  double error(int step, int layer, int head) const { return step < 3 ? 1e-7 : 0.01 * (step - 2) + 0.005 * layer + 0.001 * head; }
  double rho(int step) const { return 0.8 - 0.02 * step; }
  double rho_used(int step) const { return rho(2) + 0.04 * (step - 2); }
  double lse(int step, int token) const { return 10 + 0.1 * step + 0.01 * token; }
};

inline CaptureTensor plot_tensor(const char* kind, int step, int layer, int branch, std::vector<std::int64_t> shape, std::vector<float> values) {
  CaptureTensor t;
  t.kind = kind, t.step = step, t.layer = layer, t.branch = branch;
  t.shape = std::move(shape);
  t.values = std::move(values);
  return t;
}

/// A video whose pixel values are frame, row and column in 255ths, run B 10/255 lighter.
inline CaptureTensor plot_video(const char* kind, int step, int frames, int side, int run) {
  CaptureTensor t;
  t.kind = kind, t.step = step, t.dtype = "|u1";
  t.shape = {frames, 3, side, side};
  for (int f = 0; f < frames; ++f) {
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) t.bytes.push_back(static_cast<std::uint8_t>((c == 0 ? f * 20 : c == 1 ? y * 10 : x * 10) + 10 * run));
      }
    }
  }
  return t;
}

inline CaptureRun plot_record(const PlotCapture& wanted, int run) {
  CaptureRun r;
  r.name = r.method = run == 0 ? "full" : "re-ttention";
  r.parameters = run == 0 ? "{}" : R"({"lambda":0.04})";
  r.branches = {"unconditional", "conditional"};
  r.dtype = "float32";
  r.level = "full";
  r.steps = wanted.steps;
  r.prompt = "a red cat";
  r.words = R"([[],[[1,"a",0,1],[2,"red",2,5],[3,"cat",6,9]]])";
  r.frames = wanted.frames, r.height_px = r.width_px = wanted.side_px;
  r.grid_frames = wanted.grid_frames, r.grid_rows = wanted.grid_rows, r.grid_columns = wanted.grid_columns;
  r.text_tokens = wanted.text_tokens;
  r.model = {"tiny", "T", "{}", "abc", wanted.layers, wanted.heads, 8};
  r.kept_ratio_requested = run == 0 ? 1 : 0.25;
  nlohmann::json schedule;
  for (int step = 0; step < wanted.steps; ++step) schedule.push_back(std::vector<std::string>(wanted.layers, wanted.action(run, step)));
  r.schedule = schedule.dump();
  return r;
}

inline void add_plot_call(CaptureWriter& writer, const PlotCapture& wanted, int run, int step, int layer, int branch) {
  const std::string action = wanted.action(run, step);
  const bool sparse = action == "sparse";
  CaptureCall call;
  call.step = step, call.layer = layer, call.branch = branch, call.action = action;
  call.execute_ms = sparse ? 2 : 8;
  call.plan_ms = 0;
  call.flops_dense = 100;
  call.flops_done = sparse ? 25 : 100;
  call.plan_bytes = run == 0 ? 0 : 1'000'000;
  for (int head = 0; head < wanted.heads; ++head) {
    CaptureHead h;
    h.head = head;
    h.kept_ratio_achieved = sparse ? 0.25 : action == "refresh" ? 1.25 : 1;
    h.kept_ratio_tiles = sparse ? 0.25 : 1;
    h.execute_ms = *call.execute_ms / wanted.heads;
    if (wanted.shadow && run == 1) {
      h.error_l1_ratio = wanted.poisoned && step == 4 ? std::numeric_limits<double>::infinity() : wanted.error(step, layer, head);
      if (step >= 2) h.rho_true_mean = wanted.rho(step);
      if (sparse) {
        h.rho_used_mean = wanted.rho_used(step);
        h.row_mass_mean = 1 + 0.04 * (step - 3);
        h.rho_over_one_ratio = 0.5;
      }
    }
    call.heads.push_back(h);
  }
  writer.add(call);
  if (!wanted.shadow) return;
  const std::int64_t tokens = wanted.tokens();
  std::vector<float> lse, rho, used;
  for (int head = 0; head < wanted.heads; ++head) {
    for (int token = 0; token < tokens; ++token) {
      lse.push_back(static_cast<float>(wanted.lse(step, token)));
      rho.push_back(static_cast<float>(std::log(wanted.rho(step))));
      if (token % 4 == 0) used.push_back(static_cast<float>(std::log(wanted.rho_used(step))));
    }
  }
  const std::int64_t sampled = (tokens + 3) / 4;
  std::vector<float> sampled_rho(static_cast<std::size_t>(wanted.heads * sampled), static_cast<float>(std::log(wanted.rho(step))));
  CaptureTensor all = plot_tensor("lse_full", step, layer, branch, {wanted.heads, tokens}, lse);
  all.source = "shadow";
  writer.add(all);
  if (run == 1 && step >= 2) {
    CaptureTensor true_rho = plot_tensor("log_rho", step, layer, branch, {wanted.heads, tokens}, rho);
    true_rho.source = "shadow";
    writer.add(true_rho);
    CaptureTensor some = plot_tensor("log_rho", step, layer, branch, {wanted.heads, sampled}, sampled_rho);
    some.source = "sampled";
    writer.add(some);
  }
  if (run == 1 && sparse) {
    CaptureTensor some = plot_tensor("log_rho_used", step, layer, branch, {wanted.heads, sampled}, used);
    some.source = "sampled";
    writer.add(some);
  }
}

inline void write_plot_capture(const std::filesystem::path& file, const PlotCapture& wanted = {}) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  CaptureWriter writer(file, options);
  CaptureSizes sizes;
  sizes.steps = wanted.steps, sizes.layers = wanted.layers, sizes.branches = 2, sizes.heads = wanted.heads, sizes.head_width = 8;
  sizes.tokens = wanted.tokens(), sizes.text_tokens = wanted.text_tokens, sizes.latent_bytes = 1024, sizes.dense_steps = 2;
  for (int run = 0; run < wanted.runs; ++run) {
    CaptureRun r = plot_record(wanted, run);
    writer.begin_run(r, sizes);
    std::vector<std::uint8_t> rows;
    for (std::uint32_t token = 0; token < static_cast<std::uint32_t>(wanted.tokens()); token += 4) {
      for (int byte = 0; byte < 4; ++byte) rows.push_back(static_cast<std::uint8_t>(token >> (8 * byte)));
    }
    CaptureTensor ids;
    ids.kind = "row_ids", ids.dtype = "<u4", ids.shape = {static_cast<std::int64_t>(rows.size() / 4)}, ids.bytes = rows;
    writer.add(ids);
    for (int step = 0; step < wanted.steps; ++step) {
      for (int layer = 0; layer < wanted.layers; ++layer) {
        for (int branch = 0; branch < 2; ++branch) add_plot_call(writer, wanted, run, step, layer, branch);
      }
      writer.add(plot_video("preview", step, wanted.grid_frames, 4, run));
      CaptureStep s;
      s.step = step;
      s.action = wanted.action(run, step);
      s.attention_ms = s.action == "sparse" ? 8 : 32;
      s.state_bytes = run == 0 ? 0 : 2'000'000;
      writer.end_step(s);
    }
    if (wanted.with_frames) writer.add(plot_video("frames", -1, wanted.frames, wanted.side_px, run));
    r.state = "complete";
    writer.end_run(r);
  }
  writer.close();
}

}  // namespace ditscope::views
