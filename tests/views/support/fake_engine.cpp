#include "tests/views/support/fake_engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>
#include <thread>

#include "core/capture/capture_writer.h"
#include "kernels/error.h"

namespace ditscope::test {
namespace {

Frames draw(int count, int height, int width, double error, double sharpness) {
  Frames frames;
  frames.count = count;
  frames.height = height;
  frames.width = width;
  frames.rgb.resize(frames.frame_size() * static_cast<std::size_t>(count));
  for (int f = 0; f < count; ++f) {
    const double x0 = width * (0.3 + 0.4 * f / std::max(1, count - 1)), y0 = height * 0.45, radius = height * 0.22;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        float* pixel = frames.frame(f) + 3 * (static_cast<std::size_t>(y) * width + x);
        const double inside = std::clamp((radius - std::hypot(x - x0, y - y0)) * sharpness / radius * 8 + 0.5, 0.0, 1.0);
        const double light = 1 - std::hypot(x - x0 + radius * 0.4, y - y0 + radius * 0.4) / (radius * 2.2);
        const bool floor = y > height * 0.6;
        const double checker =
            (static_cast<int>(x * 10.0 / width) + static_cast<int>((y - height * 0.6) * 12.0 / height)) % 2 ? 0.8 : 0.35;
        const double ground[3] = {floor ? checker : 0.42, floor ? checker : 0.52, floor ? checker * 0.95 : 0.6};
        const double ball[3] = {0.35 + 0.6 * light, 0.12 * light, 0.10 * light};
        const double noise = error * std::sin(x * 0.9 + f) * std::cos(y * 0.7 - f * 0.5);
        for (int c = 0; c < 3; ++c) {
          pixel[c] = static_cast<float>(std::clamp(ground[c] + (ball[c] - ground[c]) * inside + noise, 0.0, 1.0));
        }
      }
    }
  }
  return frames;
}

/// What a run of the fake leaves in a capture: two layers of two heads, known maps.
class Recording {
 public:
  Recording(CaptureWriter* writer, const Request& request, const CaptureSizes& sizes) : writer_(writer) {
    if (!writer_) return;
    run_.name = run_.method = request.method.key;
    run_.branches = {"conditional"};
    run_.dtype = "float32";
    run_.level = "summary";
    run_.steps = request.steps;
    run_.prompt = request.prompt;
    run_.frames = request.frames, run_.height_px = request.height, run_.width_px = request.width;
    run_.grid_frames = (request.frames + 3) / 4, run_.grid_rows = request.height / 16, run_.grid_columns = request.width / 16;
    run_.text_tokens = 32;
    run_.model = {"solids-256", "T", "{}", "abc", 2, 2, 48};
    run_.run_id = writer_->begin_run(run_, sizes);
  }
  void step(int step, const std::string& action) {
    if (!writer_) return;
    const auto cells = static_cast<std::int64_t>(map_edges(32, true, run_.tokens(), 64).size()) - 1;
    for (int layer = 0; layer < 2; ++layer) {
      CaptureTensor map;
      map.kind = "map", map.step = step, map.layer = layer, map.branch = 0, map.block_tokens = 64;
      map.dtype = "<f4", map.shape = {2, cells, cells};
      map.values.assign(static_cast<std::size_t>(2 * cells * cells), 1.0F / static_cast<float>(cells));
      writer_->add(std::move(map));
      CaptureCall call;
      call.step = step, call.layer = layer, call.branch = 0, call.action = action;
      call.heads.resize(2);
      for (int head = 0; head < 2; ++head) call.heads[static_cast<std::size_t>(head)].head = head;
      writer_->add(std::move(call));
    }
    CaptureStep row;
    row.run_id = run_.run_id;
    row.step = step;
    row.action = action;
    writer_->end_step(row);
  }
  void end(const char* state) {
    if (!writer_) return;
    run_.state = state;
    writer_->end_run(run_);
  }

 private:
  CaptureWriter* writer_;
  CaptureRun run_;
};

class FakeEngine final : public gui::Engine {
 public:
  explicit FakeEngine(std::shared_ptr<FakeBehaviour> behaviour) : behaviour_(std::move(behaviour)) {}

  ModelInfo inspect(const std::filesystem::path& folder) override {
    if (behaviour_->no_model)
      throw Error(ErrorKind::NotFound, "No model_index.json in " + folder.string() + ". Choose a diffusers folder.");
    ModelInfo info;
    info.folder = folder;
    info.name = folder.filename().string();
    info.family = "CogVideoX";
    info.bundled = folder == bundled_model();
    info.layers = 8;
    info.heads = 8;
    info.head_dim = 48;
    info.parameters = 12'000'000;
    info.weight_bytes = 24'000'000;
    info.default_steps = 30;
    info.default_frames = 9;
    info.default_height = info.default_width = 64;
    info.max_text_tokens = 32;
    info.default_scheduler = "CogVideoXDDIMScheduler";
    info.sizes = {{64, 64}, {96, 64}};
    info.frame_counts = {9, 17, 33};
    info.example_prompt = "a large glossy red sphere bounces on a checkered floor, slate backdrop";
    return info;
  }
  std::filesystem::path bundled_model() override { return "/models/solids-256"; }
  Request complete(const Request& request) override {
    if (request.frames % 4 != 1) throw Error(ErrorKind::InvalidArgument, "expected 4 n + 1 frames; 9 and 13 are the nearest");
    Request completed = request;
    completed.method = resolve(request.method, std::max(1, request.steps));
    return completed;
  }
  std::map<std::string, std::int64_t> estimate_bytes(const Request&) override {
    return {{"weights", 300'000'000}, {"activations", 800'000'000}, {"vae", 700'000'000}, {"method", 100'000'000}};
  }
  int count_tokens(const std::filesystem::path&, const std::string& text) override {
    std::istringstream words(text);
    std::string word;
    int count = 1;
    while (words >> word) ++count;
    return count;
  }

  RunResult run(const Request& request, EventSink& sink, RunControl& control, CaptureWriter* capture) override {
    ++behaviour_->runs;
    if (behaviour_->out_of_memory)
      throw Error(ErrorKind::OutOfMemory, "Out of memory in VAE decode: needs 4.5 GB, 1.9 free. Use fewer frames.");
    RunResult result;
    result.request = complete(request);
    result.noise_hash = "0123456789abcdef";
    return go_on(std::move(result), sink, control, capture);
  }
  RunResult resume(const RunResult& stopped, EventSink& sink, RunControl& control) override {
    RunResult result = stopped;
    result.stopped = false;
    result.partial = nullptr;
    return go_on(std::move(result), sink, control, nullptr);
  }
  RunResult decode(const RunResult& stopped, EventSink&, RunControl&) override {
    RunResult result = stopped;
    result.frames = frames_of(result.request, 0.2);
    return result;
  }
  CaptureSizes capture_sizes(const Request& request) override {
    CaptureSizes sizes;
    sizes.steps = request.steps;
    sizes.layers = sizes.heads = 8;
    sizes.branches = 2;
    sizes.head_width = 48;
    sizes.tokens = 800;
    sizes.dense_steps = request.steps;
    sizes.text_tokens = 32;
    return sizes;
  }
  std::filesystem::path model_of(const CaptureRun& run, const std::filesystem::path& model) override {
    const std::lock_guard lock(behaviour_->mutex);
    if (behaviour_->folders.empty()) return bundled_model();
    const std::filesystem::path folder = model.empty() ? "/models/elsewhere" : model;
    const auto found = behaviour_->folders.find(folder);
    if (found == behaviour_->folders.end()) throw Error(ErrorKind::NotFound, "Replay is off: no folder " + folder.string() + ".");
    if (found->second != run.model.fingerprint) throw Error(ErrorKind::InvalidArgument, "Replay is off: the model in " + folder.string() + " is another one.");
    return folder;
  }
  AttentionOperands replay(const CaptureReader& capture, int run_id, int step, int, int, const std::filesystem::path& model, EventSink&,
                           RunControl&) override {
    const CaptureRun run = capture.run(run_id);
    model_of(run, model);
    if (!behaviour_->replays) throw Error(ErrorKind::NotFound, "Replay is off: this machine does not have the model of this capture.");
    AttentionOperands o;
    o.heads = run.model.heads, o.tokens = run.tokens(), o.width = run.model.head_width;
    o.scale = 1;
    o.q.resize(static_cast<std::size_t>(o.heads * o.tokens * o.width));
    for (std::size_t i = 0; i < o.q.size(); ++i) o.q[i] = 0.1F * std::sin(0.37F * static_cast<float>(i % 9973) + static_cast<float>(step));
    o.k = o.v = o.out = o.q;
    o.source = "replayed";
    return o;
  }
  std::vector<std::int64_t> attend_shape(const std::filesystem::path& tensors) override {
    if (!std::filesystem::exists(tensors)) throw Error(ErrorKind::NotFound, "There is no " + tensors.string() + ".");
    return {3, 2, 4, 197, 16};
  }
  void attend(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on) override {
    for (std::int64_t step = 0; step < 3; ++step) {
      if (!goes_on(step)) throw Error(ErrorKind::Cancelled, "Stopped before step " + std::to_string(step) + ".");
      std::this_thread::sleep_for(std::chrono::milliseconds(behaviour_->step_ms * 5));
    }
    {
      std::lock_guard lock(behaviour_->mutex);
      behaviour_->attended = request;
    }
    std::filesystem::copy_file(behaviour_->recorded, request.capture, std::filesystem::copy_options::overwrite_existing);
  }
  void unload() override {}

 private:
  static bool is_full(const Request& request) { return request.method.key == "full"; }
  static Frames frames_of(const Request& request, double sharpness) {
    return draw(request.frames, request.height, request.width, is_full(request) ? 0 : 0.06, sharpness);
  }

  RunResult go_on(RunResult result, EventSink& sink, RunControl& control, CaptureWriter* capture) {
    const Request& request = result.request;
    Recording recording(capture, request, capture_sizes(request));
    const bool full = is_full(request);
    const int warm_up = full ? request.steps : static_cast<int>(std::lround(0.3 * request.steps));
    sink.on_event(StageProgress{StageProgress::Stage::Loading, "transformer", 12e6, 24e6, "bytes"});
    for (int step = static_cast<int>(result.steps.size()); step < request.steps; ++step) {
      for (int layer = 0; layer < 8; ++layer) {
        if (control.check()) {
          recording.end("stopped");
          return stop(std::move(result), control);
        }
        sink.on_event(LayerProgress{step, request.steps, layer, 8});
        std::this_thread::sleep_for(std::chrono::microseconds(behaviour_->step_ms * 125));
      }
      StepRecord record;
      record.index = step;
      record.timestep = 999.0 * (request.steps - step) / request.steps;
      const bool dense = step < warm_up || step % 5 == 0;
      record.kind = full || step < warm_up ? StepRecord::Kind::Full
                    : dense                ? StepRecord::Kind::Refresh
                                           : StepRecord::Kind::Sparse;
      record.seconds = dense || full ? 1.30 + 0.02 * (step % 3) : 0.84;
      record.attention_seconds = dense || full ? 0.753 : 0.148;
      record.kept_ratio_requested = dense || full ? 1 : 0.031;
      record.kept_ratio_achieved = dense || full ? 1 : 0.061;
      result.steps.push_back(record);
      recording.step(step, record.kind == StepRecord::Kind::Full ? "full" : record.kind == StepRecord::Kind::Refresh ? "refresh" : "sparse");
      result.seconds += record.seconds;
      result.attention_seconds += record.attention_seconds;
      const double sharpness = 0.15 + 0.85 * (step + 1) / request.steps;
      sink.on_event(StepFinished{record, request.steps, result.seconds, (request.steps - step - 1) * record.seconds,
                                 draw(3, request.height / 2, request.width / 2, 0.3 * (1 - sharpness), sharpness)});
    }
    result.frames = frames_of(request, 1);
    recording.end("complete");
    if (!full) result.kept_ratio = {0.031, 0.061, 0.507};
    return result;
  }

  static RunResult stop(RunResult result, const RunControl& control) {
    result.stopped = true;
    // Stands for the latents; nobody looks inside.
    const auto latents = std::make_shared<int>(0);
    result.partial = std::shared_ptr<PartialRun>(latents, reinterpret_cast<PartialRun*>(latents.get()));
    if (control.stop_requested() == RunControl::Stop::Decode) result.frames = frames_of(result.request, 0.2);
    return result;
  }

  std::shared_ptr<FakeBehaviour> behaviour_;
};

}  // namespace

gui::EngineFactory fake_engine(std::shared_ptr<FakeBehaviour> behaviour) {
  return [behaviour] { return std::make_unique<FakeEngine>(behaviour); };
}

}  // namespace ditscope::test
