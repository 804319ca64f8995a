#include "app/gui/inspect/screenshot_tour.h"

#include <QCoreApplication>
#include <QElapsedTimer>
#include <QEventLoop>
#include <QOpenGLContext>
#include <QTimer>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/gui/inspect/guided_tour.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/main_window.h"
#include "kernels/error.h"
#include "views/gl/gl_objects.h"

namespace ditscope::gui {
namespace {

constexpr int kLongest_ms = 60'000, kPaints = 12;

/// Until what is shown now has its data.
void wait_until_settled(InspectSession& session) {
  QElapsedTimer total;
  total.start();
  session.touch();
  do {
    QEventLoop loop;
    QTimer::singleShot(30, &loop, &QEventLoop::quit);
    loop.exec();
  } while (!session.settled() && total.elapsed() < kLongest_ms);
}

void save(const QPixmap& picture, const std::filesystem::path& file) {
  if (picture.toImage().isNull() || !picture.save(QString::fromStdString(file.string()))) {
    throw Error(ErrorKind::Device, "cannot write " + file.string() + "; check that the folder can be written");
  }
}

}  // namespace

std::string take_screenshot_tour(MainWindow& window, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  InspectSession& session = window.inspect_session();
  InspectWorkspace& workspace = *window.inspect();
  // One token is locked, so that the pictures show what a lock does.
  const views::InspectCursor& at = session.inspection().cursor();
  const views::TokenGeometry& geometry = session.inspection().run(at.run).geometry;
  session.inspection().set_locked({geometry.token(geometry.frames() / 2, geometry.rows() / 2, geometry.columns() / 2)});
  wait_until_settled(session);
  save(window.grab(), folder / "workspace.png");
  nlohmann::json all = nlohmann::json::array();
  std::string renderer;
  for (const std::string& id : views::inspect_view_ids()) {
    ViewWidget* view = workspace.view(id);
    if (!view) throw Error(ErrorKind::NotFound, "the view " + id + " has no place in the workspace");
    workspace.show_view(id);
    wait_until_settled(session);
    save(view->parentWidget()->grab(), folder / (id + ".png"));
    double sum = 0, most = 0;
    for (int i = 0; i < kPaints; ++i) {
      const double ms = view->measure_ms();
      sum += ms;
      most = std::max(most, ms);
    }
    if (renderer.empty()) {
      view->make_current();
      renderer = view->uses_gl() ? gl::context_description() : "no OpenGL: Cairo";
      view->done_current();
    }
    all.push_back({{"view", id}, {"width", view->width()}, {"height", view->height()}, {"mean_ms", sum / kPaints}, {"longest_ms", most}});
  }
  nlohmann::json document{{"renderer", renderer}, {"paints", kPaints}, {"views", all}};
  document["capture"] = session.inspection().captures().front().filename().string();
  document["tokens"] = geometry.tokens();
  return document.dump(2);
}

}  // namespace ditscope::gui
