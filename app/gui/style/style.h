#pragma once
#include <QByteArray>
#include <QColor>
#include <QFont>
#include <QIcon>
#include <QPixmap>
#include <QString>

#include "views/gl/imgui_qt.h"
#include "views/state/theme.h"

namespace ditscope::gui {

enum class Light { System, Dark, Light };

/// The look of the whole program: tokens.json at one text scale. Widgets ask it when they are made and when they paint; after a
/// change the window makes its widgets anew from its state.
class Style {
 public:
  static Style& current();

  /// Loads the fonts of the resources; once, after QApplication.
  void load_fonts();
  /// Applies light and scale to the application (palette, style sheet).
  void apply(Light light, double text_scale);

  const views::Theme& theme() const { return theme_; }
  Light light() const { return light_; }
  double text_scale() const { return text_scale_; }
  int px(double size) const;  ///< px at the text scale

  QColor colour(const char* token) const;
  QColor run_colour(int index) const;
  QFont words(double size, int weight = QFont::Normal) const;    ///< Inter, px at scale 1
  QFont numbers(double size, int weight = QFont::Normal) const;  ///< JetBrains Mono
  /// An icon of resources/icons in a token's colour, sharp at every device ratio.
  QIcon icon(const QString& name, const char* token = "text2") const;
  QPixmap pixmap(const QString& name, const QColor& colour, int size_px, double ratio) const;
  gl::ImGuiQt::Fonts overlay_fonts() const;

 private:
  views::Theme theme_;
  Light light_ = Light::System;
  double text_scale_ = 1;
};

/// "<span>" of numbers, to stand among words in a rich-text label.
QString number_span(const QString& text);

}  // namespace ditscope::gui
