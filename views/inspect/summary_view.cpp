// What the run is: request, model, machine, method, times, quality. The view to begin with.
#include <cmath>

#include "views/inspect/views.h"
#include "views/state/words.h"

namespace ditscope::views {
namespace {

struct Line {
  std::string name, value;
};

std::string of_ms(const std::optional<double>& ms) { return ms ? seconds_text(*ms / 1000) : "not measured"; }
std::string of_ratio(const std::optional<double>& ratio) { return ratio ? percent_text(*ratio) : "not measured"; }

std::vector<Line> lines_of(const InspectedRun& run) {
  const CaptureRun& r = run.record;
  const std::string letter(1, run.letter);
  const std::string grid = std::to_string(r.grid_frames) + " x " + std::to_string(r.grid_rows) + " x " + std::to_string(r.grid_columns);
  return {{"Run " + letter, r.name + ", " + r.state},
          {"Prompt", r.prompt},
          {"Seed", r.seed},
          {"Video", std::to_string(r.frames) + " frames of " + std::to_string(r.width_px) + " x " + std::to_string(r.height_px)},
          {"Model", r.model.name + ", " + std::to_string(r.model.layers) + " layers of " + std::to_string(r.model.heads) + " heads"},
          {"Tokens", std::to_string(r.tokens()) + ": " + std::to_string(r.text_tokens) + " of text, grid " + grid},
          {"Steps", std::to_string(run.steps.size()) + " of " + std::to_string(r.steps) + " captured"},
          {"Kept", of_ratio(r.kept_ratio_requested) + " asked, " + of_ratio(r.kept_ratio_achieved) + " on sparse steps, " +
                       of_ratio(run.whole_run_kept_ratio()) + " whole run"},
          {"Time", of_ms(r.total_ms) + ", attention " + of_ms(r.attention_ms)},
          {"Not counted", "shadow passes " + of_ms(r.shadow_ms) + ", capture " + of_ms(r.capture_ms)}};
}

class SummaryView final : public InspectView {
 public:
  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"summary", "Summary", "What was asked, what ran, how long it took.",
                                "kept ratio = pairs kept / all pairs; total and attention: without capture and shadow passes",
                                "the capture's records of its runs (docs/capture.md); Re-ttention Eq. 6 gives 1 - kept", "", 280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) {
      return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    }
    TextStyle name, value;
    name.colour = context.theme.colour("text2");
    value.colour = context.theme.colour("text");
    value.face = Face::Numbers;
    const double pad = 12 * context.unit, line_height = 16 * context.unit, gap = 4 * context.unit, indent = 84 * context.unit;
    double y = context.area.y + pad;
    for (const Line& line : lines_of(context.inspection.run(context.cursor.run))) {
      const std::vector<std::string> parts = wrapped(canvas, line.value, value, context.area.width - 2 * pad - indent);
      const double letter = 14 * context.unit;
      if (y + letter > context.area.bottom()) return;
      canvas.text({context.area.x + pad, y}, line.name, name);
      for (const std::string& part : parts) {
        if (y + letter > context.area.bottom()) return;
        canvas.text({context.area.x + pad + indent, y}, part, value);
        y += line_height;
      }
      y += gap;
    }
  }
};

}  // namespace

std::unique_ptr<InspectView> make_summary_view() { return std::make_unique<SummaryView>(); }

}  // namespace ditscope::views
