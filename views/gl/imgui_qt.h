#pragma once
#include <QByteArray>
#include <memory>

class QEvent;
struct ImGuiContext;
struct ImFont;

namespace ditscope::gl {

/// Dear ImGui inside one Qt OpenGL view: its own context, its fonts, and Qt events as its input. Qt draws every text field, so
/// keys are not fed; mouse, wheel and modifiers are.
class ImGuiQt {
 public:
  struct Fonts {
    QByteArray words, words_strong, numbers;  ///< TrueType or OpenType files, whole
    float size_px = 12;                       ///< of the em, at text scale 1 and ratio 1
    /// ImGui counts a font's size from ascender to descender, Qt by the em: line height of one em.
    float words_line = 1, numbers_line = 1;
  };
  ImGuiQt();
  ~ImGuiQt();
  ImGuiQt(const ImGuiQt&) = delete;
  ImGuiQt& operator=(const ImGuiQt&) = delete;

  /// Rebuilds the font atlas at scale x ratio where either changed. Context current.
  void set_fonts(const Fonts& fonts, double text_scale, double device_ratio);
  /// For who draws its own text: no fonts of ours in the atlas. Context current.
  void set_no_fonts();
  /// Feeds an event of the view. @return true when ImGui wants it for itself
  bool handle(const QEvent& event);
  void begin(double width, double height, double device_ratio, double seconds);
  void end();
  /// Frees what lives in the OpenGL context, which is current.
  void release();

  ImFont* words() const;
  ImFont* words_strong() const;
  ImFont* numbers() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditscope::gl
