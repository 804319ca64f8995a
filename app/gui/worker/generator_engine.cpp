#include "app/gui/worker/generator_engine.h"

namespace ditscope::gui {
namespace {

class GeneratorEngine final : public Engine {
 public:
  ModelInfo inspect(const std::filesystem::path& folder) override { return Generator::inspect(folder); }
  std::filesystem::path bundled_model() override { return Generator::bundled_model(); }
  Request complete(const Request& request) override { return Generator::complete(request); }
  std::map<std::string, std::int64_t> estimate_bytes(const Request& request) override {
    return Generator::estimate_bytes(request);
  }
  int count_tokens(const std::filesystem::path& model, const std::string& text) override {
    return generator_.count_tokens(model, text);
  }
  RunResult run(const Request& request, EventSink& sink, RunControl& control, CaptureWriter* capture) override {
    return generator_.run(request, sink, control, capture);
  }
  RunResult resume(const RunResult& stopped, EventSink& sink, RunControl& control) override {
    return generator_.resume(stopped, sink, control);
  }
  RunResult decode(const RunResult& stopped, EventSink& sink, RunControl& control) override {
    return generator_.decode(stopped, sink, control);
  }
  CaptureSizes capture_sizes(const Request& request) override { return Generator::capture_sizes(request); }
  std::filesystem::path model_of(const CaptureRun& run, const std::filesystem::path& model) override { return Generator::model_of(run, model); }
  AttentionOperands replay(const CaptureReader& capture, int run_id, int step, int layer, int branch, const std::filesystem::path& model,
                           EventSink& sink, RunControl& control) override {
    return generator_.replay(capture, run_id, step, layer, branch, model, sink, control);
  }
  std::vector<std::int64_t> attend_shape(const std::filesystem::path& tensors) override { return ditscope::attend_shape(tensors); }
  void attend(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on) override { attend_file(request, goes_on); }
  void unload() override { generator_.unload(); }

 private:
  Generator generator_;
};

}  // namespace

std::unique_ptr<Engine> make_generator_engine() {
  return std::make_unique<GeneratorEngine>();
}

}  // namespace ditscope::gui
