#include "views/gl/imgui_qt.h"

#include <backends/imgui_impl_opengl3.h>
#include <imgui.h>

#include <QMouseEvent>
#include <QWheelEvent>
#include <algorithm>

namespace ditscope::gl {

struct ImGuiQt::Impl {
  ImGuiContext* context = nullptr;
  ImFont* words = nullptr;
  ImFont* words_strong = nullptr;
  ImFont* numbers = nullptr;
  double built_scale = 0;  ///< text scale x device ratio of the atlas
  bool backend = false;
  // ImGui keeps pointers into these as long as the atlas lives.
  Fonts fonts;
};

namespace {

// Latin, Greek, arrows, multiplication sign and superscript-free maths used by the overlays.
const ImWchar kGlyphs[] = {0x0020, 0x00FF, 0x0370, 0x03FF, 0x2010, 0x2027, 0x2190, 0x2199, 0x2212, 0x2212, 0x25A0, 0x25CF, 0};

int button_index(Qt::MouseButton button) {
  switch (button) {
    case Qt::LeftButton:
      return 0;
    case Qt::RightButton:
      return 1;
    case Qt::MiddleButton:
      return 2;
    default:
      return -1;
  }
}

void set_modifiers(ImGuiIO& io, Qt::KeyboardModifiers modifiers) {
  io.KeyCtrl = modifiers.testFlag(Qt::ControlModifier);
  io.KeyShift = modifiers.testFlag(Qt::ShiftModifier);
  io.KeyAlt = modifiers.testFlag(Qt::AltModifier);
}

ImFont* add_font(ImGuiIO& io, QByteArray& data, float size_px) {
  ImFontConfig config;
  config.FontDataOwnedByAtlas = false;
  config.OversampleH = 2;
  return io.Fonts->AddFontFromMemoryTTF(data.data(), static_cast<int>(data.size()), size_px, &config, kGlyphs);
}

}  // namespace

ImGuiQt::ImGuiQt() : impl_(std::make_unique<Impl>()) {
  ImGuiContext* former = ImGui::GetCurrentContext();
  impl_->context = ImGui::CreateContext();
  ImGui::SetCurrentContext(impl_->context);
  ImGuiIO& io = ImGui::GetIO();
  io.IniFilename = nullptr;
  io.LogFilename = nullptr;
  io.BackendPlatformName = "ditscope_qt";
  io.MousePos = ImVec2(-1e6f, -1e6f);
  ImGui::SetCurrentContext(former);
}

ImGuiQt::~ImGuiQt() {
  ImGui::DestroyContext(impl_->context);
}

void ImGuiQt::set_fonts(const Fonts& fonts, double text_scale, double device_ratio) {
  const double scale = text_scale * device_ratio;
  if (impl_->backend && scale == impl_->built_scale) return;
  ImGui::SetCurrentContext(impl_->context);
  ImGuiIO& io = ImGui::GetIO();
  if (!impl_->backend) {
    ImGui_ImplOpenGL3_Init("#version 330 core");
    impl_->backend = true;
  } else {
    ImGui_ImplOpenGL3_DestroyFontsTexture();
  }
  io.Fonts->Clear();
  impl_->fonts = fonts;
  const float size = static_cast<float>(fonts.size_px * scale);
  impl_->words = add_font(io, impl_->fonts.words, size * fonts.words_line);
  impl_->words_strong = add_font(io, impl_->fonts.words_strong, size * fonts.words_line);
  impl_->numbers = add_font(io, impl_->fonts.numbers, size * fonts.numbers_line);
  io.FontGlobalScale = static_cast<float>(1.0 / device_ratio);
  ImGui_ImplOpenGL3_CreateFontsTexture();
  impl_->built_scale = scale;
}

void ImGuiQt::set_no_fonts() {
  if (impl_->backend) return;
  ImGui::SetCurrentContext(impl_->context);
  ImGui_ImplOpenGL3_Init("#version 330 core");
  ImGui::GetIO().Fonts->AddFontDefault();
  ImGui_ImplOpenGL3_CreateFontsTexture();
  impl_->backend = true;
}

bool ImGuiQt::handle(const QEvent& event) {
  ImGui::SetCurrentContext(impl_->context);
  ImGuiIO& io = ImGui::GetIO();
  switch (event.type()) {
    case QEvent::MouseMove:
    case QEvent::MouseButtonPress:
    case QEvent::MouseButtonRelease:
    case QEvent::MouseButtonDblClick: {
      const auto& mouse = static_cast<const QMouseEvent&>(event);
      set_modifiers(io, mouse.modifiers());
      io.MousePos = ImVec2(static_cast<float>(mouse.position().x()), static_cast<float>(mouse.position().y()));
      const int button = button_index(mouse.button());
      if (button >= 0) io.MouseDown[button] = event.type() != QEvent::MouseButtonRelease;
      return io.WantCaptureMouse;
    }
    case QEvent::Wheel: {
      const auto& wheel = static_cast<const QWheelEvent&>(event);
      set_modifiers(io, wheel.modifiers());
      if (io.WantCaptureMouse) io.MouseWheel += static_cast<float>(wheel.angleDelta().y()) / 120.0f;
      return io.WantCaptureMouse;
    }
    case QEvent::Leave:
      io.MousePos = ImVec2(-1e6f, -1e6f);
      return false;
    default:
      return false;
  }
}

void ImGuiQt::begin(double width, double height, double device_ratio, double seconds) {
  ImGui::SetCurrentContext(impl_->context);
  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = ImVec2(static_cast<float>(width), static_cast<float>(height));
  io.DisplayFramebufferScale = ImVec2(static_cast<float>(device_ratio), static_cast<float>(device_ratio));
  io.DeltaTime = static_cast<float>(std::max(1e-4, seconds));
  ImGui_ImplOpenGL3_NewFrame();
  ImGui::NewFrame();
}

void ImGuiQt::end() {
  ImGui::Render();
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
}

void ImGuiQt::release() {
  if (!impl_->backend) return;
  ImGui::SetCurrentContext(impl_->context);
  ImGui_ImplOpenGL3_Shutdown();
  impl_->backend = false;
}

ImFont* ImGuiQt::words() const {
  return impl_->words;
}
ImFont* ImGuiQt::words_strong() const {
  return impl_->words_strong;
}
ImFont* ImGuiQt::numbers() const {
  return impl_->numbers;
}

}  // namespace ditscope::gl
