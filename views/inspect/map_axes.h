#pragma once
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/view.h"

namespace ditscope::views {

/// Cells of an axis that are equally long, side by side, and the places they cover.
struct AxisRun {
  int cell_begin = 0, cell_end = 0;
  std::int64_t begin = 0, end = 0;
};
/// @param edges  first place of each cell and, at the end, the number of places
std::vector<AxisRun> axis_runs(const std::vector<std::int64_t>& edges);

/// Which part of a joint attention is shown.
enum class Quadrant { All, TextToText, TextToVideo, VideoToText, VideoToVideo };
/// "all", "T->T", ...: values of a control.
const std::vector<std::string>& quadrant_names();
/// @throws Error{InvalidArgument}
Quadrant parse_quadrant(const std::string& name);

/// The two token axes of a map or mask, query down and key across: a camera over them, and which token lies where. A place is a
/// position along an axis, in the order of the attention calls or in raster order; tokens are raster tokens.
class MapAxes {
 public:
  /// The image that the camera sees is this wide and high whatever the number of tokens, so that its limits of zoom fit all.
  static constexpr int kImage = 2000;

  Camera camera;

  /// @param plot  where the matrix is drawn, view px   @param raster  places are raster tokens, else call tokens
  void lay_out(const TokenGeometry& geometry, const Rect& plot, Quadrant quadrant, bool raster);
  const Rect& plot() const { return plot_; }
  bool raster() const { return raster_; }
  void fit();

  std::int64_t token_of(std::int64_t place) const;
  std::int64_t place_of(std::int64_t token) const;

  double x_of(double place) const;  ///< left edge of a place on the key axis, view px
  double y_of(double place) const;  ///< upper edge of a place on the query axis
  double place_at_x(double x) const;
  double place_at_y(double y) const;
  double key_px() const;    ///< view px a key token takes
  double query_px() const;

  /// Raster tokens under a point; nothing outside the matrix or the plot.
  struct Pair {
    std::int64_t query = 0, key = 0;
  };
  std::optional<Pair> pick(Point at) const;
  Rect query_line(std::int64_t token) const;  ///< the row of a token, at least 1 px high
  Rect key_line(std::int64_t token) const;
  /// Places that are visible, begin..end.
  AxisRun visible_queries() const;
  AxisRun visible_keys() const;
  /// Places that the quadrant spans.
  AxisRun queries() const { return queries_; }
  AxisRun keys() const { return keys_; }

  /// Wheel and drag. @return whether the camera moved. A click is a press and a release at one place: `clicked` is then true.
  bool pointer(const PointerEvent& event, double unit, bool* clicked);
  bool dragging() const { return pressed_ && moved_; }
  /// The mouse over pairs of tokens, as map and mask answer it: wheel and drag move the camera, a click locks the query, a move
  /// previews the pair. @param pairs  false: nothing lies under the mouse   @return whether the view wants to be painted again
  bool point(const PointerEvent& event, const ViewContext& context, const std::string& view, bool pairs = true);

  /// Where axes are cut: the first place of each frame (or row of sites), and of text.
  struct Mark {
    std::int64_t begin = 0, end = 0;
    std::string label;
    bool text = false;
    int frame = -1;
  };
  const std::vector<Mark>& marks() const { return marks_; }

 private:
  const TokenGeometry* geometry_ = nullptr;
  TokenGeometry kept_;
  Rect plot_;
  bool raster_ = true;
  Quadrant quadrant_ = Quadrant::All;
  AxisRun queries_, keys_;
  std::vector<Mark> marks_;
  bool pressed_ = false, moved_ = false;
  Point pressed_at_, last_;
};

/// What stands behind the names of the quadrants: " 5.8 %".
struct QuadrantNotes {
  std::string text_to_text, text_to_video, video_to_text, video_to_video;
};
/// Draws what belongs to the axes: labels of frames and text along the edges, the frame grid, the border of text.
/// @param labels_px  room above and left of the plot
void paint_axes(Canvas& canvas, const ViewContext& context, const MapAxes& axes, double labels_px);
/// Draws the names of the quadrants, beside those that are too narrow for it; over everything else.
void paint_quadrants(Canvas& canvas, const ViewContext& context, const MapAxes& axes, const QuadrantNotes& notes = {});
/// Draws the locked tokens (brush colour, with a marker at the edge) and what the mouse is over (dashed).
void paint_brush(Canvas& canvas, const ViewContext& context, const MapAxes& axes);

/// Draws the cells of a matrix, each segment of equally long cells as one image.
/// @param bitmap  one pixel a cell, key cells across   @param edges  of both axes, in places
void paint_cells(Canvas& canvas, const MapAxes& axes, const std::shared_ptr<const Bitmap>& bitmap, const std::vector<std::int64_t>& edges,
                 float alpha = 1);
/// Draws a tile: a bitmap over places query_begin.. and key_begin.., `pool` places a pixel (the last ones may be cut).
void paint_tile(Canvas& canvas, const MapAxes& axes, const std::shared_ptr<const Bitmap>& bitmap, std::int64_t query_begin, std::int64_t query_end,
                std::int64_t key_begin, std::int64_t key_end, std::int64_t pool);

}  // namespace ditscope::views
