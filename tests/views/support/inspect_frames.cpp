// Frame times of the views of the inspector on a made-up capture: what docs/performance.md quotes.
//
//   inspect-frames FRAMES ROWS COLUMNS TEXT                e.g. 13 30 45 226 (17,776 tokens) or 33 60 60 256 (119,056 tokens)
//   inspect-frames FRAMES ROWS COLUMNS TEXT LAYERS HEADS   the grid of heads alone, on a large sheet: e.g. 9 16 16 32 64 64
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/synthetic_capture.h"
#include "views/inspect/cairo_canvas.h"

namespace ditscope::views {
namespace {

/// The first picture and, as the mouse moves over it, the middle one of 20 more.
void measure(InspectView& view, Inspection& inspection, const Sheet& sheet, const std::string& name) {
  const Theme& theme = theme_for_tests();
  CairoCanvas canvas(CairoCanvas::Format::Pixels, sheet, theme);
  std::vector<double> times;
  for (int frame = 0; frame < 21; ++frame) {
    PointerEvent event;
    event.at = {200.0 + frame, 300.0};
    const ViewContext context{inspection, inspection.cursor(), theme, {0, 0, double(sheet.width_px), double(sheet.height_px)}};
    const auto start = std::chrono::steady_clock::now();
    if (frame > 0) view.pointer(event, context);
    paint_view(canvas, view, inspection, inspection.cursor(), theme, sheet);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin() + 1, times.end());
  std::printf("%-12s %10.1f %10.1f\n", name.c_str(), times[0], times[11]);
  std::fflush(stdout);
}

}  // namespace
}  // namespace ditscope::views

int main(int count, char** arguments) {
  using namespace ditscope;
  using namespace ditscope::views;
  if (count != 5 && count != 7) {
    std::fprintf(stderr, "usage: inspect-frames FRAMES ROWS COLUMNS TEXT [LAYERS HEADS]\n");
    return 2;
  }
  try {
    const bool heads_alone = count == 7;
    SyntheticCapture capture;
    capture.frames = std::atoi(arguments[1]), capture.rows = std::atoi(arguments[2]), capture.columns = std::atoi(arguments[3]);
    capture.text_tokens = std::atoi(arguments[4]);
    if (heads_alone) capture.steps = 1, capture.layers = std::atoi(arguments[5]), capture.heads = std::atoi(arguments[6]);
    capture.block_tokens = map_block_tokens(capture.text_tokens, true, capture.tokens(), 512);
    const test::TemporaryFolder folder;
    write_synthetic(folder / "run.ditcap", capture);
    Inspection inspection(Inspection::Loading::AtOnce);
    inspection.open(folder / "run.ditcap");
    inspection.set_locked({capture.tokens() / 2});
    const Sheet sheet = heads_alone ? Sheet{1600, 1000} : Sheet{700, 640};
    std::printf("%lld tokens, %d layers of %d heads, %d x %d px\n%-12s %10s %10s\n", static_cast<long long>(capture.tokens()), capture.layers, capture.heads,
                sheet.width_px, sheet.height_px, "view", "first ms", "then ms");
    for (const std::string& id : heads_alone ? std::vector<std::string>{} : inspect_view_ids()) measure(*make_inspect_view(id), inspection, sheet, id);
    for (const char* quantity : {"map", "mask", "recall"}) {
      if (!heads_alone) break;
      for (const char* sort : {"layer, head", "error"}) {
        const auto view = make_inspect_view("heads");
        view->set_control("quantity", quantity);
        view->set_control("sort", sort);
        measure(*view, inspection, sheet, std::string(quantity) + (std::string_view(sort) == "error" ? ", sorted" : ""));
      }
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
