#include "app/gui/panels/memory_bar.h"

#include <QBoxLayout>
#include <QFile>
#include <QLabel>
#include <QPainter>
#include <vector>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

struct Part {
  const char* key;
  const char* name;
  const char* token;
};
// In the order of Generator::estimate_bytes().
constexpr Part kParts[] = {
    {"weights", "weights", "text"}, {"activations", "act.", "text3"}, {"vae", "VAE", "edge"}, {"method", "method", "accent"}};

std::int64_t field_kilobytes(const char* file, const char* name) {
  QFile source(file);
  if (!source.open(QIODevice::ReadOnly)) return 0;
  for (const QByteArray& line : source.readAll().split('\n')) {
    if (line.startsWith(name)) return line.mid(qstrlen(name)).trimmed().split(' ').value(0).toLongLong();
  }
  return 0;
}

}  // namespace

MemoryState read_memory() {
  return {field_kilobytes("/proc/meminfo", "MemTotal:") * 1024, field_kilobytes("/proc/meminfo", "MemAvailable:") * 1024,
          field_kilobytes("/proc/self/status", "VmRSS:") * 1024};
}

class MemoryStrip : public QWidget {
 public:
  explicit MemoryStrip(QWidget* parent) : QWidget(parent) { setFixedHeight(Style::current().px(6)); }
  std::vector<double> shares;  ///< of the machine, one a part

 protected:
  void paintEvent(QPaintEvent*) override {
    const Style& style = Style::current();
    QPainter painter(this);
    painter.fillRect(rect(), style.colour("view"));
    double x = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const double size = shares[i] * width();
      if (size <= 0) continue;
      painter.fillRect(QRectF(x, 0, std::max(1.0, size), height()), style.colour(kParts[i].token));
      x += std::max(1.0, size);
    }
  }
};

MemoryBar::MemoryBar(QWidget* parent) : QWidget(parent) {
  const Style& style = Style::current();
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(style.px(4));
  auto* line = new QHBoxLayout;
  title_ = make_label("Memory", "note");
  figure_ = make_label("", "number");
  figure_->setFont(style.numbers(11));
  line->addWidget(title_, 1);
  line->addWidget(figure_);
  layout->addLayout(line);
  strip_ = new MemoryStrip(this);
  layout->addWidget(strip_);
  legend_ = make_label("", "note");
  layout->addWidget(legend_);
  setToolTip(tooltip_text("Memory of this request",
                          "An estimate before the run: weights, activations of the largest step, the VAE, "
                          "and what the method remembers between steps."));
}

void MemoryBar::show_bytes(const std::map<std::string, std::int64_t>& bytes) {
  const MemoryState memory = read_memory();
  setVisible(!bytes.empty());
  if (bytes.empty()) return;
  std::int64_t sum = 0;
  strip_->shares.clear();
  QStringList legend;
  std::vector<std::pair<const Part*, std::int64_t>> sizes;
  for (const Part& part : kParts) {
    const auto found = bytes.find(part.key);
    const std::int64_t size = found == bytes.end() ? 0 : found->second;
    sum += size;
    strip_->shares.push_back(memory.total_bytes > 0 ? static_cast<double>(size) / static_cast<double>(memory.total_bytes) : 0);
    if (size <= 0) continue;
    sizes.push_back({&part, size});
  }
  // One unit for all parts: small models would read 0.0 in gigabytes.
  const bool giga = sum >= 1'000'000'000;
  for (const auto& [part, size] : sizes) {
    const double value = static_cast<double>(size) / (giga ? 1e9 : 1e6);
    legend << QString("<span style='color:%1'>■</span> %2 %3")
                  .arg(Style::current().colour(part->token).name(), part->name,
                       number_span(QString::number(value, 'f', giga ? 1 : 0)));
  }
  const std::int64_t reachable = memory.available_bytes + memory.process_bytes;
  const bool fits = reachable <= 0 || sum <= reachable;
  title_->setText(fits ? "Memory, fits" : "Memory, does not fit what is free");
  set_role(title_, fits ? "note" : "warn");
  figure_->setText(QString::fromStdString((giga ? views::gigabytes_text(sum) : views::size_text(sum)) + " of " +
                                          views::gigabytes_text(memory.total_bytes) + " GB"));
  legend_->setText(legend.join(" "));
  strip_->update();
  setAccessibleName(title_->text() + ", " + figure_->text());
}

}  // namespace ditscope::gui
