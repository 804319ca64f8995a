#include "views/panels/compare_overlay.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ditscope::views {
namespace {

constexpr double kPixelValuesFrom = 50;  ///< view px a pixel

ImU32 packed(Rgb colour, float alpha = 1.0f) {
  return ImGui::GetColorU32(ImVec4(colour.r, colour.g, colour.b, alpha));
}

struct Painter {
  ImDrawList* list;
  const Theme& theme;
  const gl::ImGuiQt& imgui;
  double scale;

  float px(double value) const { return static_cast<float>(value * scale); }
  float line(ImFont* font) const { return font->FontSize * ImGui::GetIO().FontGlobalScale; }
  ImVec2 measure(ImFont* font, const std::string& text) const { return font->CalcTextSizeA(line(font), 1e6f, 0, text.c_str()); }
  void text(ImFont* font, ImVec2 at, ImU32 colour, const std::string& value) const {
    list->AddText(font, line(font), at, colour, value.c_str());
  }
};

/// Letter on the run's colour, name, seconds; at the left or right upper corner of a pane.
void draw_tag(const Painter& paint, const Rect& pane, const CompareOverlay::Run& run, bool right, bool short_form) {
  const float pad = paint.px(4), badge = paint.px(18), height = badge + 2 * pad;
  const std::string letter(1, run.letter);
  const std::string seconds = short_form ? std::string() : run.seconds;
  const float name_width = paint.measure(paint.imgui.words(), run.name).x;
  const float seconds_width = seconds.empty() ? 0 : paint.measure(paint.imgui.numbers(), seconds).x + paint.px(6);
  const float width = pad + badge + paint.px(6) + name_width + seconds_width + paint.px(8);
  if (width > pane.width - 2 * paint.px(8)) return;
  const float x = right ? static_cast<float>(pane.right()) - paint.px(8) - width : static_cast<float>(pane.x) + paint.px(8);
  const float y = static_cast<float>(pane.y) + paint.px(8);
  const Rgb ground = paint.theme.dark ? Rgb{0.06f, 0.06f, 0.06f} : Rgb{1, 1, 1};
  paint.list->AddRectFilled(ImVec2(x, y), ImVec2(x + width, y + height), packed(ground, 0.86f), paint.px(4));
  const float badge_x = right ? x + width - pad - badge : x + pad;
  const Rgb colour = paint.theme.run(run.index);
  paint.list->AddRectFilled(ImVec2(badge_x, y + pad), ImVec2(badge_x + badge, y + pad + badge), packed(colour), paint.px(3));
  const ImVec2 letter_size = paint.measure(paint.imgui.words_strong(), letter);
  paint.text(paint.imgui.words_strong(), ImVec2(badge_x + (badge - letter_size.x) / 2, y + pad + (badge - letter_size.y) / 2),
             packed(paint.theme.colour("on_run")), letter);
  float at = right ? x + paint.px(8) : badge_x + badge + paint.px(6);
  const auto top = [&](ImFont* font) { return y + (height - paint.line(font)) / 2; };
  paint.text(paint.imgui.words(), ImVec2(at, top(paint.imgui.words())), packed(paint.theme.colour("text")), run.name);
  at += name_width + paint.px(6);
  if (!seconds.empty()) {
    paint.text(paint.imgui.numbers(), ImVec2(at, top(paint.imgui.numbers())), packed(paint.theme.colour("text2")), seconds);
  }
}

void draw_wipe(const Painter& paint, const Pane& pane, double wipe, bool hovered) {
  const Rect& rect = pane.rect;
  const ImU32 white = IM_COL32(255, 255, 255, 255), dark = IM_COL32(16, 16, 16, 200);
  const float halo = paint.px(4), line = paint.px(2), radius = paint.px(hovered ? 13 : 12);
  ImVec2 from, to, handle;
  if (pane.horizontal) {
    const float y = static_cast<float>(rect.y + rect.height * wipe);
    from = ImVec2(static_cast<float>(rect.x), y), to = ImVec2(static_cast<float>(rect.right()), y);
    handle = ImVec2(static_cast<float>(rect.x + rect.width * 0.8), y);
  } else {
    const float x = static_cast<float>(rect.x + rect.width * wipe);
    from = ImVec2(x, static_cast<float>(rect.y)), to = ImVec2(x, static_cast<float>(rect.bottom()));
    handle = ImVec2(x, static_cast<float>(rect.y + rect.height * 0.8));
  }
  paint.list->AddLine(from, to, dark, halo);
  paint.list->AddLine(from, to, white, line);
  paint.list->AddCircleFilled(handle, radius + paint.px(1), dark, 32);
  paint.list->AddCircleFilled(handle, radius, white, 32);
  const float near = paint.px(2.5), far = paint.px(7), half = paint.px(3.5);
  const auto arrow = [&](float side) {
    if (pane.horizontal) {
      paint.list->AddTriangleFilled(ImVec2(handle.x - half, handle.y + side * near),
                                    ImVec2(handle.x + half, handle.y + side * near), ImVec2(handle.x, handle.y + side * far),
                                    dark);
    } else {
      paint.list->AddTriangleFilled(ImVec2(handle.x + side * near, handle.y - half),
                                    ImVec2(handle.x + side * near, handle.y + half), ImVec2(handle.x + side * far, handle.y),
                                    dark);
    }
  };
  arrow(-1);
  arrow(1);
}

/// Red, green and blue as 0..255 in every visible pixel of a pane, white or black by the pixel's lightness.
void draw_pixel_values(const Painter& paint, const Pane& pane, const Camera& camera, const CompareOverlay& overlay, double wipe) {
  const CompareOverlay::Run* runs[2] = {&overlay.first, &overlay.second};
  const bool only_second = pane.content == Pane::Content::Second;
  const Frames* shape = runs[only_second ? 1 : 0]->frames;
  if (!shape || shape->empty() || pane.content == Pane::Content::Difference) return;
  const Point low = camera.to_image({pane.rect.x, pane.rect.y}, pane.rect);
  const Point high = camera.to_image({pane.rect.right(), pane.rect.bottom()}, pane.rect);
  const int left = std::max(0, static_cast<int>(std::floor(low.x))), top = std::max(0, static_cast<int>(std::floor(low.y)));
  const int right = std::min(shape->width - 1, static_cast<int>(std::floor(high.x)));
  const int bottom = std::min(shape->height - 1, static_cast<int>(std::floor(high.y)));
  const float line = paint.line(paint.imgui.numbers());
  paint.list->PushClipRect(ImVec2(static_cast<float>(pane.rect.x), static_cast<float>(pane.rect.y)),
                           ImVec2(static_cast<float>(pane.rect.right()), static_cast<float>(pane.rect.bottom())), true);
  for (int y = top; y <= bottom; ++y) {
    for (int x = left; x <= right; ++x) {
      const Point middle = camera.to_view({x + 0.5, y + 0.5}, pane.rect);
      const CompareOverlay::Run* run = runs[only_second ? 1 : 0];
      if (pane.content == Pane::Content::Wipe && wipe_at(pane, middle) >= wipe) run = runs[1];
      if (!run->frames || run->frames->empty()) continue;
      const float* rgb = run->frames->frame(run->frame) + 3 * (static_cast<std::size_t>(y) * shape->width + x);
      const float light = 0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2];
      const ImU32 ink = light > 0.45f ? IM_COL32(16, 16, 16, 255) : IM_COL32(255, 255, 255, 255);
      for (int c = 0; c < 3; ++c) {
        char text[8];
        std::snprintf(text, sizeof text, "%d", static_cast<int>(std::lround(std::clamp(rgb[c], 0.0f, 1.0f) * 255)));
        const ImVec2 size = paint.measure(paint.imgui.numbers(), text);
        paint.text(paint.imgui.numbers(),
                   ImVec2(static_cast<float>(middle.x) - size.x / 2,
                          static_cast<float>(middle.y) + (static_cast<float>(c) - 1.5f) * line),
                   ink, text);
      }
    }
  }
  paint.list->PopClipRect();
}

/// The legend with the range, and the control that fixes it: an ImGui window at the lower left of the pane.
CompareIntents draw_legend(const Painter& paint, const Pane& pane, const CompareOverlay& overlay, const CompareState& state) {
  CompareIntents intents;
  const std::string legend = difference_legend(state, overlay.p99, overlay.first.letter, overlay.second.letter);
  const Rgb ground = paint.theme.dark ? Rgb{0.06f, 0.06f, 0.06f} : Rgb{1, 1, 1};
  ImGui::SetNextWindowPos(
      ImVec2(static_cast<float>(pane.rect.x) + paint.px(8), static_cast<float>(pane.rect.bottom()) - paint.px(8)),
      ImGuiCond_Always, ImVec2(0, 1));
  ImGui::PushStyleColor(ImGuiCol_WindowBg, ImVec4(ground.r, ground.g, ground.b, 0.86f));
  ImGui::PushStyleColor(ImGuiCol_Text, packed(paint.theme.colour("text")));
  ImGui::PushStyleColor(ImGuiCol_FrameBg, packed(paint.theme.colour("raised")));
  ImGui::PushStyleColor(ImGuiCol_FrameBgHovered, packed(paint.theme.colour("accent_soft")));
  ImGui::PushStyleColor(ImGuiCol_FrameBgActive, packed(paint.theme.colour("accent_soft")));
  ImGui::PushStyleColor(ImGuiCol_SliderGrab, packed(paint.theme.colour("accent")));
  ImGui::PushStyleColor(ImGuiCol_SliderGrabActive, packed(paint.theme.colour("accent")));
  ImGui::PushStyleColor(ImGuiCol_Button, packed(paint.theme.colour("raised")));
  ImGui::PushStyleColor(ImGuiCol_ButtonHovered, packed(paint.theme.colour("accent_soft")));
  ImGui::PushStyleColor(ImGuiCol_ButtonActive, packed(paint.theme.colour("accent_soft")));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, paint.px(4));
  ImGui::PushStyleVar(ImGuiStyleVar_FrameRounding, paint.px(4));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0.0f);
  ImGui::PushFont(paint.imgui.numbers());
  ImGui::Begin("##difference", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoNav);
  ImGui::TextUnformatted(legend.c_str());
  float range = static_cast<float>(difference_range(state, overlay.p99));
  ImGui::SetNextItemWidth(paint.px(160));
  if (ImGui::SliderFloat("##range", &range, 4.0f / 255.0f, 1.0f, "range %.3f", ImGuiSliderFlags_Logarithmic)) {
    intents = {true, range};
  }
  ImGui::SameLine();
  if (ImGui::Button("p99")) intents = {true, 0};
  ImGui::End();
  ImGui::PopFont();
  ImGui::PopStyleVar(3);
  ImGui::PopStyleColor(10);
  return intents;
}

}  // namespace

CompareIntents draw_compare_overlay(const CompareOverlay& overlay, const CompareState& state, const std::vector<Pane>& panes,
                                    const Camera& camera, const Theme& theme, const gl::ImGuiQt& imgui, double text_scale) {
  CompareIntents intents;
  const Painter paint{ImGui::GetBackgroundDrawList(), theme, imgui, text_scale};
  for (const Pane& pane : panes) {
    if (camera.scale >= kPixelValuesFrom) draw_pixel_values(paint, pane, camera, overlay, state.wipe);
    switch (pane.content) {
      case Pane::Content::First:
        draw_tag(paint, pane.rect, overlay.flickering ? overlay.second : overlay.first, false, false);
        break;
      case Pane::Content::Second:
        draw_tag(paint, pane.rect, overlay.second, false, false);
        break;
      case Pane::Content::Wipe:
        draw_wipe(paint, pane, state.wipe, overlay.wipe_hovered);
        if (overlay.flickering) {
          draw_tag(paint, pane.rect, overlay.second, false, true);
        } else if (pane.rect.width > paint.px(280)) {
          draw_tag(paint, pane.rect, overlay.first, false, true);
          draw_tag(paint, pane.rect, overlay.second, true, true);
        }
        break;
      case Pane::Content::Difference:
        if (overlay.first.frames && overlay.second.frames) intents = draw_legend(paint, pane, overlay, state);
        break;
    }
  }
  if (overlay.focused && !panes.empty()) {
    const Rect& last = panes.back().rect;
    paint.list->AddRect(ImVec2(1, 1), ImVec2(static_cast<float>(last.right()) - 1, static_cast<float>(last.bottom()) - 1),
                        packed(theme.colour("accent")), 0, 0, 2);
  }
  return intents;
}

}  // namespace ditscope::views
