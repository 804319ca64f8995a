#pragma once
#include <QDialog>
#include <QTimer>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/sweep.h"

class QLabel;
class QPushButton;

namespace ditscope::gui {

class InspectSession;
class NumberField;
class Segments;
class ViewWidget;

/// A view as a file of any size and resolution, or as a video over steps, layers or heads, with what `ditscope-cli inspect` can say of it.
class ExportDialog : public QDialog {
  Q_OBJECT
 public:
  ExportDialog(InspectSession& session, ViewWidget& view, QWidget* parent);
  ~ExportDialog() override;

  void set_kind(const QString& kind);  ///< PNG SVG PDF MP4 GIF CSV NPY NPZ safetensors
  /// Writes what the fields say; a video goes on for a while. Says in the dialog what is wrong.
  void export_to(const std::filesystem::path& file);

 Q_SIGNALS:
  void written(const QString& file);

 protected:
  void reject() override;

 private:
  views::Sheet sheet() const;
  views::Theme theme() const;
  void refresh();
  void choose_file();
  void paint_some();  ///< of the video
  void end(const QString& problem);

  InspectSession& session_;
  ViewWidget& view_;
  int kind_ = 0, over_ = 0, light_ = 0;
  std::vector<QPushButton*> kinds_;
  NumberField *width_, *height_, *dpi_, *fps_;
  Segments *over_buttons_, *light_buttons_;
  QLabel* note_;
  QPushButton *export_, *cancel_;
  std::vector<QWidget*> picture_fields_, video_fields_;
  std::unique_ptr<views::Sweep> sweep_;
  std::filesystem::path file_;
  QTimer timer_;
};

}  // namespace ditscope::gui
