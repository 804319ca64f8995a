#include "app/gui/inspect/export_menu.h"

#include <QDir>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QSettings>

#include "app/gui/inspect/export_dialog.h"
#include "app/gui/inspect/view_widget.h"
#include "app/gui/session.h"
#include "views/inspect/cairo_canvas.h"
#include "views/inspect/data_file.h"

namespace ditscope::gui {
namespace {

struct Kind {
  const char* ending;
  const char* words;
  bool numbers;
};

constexpr Kind kKinds[] = {{".png", "PNG, twice the pixels", false}, {".svg", "SVG", false},   {".pdf", "PDF", false},
                           {".csv", "CSV", true},                    {".npy", "NPY", true},    {".npz", "NPZ", true},
                           {".safetensors", "safetensors", true}};

}  // namespace

void export_from(InspectSession& session, const ViewWidget& view, const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  const views::ViewContext now = view.view_context();
  for (const Kind& kind : kKinds) {
    if (ending != kind.ending || !kind.numbers) continue;
    const views::InspectedRun& run = session.inspection().run(now.cursor.run);
    return views::write_data(views::numbers_of(view.view(), now),
                             {{"capture", session.inspection().captures()[static_cast<std::size_t>(run.capture)].filename().string()},
                              {"run", run.record.name},
                              {"view", view.id()},
                              {"formula", view.view().info().formula},
                              {"step", std::to_string(now.cursor.step)},
                              {"layer", std::to_string(now.cursor.layer)},
                              {"head", std::to_string(now.cursor.head)}},
                             file);
  }
  const views::Sheet sheet{view.width(), view.height(), 2, now.unit};
  views::export_view(view.view(), session.inspection(), now.cursor, now.theme, sheet, file);
}

void show_export_menu(InspectSession& session, ViewWidget& view, const QPoint& at) {
  QMenu menu(&view);
  for (const Kind& kind : kKinds) {
    if (kind.numbers && !kKinds[&kind - kKinds - 1].numbers) menu.addSeparator();
    QAction* action = menu.addAction(kind.words);
    QObject::connect(action, &QAction::triggered, &view, [&session, &view, kind] {
      QSettings settings;
      const views::InspectCursor at = session.cursor_of(view.id());
      const QString name = QString("%1/%2-step%3-layer%4-head%5%6")
                               .arg(settings.value("save/folder", QDir::homePath()).toString(), QString::fromStdString(view.id()))
                               .arg(at.step)
                               .arg(at.layer)
                               .arg(at.head)
                               .arg(kind.ending);
      const QString file = QFileDialog::getSaveFileName(&view, QString("Export as %1").arg(kind.words), name);
      if (file.isEmpty()) return;
      settings.setValue("save/folder", QFileInfo(file).absolutePath());
      try {
        export_from(session, view, file.toStdString());
        session.session().say(Message::Kind::Note, QString("Saved %1.").arg(file));
      } catch (const std::exception& problem) {
        session.session().say(Message::Kind::Error, QString::fromUtf8(problem.what()));
      }
    });
  }
  menu.addSeparator();
  QObject::connect(menu.addAction("Size, resolution, a video over steps…"), &QAction::triggered, &view,
                   [&session, &view] { (new ExportDialog(session, view, view.window()))->open(); });
  menu.exec(at);
}

}  // namespace ditscope::gui
