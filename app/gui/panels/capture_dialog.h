#pragma once
#include <QDialog>

class QLabel;
class QLineEdit;
class QPushButton;

namespace ditscope::gui {

class Session;

/// What the capture of the next run keeps besides its level: q, k and v of chosen layers and steps, shadow passes, how large it may grow.
class CaptureDialog : public QDialog {
  Q_OBJECT
 public:
  CaptureDialog(Session& session, QWidget* parent);

 private:
  QLineEdit* field(const char* name, const QString& value, const QString& hint);
  void take();
  void refresh();

  Session& session_;
  QLineEdit *layers_, *steps_, *shadow_, *budget_;
  QLabel *size_, *problem_;
  QPushButton* ok_;
};

}  // namespace ditscope::gui
