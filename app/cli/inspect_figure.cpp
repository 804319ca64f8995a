#include "app/cli/inspect_figure.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "app/cli/interrupt.h"
#include "kernels/error.h"
#include "views/inspect/data_file.h"
#include "views/inspect/glyph_fonts.h"
#include "views/inspect/sweep.h"

namespace ditscope::cli {
namespace {

using views::InspectCursor;
using views::Inspection;
using views::InspectView;
using views::Sheet;

std::vector<int> integers(std::string text) {
  std::erase_if(text, [](char c) { return c == '(' || c == ')' || c == ' '; });
  std::vector<int> values;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(",x", at), text.size());
    int value = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, value);
    if (error != std::errc() || stop != text.data() + end) return {};
    values.push_back(value);
    at = end + 1;
  }
  return values;
}

Sheet sheet_of(const FigureOptions& o) {
  const std::vector<int> sides = integers(o.size);
  if (sides.size() != 2 || sides[0] < 16 || sides[1] < 16) {
    throw Error(ErrorKind::InvalidArgument, "expected --size WIDTHxHEIGHT, as in 900x700, got '" + o.size + "'");
  }
  return {sides[0], sides[1], o.dpi / 96, o.text_scale};
}

void apply_settings(InspectView& view, const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) throw Error(ErrorKind::InvalidArgument, "expected --set NAME=VALUE, got '" + setting + "'");
    view.set_control(setting.substr(0, equals), setting.substr(equals + 1));
  }
}

void write_sweep(Inspection& inspection, InspectView& view, const FigureOptions& o, const views::Theme& theme) {
  views::Sweep::expect_video(o.output);
  views::Sweep sweep(inspection, inspection.cursor(), o.sweep, sheet_of(o), o.fps);
  while (sweep.done() < sweep.count()) {
    if (Interrupt::control().stop_requested() != RunControl::Stop::None) throw Error(ErrorKind::Cancelled, "Stopped; nothing was written.");
    inspection.set_cursor(sweep.next());
    sweep.paint_next(view, inspection, theme);
  }
  sweep.write(o.output);
}

std::map<std::string, std::string> about(const Inspection& inspection, const InspectView& view) {
  const InspectCursor& at = inspection.cursor();
  const views::InspectedRun& run = inspection.run(at.run);
  return {{"capture", inspection.captures()[static_cast<std::size_t>(run.capture)].filename().string()},
          {"run", run.record.name},
          {"view", view.info().id},
          {"formula", view.info().formula},
          {"step", std::to_string(at.step)},
          {"layer", std::to_string(at.layer)},
          {"head", std::to_string(at.head)},
          {"branch", run.record.branches.empty() ? "" : run.record.branches[static_cast<std::size_t>(at.branch)]}};
}

views::ViewContext context_of(Inspection& inspection, const views::Theme& theme, const Sheet& sheet) {
  views::ViewContext context{inspection, inspection.cursor(), theme, {0, 0, double(sheet.width_px), double(sheet.height_px)}};
  context.unit = sheet.unit;
  context.ratio = sheet.ratio;
  return context;
}

}  // namespace

std::vector<std::int64_t> tokens_of(const views::InspectedRun& run, int branch, const std::string& text) {
  const std::vector<int> numbers = integers(text);
  const views::TokenGeometry& geometry = run.geometry;
  const auto bad = [&](const std::string& what) { return Error(ErrorKind::InvalidArgument, "--lock " + text + ": " + what); };
  if (numbers.size() == 1) {
    if (numbers[0] < 0 || numbers[0] >= geometry.tokens()) throw bad("tokens are 0 to " + std::to_string(geometry.tokens() - 1));
    return {numbers[0]};
  }
  if (numbers.size() == 3) {
    if (numbers[0] < 0 || numbers[0] >= geometry.frames() || numbers[1] < 0 || numbers[1] >= geometry.rows() || numbers[2] < 0 ||
        numbers[2] >= geometry.columns()) {
      throw bad("the grid of frames, rows and columns is " + std::to_string(geometry.frames()) + " x " + std::to_string(geometry.rows()) + " x " +
                std::to_string(geometry.columns()));
    }
    return {geometry.token(numbers[0], numbers[1], numbers[2])};
  }
  std::string words;
  for (const auto& word : geometry.words(branch)) {
    if (word.text == text && !word.tokens.empty()) return word.tokens;
    words += (words.empty() ? "" : ", ") + word.text;
  }
  throw bad("expected FRAME,ROW,COLUMN, a number, or a word of the prompt: " + words);
}

std::string write_figure(Inspection& inspection, const FigureOptions& o) {
  const std::unique_ptr<InspectView> view = views::make_inspect_view(o.view);
  apply_settings(*view, o.set);
  const views::Theme theme = views::built_in_theme(!o.light);
  const Sheet sheet = sheet_of(o);
  std::string done;
  if (!o.output.empty()) {
    if (!o.sweep.empty()) {
      write_sweep(inspection, *view, o, theme);
    } else {
      views::export_view(*view, inspection, inspection.cursor(), theme, sheet, o.output);
    }
    done = view->info().title + " -> " + o.output.string();
  }
  if (!o.data.empty()) {
    const std::vector<views::DataArray> arrays = views::numbers_of(*view, context_of(inspection, theme, sheet));
    views::write_data(arrays, about(inspection, *view), o.data);
    for (const views::DataArray& array : arrays) {
      std::string shape;
      for (const std::int64_t size : array.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(size);
      done += (done.empty() ? "" : "\n") + array.name + " (" + shape + ") -> " + o.data.string();
    }
    // Numbers that are less than was asked for: pooled where exact ones need the model.
    if (!inspection.last_problem().empty()) done += "\nnote: " + inspection.last_problem();
  }
  return done;
}

std::string list_views(Inspection& inspection) {
  const views::Theme theme = views::built_in_theme(true);
  std::string text;
  for (const std::string& id : views::inspect_view_ids()) {
    const std::unique_ptr<InspectView> view = views::make_inspect_view(id);
    text += (text.empty() ? "" : "\n") + id + std::string(std::max<std::size_t>(14 - std::min<std::size_t>(id.size(), 13), 1), ' ') + view->info().title + ". " + view->info().summary;
    for (const views::Control& control : view->controls(context_of(inspection, theme, {}))) {
      text += "\n    --set " + control.name + "=";
      if (control.kind == views::Control::Kind::Switch) {
        text += "on|off";
      } else if (control.kind == views::Control::Kind::Number) {
        char range[64];
        std::snprintf(range, sizeof range, "%g..%g", control.least, control.most);
        text += range;
      } else {
        for (std::size_t i = 0; i < control.choices.size(); ++i) text += (i ? "|" : "") + control.choices[i];
      }
      text += "  (" + control.value + ")";
    }
  }
  return text;
}

}  // namespace ditscope::cli
