#pragma once
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/canvas.h"
#include "views/inspect/inspection.h"

namespace ditscope::views {

/// A choice, a switch or a number above a view. The window makes a widget of it, the command line an option NAME=VALUE, a saved
/// layout and a bookmark a line of JSON.
struct Control {
  enum class Kind { Choice, Switch, Number };
  std::string name;   ///< "quantity": key in options and files
  std::string label;  ///< "Quantity"
  Kind kind = Kind::Choice;
  std::vector<std::string> choices;  ///< Choice: what `value` may be
  std::string value;                 ///< Switch: "on" or "off"; Number: as text
  double least = 0, most = 1;        ///< Number
  std::string tooltip;
  std::string problem;  ///< why it does nothing here: the window shows it grey, with the reason
};

/// An array for CSV, NPY, NPZ and safetensors.
struct DataArray {
  std::string name;                 ///< "map", "lse_full"
  std::vector<std::int64_t> shape;  ///< row-major
  std::vector<double> values;
  std::vector<std::string> columns;  ///< names of the last axis where it has some: a table
};

struct PointerEvent {
  enum class Kind { Move, Press, Release, DoubleClick, Wheel, Leave };
  Kind kind = Kind::Move;
  Point at;
  bool left = false, right = false, shift = false, control = false;
  double notches = 0;  ///< of the wheel, away from the user is positive
};

/// Everything that painting and picking need besides the data.
struct ViewContext {
  Inspection& inspection;
  InspectCursor cursor;  ///< the common one, or that of a locked tab
  const Theme& theme;
  Rect area;          ///< of the whole view, view px
  double unit = 1;    ///< px per unit of length (the text scale)
  double ratio = 1;   ///< device px per view px
  bool focused = false;
  double seconds = 0;  ///< a clock that only grows, for playback
};

/// What a view says of itself: the help of its dock and the pages of docs/inspector.md.
struct ViewInfo {
  std::string id;       ///< "map"
  std::string title;    ///< "Attention map"
  std::string summary;  ///< what is seen, one sentence
  std::string formula;  ///< of the quantity
  std::string source;   ///< paper and equation
  std::string keys;     ///< for the status bar: "wheel zoom, drag pan, F fit, click lock"
  int least_px = 280;   ///< below this the dock becomes a tab
};

/// One view of the inspector: draws what a cursor points at, answers the mouse, hands out its numbers. Knows no window; the window,
/// the command line and tests drive it alike.
class InspectView {
 public:
  virtual ~InspectView() = default;
  virtual const ViewInfo& info() const = 0;

  virtual std::vector<Control> controls(const ViewContext&) const { return {}; }
  /// @throws Error{InvalidArgument} naming what it may be
  virtual void set_control(const std::string& name, const std::string& value);

  /// Without data: axes stay, and the text says why and what next.
  virtual void paint(Canvas& canvas, const ViewContext& context) = 0;
  /// May move the common cursor, hover and lock tokens. @return whether it wants to be painted again
  virtual bool pointer(const PointerEvent&, const ViewContext&) { return false; }
  /// @param key  as in the table of keys: "F", "N", "0", "A" ...   @return whether it was taken
  virtual bool key(const std::string& /*key*/, const ViewContext&) { return false; }
  /// A key that was held ("Shift") is let go, or the view loses the focus. @return whether it wants to be painted again
  virtual bool key_released(const std::string& /*key*/, const ViewContext&) { return false; }
  /// What lies under a point, lines of text; empty: nothing. "Name: value" of what the pointer is over, with formula and source.
  virtual std::string tooltip(Point, const ViewContext&) { return {}; }
  /// "Mask, layer 5 head 3, kept 25.4 percent": for screen readers, when something is locked.
  virtual std::string spoken(const ViewContext&) { return info().title; }
  /// The numbers behind the picture, as shown.
  virtual std::vector<DataArray> data(const ViewContext&) { return {}; }
  /// Whether it changes by itself (playback) and must be painted again and again.
  virtual bool animated() const { return false; }
};

/// Ids of all views in the order of docs/inspector.md.
const std::vector<std::string>& inspect_view_ids();
/// @throws Error{NotFound} naming the ids that there are
std::unique_ptr<InspectView> make_inspect_view(const std::string& id);

/// Lines of `text` that fit into `width` px, broken between words; a word longer than a line stands alone.
std::vector<std::string> wrapped(const Canvas& canvas, const std::string& text, const TextStyle& style, double width);

/// A sentence in the middle of an area: why nothing is here and what to do. As much of it as the area has room for.
void paint_notice(Canvas& canvas, const ViewContext& context, const Rect& area, const std::string& text);

}  // namespace ditscope::views
