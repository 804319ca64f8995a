// A run that records, views that look at it, and a stop at any moment. A few rounds here; tests/sanitize/live_capture.sh has 200 of them
// under ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/plot_capture.h"
#include "tests/views/inspect/recording_canvas.h"
#include "tests/views/inspect/synthetic_capture.h"
#include "views/inspect/view.h"

namespace ditscope::views {
namespace {

using Random = std::mt19937;

int below(Random& random, int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); }
void rest(Random& random, int most_us) { std::this_thread::sleep_for(std::chrono::microseconds(below(random, most_us))); }

/// Records on a thread of its own until it is told to stop, which may be in the middle of a step.
class LiveRun {
 public:
  LiveRun(std::filesystem::path file, unsigned seed) : file_(std::move(file)), thread_([this, seed] { record(Random(seed)); }) {}
  ~LiveRun() {
    stop();
    thread_.join();
  }
  void stop() { stop_ = true; }
  bool ended() const { return ended_; }

 private:
  void record(Random random) {
    const PlotCapture wanted;
    CaptureOptions options;
    options.level = CaptureOptions::Level::Full;
    CaptureWriter writer(file_, options);
    CaptureSizes sizes;
    sizes.steps = wanted.steps, sizes.layers = wanted.layers, sizes.branches = 2, sizes.heads = wanted.heads, sizes.head_width = 8;
    sizes.tokens = wanted.tokens(), sizes.text_tokens = wanted.text_tokens, sizes.latent_bytes = 1024, sizes.dense_steps = 2;
    bool stopped = false;
    for (int run = 0; run < 2 && !stopped; ++run) {
      CaptureRun record = plot_record(wanted, run);
      writer.begin_run(record, sizes);
      for (int step = 0; step < wanted.steps && !stopped; ++step) {
        for (int layer = 0; layer < wanted.layers && !stopped; ++layer) {
          for (int branch = 0; branch < 2; ++branch) add_plot_call(writer, wanted, run, step, layer, branch);
          for (const char* kind : {"q", "k", "v"}) {
            CaptureTensor t = plot_tensor(kind, step, layer, 1, {wanted.heads, wanted.tokens(), 8},
                                          std::vector<float>(static_cast<std::size_t>(wanted.heads * wanted.tokens() * 8), 0.01F * static_cast<float>(step)));
            if (step % 2 == 0) writer.add(std::move(t));
          }
          rest(random, 2000);
          stopped = stop_;
        }
        if (stopped) {
          writer.abandon_step();
          break;
        }
        writer.add(plot_video("preview", step, wanted.grid_frames, 4, run));
        CaptureStep s;
        s.step = step;
        s.action = wanted.action(run, step);
        writer.end_step(s);
        writer.totals();
      }
      record.state = stopped ? "stopped: by the user" : "complete";
      writer.end_run(record);
    }
    writer.close(stopped ? "stopped: by the user" : "complete");
    ended_ = true;
  }

  std::filesystem::path file_;
  std::atomic<bool> stop_ = false, ended_ = false;
  std::thread thread_;
};

/// What a person does with the window, many times a second.
class Looker {
 public:
  Looker(Inspection& inspection, unsigned seed) : inspection_(inspection), random_(seed) {
    for (const std::string& id : inspect_view_ids()) views_.push_back(make_inspect_view(id));
    inspection_.on_change([this] { ++changes_; });
    inspection_.set_operands_source([](const auto&, int, int, int, int, const std::function<bool()>& stopped) {
      for (int i = 0; i < 5; ++i) {  // a replay that can be stopped
        if (stopped()) throw Error(ErrorKind::Cancelled, "stopped");
        std::this_thread::sleep_for(std::chrono::microseconds(300));
      }
      AttentionOperands o;
      const PlotCapture wanted;
      o.heads = wanted.heads, o.tokens = wanted.tokens(), o.width = 8;
      o.q.assign(static_cast<std::size_t>(o.heads * o.tokens * o.width), 0.1F);
      o.k = o.v = o.q;
      return o;
    });
  }
  ~Looker() { inspection_.on_change({}); }

  void look() {
    const int what = below(random_, 16);
    if (what == 0) inspection_.refresh();
    if (what == 1) inspection_.reread();
    if (what == 2) inspection_.set_hover({below(random_, 52), below(random_, 52), "map"});
    if (what == 3) inspection_.lock(below(random_, 52), below(random_, 2) == 0);
    if (what < 9)
      inspection_.set_cursor({below(random_, 2), below(random_, 6), below(random_, 2), below(random_, 3), below(random_, 2)});
    InspectView& view = *views_[static_cast<std::size_t>(below(random_, static_cast<int>(views_.size())))];
    RecordingCanvas canvas;
    const ViewContext context{inspection_, inspection_.cursor(), theme_for_tests(), {0, 0, 300.0 + below(random_, 500), 200.0 + below(random_, 400)}, 1, 1, true,
                              seconds_ += 0.1};
    view.paint(canvas, context);
    EXPECT_EQ(canvas.clips, 0);
    PointerEvent event;
    event.kind = static_cast<PointerEvent::Kind>(below(random_, 6));
    event.at = {10.0 + below(random_, 280), 10.0 + below(random_, 180)};
    event.left = true;
    view.pointer(event, context);
    if (what == 10) view.tooltip(event.at, context);
    if (what == 11) view.data(context);
  }
  int changes() const { return changes_; }

 private:
  Inspection& inspection_;
  Random random_;
  std::vector<std::unique_ptr<InspectView>> views_;
  std::atomic<int> changes_ = 0;
  double seconds_ = 0;
};

int rounds() {
  const char* wanted = std::getenv("DITSCOPE_ROUNDS");
  return wanted ? std::atoi(wanted) : 5;
}

TEST(LiveCapture, IsRecordedLookedAtAndStoppedAtAnyMoment) {
  test::TemporaryFolder folder;
  int complete = 0, stopped = 0;
  for (int round = 0; round < rounds(); ++round) {
    SCOPED_TRACE(round);
    Random random(static_cast<unsigned>(round));
    const auto file = folder / ("live-" + std::to_string(round) + ".ditcap");  // the last round's may not be taken for this one's
    {
      LiveRun run(file, random());
      Inspection inspection(Inspection::Loading::InBackground);
      while (inspection.empty() && !run.ended()) {
        try {
          inspection.open(file);
        } catch (const Error&) {  // not there yet, or without a run
          rest(random, 1000);
        }
      }
      if (inspection.empty()) inspection.open(file);
      Looker looker(inspection, random());
      const int looks = 5 + below(random, 60), stop_at = round % 2 == 0 ? 0 : below(random, 120);
      for (int look = 0; look < looks || (look < 200 && !run.ended() && stop_at >= looks); ++look) {
        if (look == stop_at) run.stop();
        looker.look();
        if (look % 40 == 39) {
          inspection.close_all();
          inspection.open(file);
        }
        rest(random, 500);
      }
      EXPECT_GT(looker.changes(), 0);
      // All of it ends here, in the middle of whatever is loading.
    }
    const CaptureReader reader(file);
    const std::string state = reader.meta().state;
    ASSERT_TRUE(state == "complete" || state == "stopped: by the user") << state;
    ++(state == "complete" ? complete : stopped);
    for (const CaptureRun& run : reader.runs()) {
      EXPECT_EQ(reader.calls(run.run_id).size(), reader.steps(run.run_id).size() * 4) << "no half of a step";
    }
  }
  if (rounds() >= 100) {  // a few rounds on a busy machine may all end alike
    EXPECT_GT(stopped, 0);
    EXPECT_GT(complete, 0);
  }
}

}  // namespace
}  // namespace ditscope::views
