#include "app/gui/style/style.h"

#include <QApplication>
#include <QFile>
#include <QFontDatabase>
#include <QPainter>
#include <QPalette>
#include <QProxyStyle>
#include <QRawFont>
#include <QRegularExpression>
#include <QStyleFactory>
#include <QSvgRenderer>
#include <cmath>

#include "kernels/error.h"

// Resources of a static library have to be asked for, outside of any namespace.
static void init_resources() {
  Q_INIT_RESOURCE(ditscope);
}

namespace ditscope::gui {
namespace {

QByteArray resource(const QString& path) {
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly)) throw Error(ErrorKind::NotFound, "expected the resource " + path.toStdString());
  return file.readAll();
}

QColor to_colour(views::Rgb rgb) {
  return QColor::fromRgbF(rgb.r, rgb.g, rgb.b);
}

/// Qt 6.4 has no colour scheme property: the desktop's palette tells, as it was before ours was set.
bool desktop_is_dark() {
  static const bool dark = QApplication::palette().color(QPalette::Window).lightnessF() < 0.5;
  return dark;
}

QString filled_in(QString sheet, const views::Theme& theme, double scale) {
  for (const auto& [name, rgb] : theme.colours) {
    const QRegularExpression token("@" + QString::fromStdString(name) + "\\b");
    sheet.replace(token, QString::fromStdString(views::to_hex(rgb)));
  }
  static const QRegularExpression size("(\\d+)su\\b");
  QString result;
  qsizetype last = 0;
  for (auto matches = size.globalMatch(sheet); matches.hasNext();) {
    const auto match = matches.next();
    result += sheet.mid(last, match.capturedStart() - last);
    result += QString::number(std::lround(match.captured(1).toInt() * scale)) + "px";
    last = match.capturedEnd();
  }
  return result + sheet.mid(last);
}

/// Fusion with the delay of tooltips that was agreed.
class HouseStyle : public QProxyStyle {
 public:
  HouseStyle() : QProxyStyle(QStyleFactory::create("Fusion")) {}
  int styleHint(StyleHint hint, const QStyleOption* option, const QWidget* widget, QStyleHintReturn* data) const override {
    return hint == SH_ToolTip_WakeUpDelay ? kTooltipDelay_ms : QProxyStyle::styleHint(hint, option, widget, data);
  }

 private:
  static constexpr int kTooltipDelay_ms = 400;
};

}  // namespace

Style& Style::current() {
  static Style style;
  return style;
}

void Style::load_fonts() {
  init_resources();
  desktop_is_dark();
  for (const char* name : {"words", "words-medium", "words-strong", "numbers", "numbers-strong"}) {
    if (QFontDatabase::addApplicationFont(QString(":/fonts/") + name) < 0) {
      throw Error(ErrorKind::Corrupt, std::string("expected an embedded font, cannot read ") + name);
    }
  }
}

void Style::apply(Light light, double text_scale) {
  light_ = light;
  text_scale_ = std::clamp(text_scale, 0.8, 2.0);
  const bool dark = light == Light::System ? desktop_is_dark() : light == Light::Dark;
  theme_ = views::parse_theme(resource(":/theme/tokens.json").toStdString(), dark);
  QApplication::setStyle(new HouseStyle);
  QPalette palette;
  palette.setColor(QPalette::Window, colour("window"));
  palette.setColor(QPalette::WindowText, colour("text"));
  palette.setColor(QPalette::Base, colour("raised"));
  palette.setColor(QPalette::AlternateBase, colour("panel"));
  palette.setColor(QPalette::Text, colour("text"));
  palette.setColor(QPalette::PlaceholderText, colour("text3"));
  palette.setColor(QPalette::Button, colour("raised"));
  palette.setColor(QPalette::ButtonText, colour("text"));
  palette.setColor(QPalette::Highlight, colour("accent"));
  palette.setColor(QPalette::HighlightedText, colour("on_accent"));
  palette.setColor(QPalette::ToolTipBase, colour("raised"));
  palette.setColor(QPalette::ToolTipText, colour("text"));
  palette.setColor(QPalette::Link, colour("accent"));
  QApplication::setPalette(palette);
  QApplication::setFont(words(12));
  qApp->setStyleSheet(filled_in(QString::fromUtf8(resource(":/theme/style.qss")), theme_, text_scale_));
}

int Style::px(double size) const {
  return static_cast<int>(std::lround(size * text_scale_));
}

QColor Style::colour(const char* token) const {
  return to_colour(theme_.colour(token));
}

QColor Style::run_colour(int index) const {
  return to_colour(theme_.run(index));
}

QFont Style::words(double size, int weight) const {
  QFont font(QString::fromStdString(theme_.words_family));
  font.setPixelSize(px(size));
  font.setWeight(static_cast<QFont::Weight>(weight));
  return font;
}

QFont Style::numbers(double size, int weight) const {
  QFont font(QString::fromStdString(theme_.numbers_family));
  font.setPixelSize(px(size));
  font.setWeight(static_cast<QFont::Weight>(weight));
  return font;
}

QPixmap Style::pixmap(const QString& name, const QColor& colour, int size_px, double ratio) const {
  QByteArray svg = resource(":/icons/" + name + ".svg");
  svg.replace("currentColor", colour.name().toLatin1());
  QSvgRenderer renderer(svg);
  const int device_px = static_cast<int>(std::lround(size_px * ratio));
  QPixmap pixmap(device_px, device_px);
  pixmap.fill(Qt::transparent);
  QPainter painter(&pixmap);
  renderer.render(&painter, QRectF(0, 0, device_px, device_px));
  painter.end();
  pixmap.setDevicePixelRatio(ratio);
  return pixmap;
}

QIcon Style::icon(const QString& name, const char* token) const {
  QIcon icon;
  for (const double ratio : {1.0, 2.0, 3.0}) {
    icon.addPixmap(pixmap(name, colour(token), px(14), ratio));
    icon.addPixmap(pixmap(name, colour("line"), px(14), ratio), QIcon::Disabled);
  }
  return icon;
}

gl::ImGuiQt::Fonts Style::overlay_fonts() const {
  static const gl::ImGuiQt::Fonts fonts = [] {
    gl::ImGuiQt::Fonts loaded{resource(":/fonts/words"), resource(":/fonts/words-strong"), resource(":/fonts/numbers")};
    const auto line_of = [](const QByteArray& data) {
      const QRawFont font(data, 100);
      return static_cast<float>((font.ascent() + font.descent()) / 100);
    };
    loaded.words_line = line_of(loaded.words);
    loaded.numbers_line = line_of(loaded.numbers);
    return loaded;
  }();
  return fonts;
}

QString number_span(const QString& text) {
  return "<span style=\"font-family:'" + QString::fromStdString(Style::current().theme().numbers_family) + "'\">" + text +
         "</span>";
}

}  // namespace ditscope::gui
