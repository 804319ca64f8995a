#include "app/gui/gl_support.h"

#include <QOffscreenSurface>
#include <QOpenGLContext>
#include <QSurfaceFormat>

#include "views/gl/gl_objects.h"

namespace ditscope::gui {
namespace {

bool g_usable = false;

}  // namespace

Check choose_gl_format() {
  g_usable = false;
  for (const auto& [major, minor] : {std::pair{4, 5}, std::pair{3, 3}}) {
    QSurfaceFormat format;
    format.setRenderableType(QSurfaceFormat::OpenGL);
    format.setProfile(QSurfaceFormat::CoreProfile);
    format.setVersion(major, minor);
    QOpenGLContext context;
    context.setFormat(format);
    if (!context.create() || context.isOpenGLES() || context.format().version() < std::pair{major, minor}) continue;
    QOffscreenSurface surface;
    surface.setFormat(context.format());
    surface.create();
    if (!context.makeCurrent(&surface)) continue;
    const bool software = gl::is_software_renderer();
    const auto version = context.format().version();
    context.doneCurrent();
    QSurfaceFormat::setDefaultFormat(format);
    g_usable = true;
    return {software ? Check::State::Warning : Check::State::Good, "OpenGL",
            QString("%1.%2, %3").arg(version.first).arg(version.second).arg(software ? "software renderer" : "hardware")};
  }
  return {Check::State::Warning, "OpenGL", "no 3.3 core; views are drawn by the processor"};
}

bool gl_usable() { return g_usable; }

}  // namespace ditscope::gui
