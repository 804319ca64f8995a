#include "app/gui/panels/results_table.h"

#include <QBoxLayout>
#include <QGridLayout>
#include <QLabel>
#include <QPainter>
#include <cmath>

#include "app/gui/panels/method_section.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

enum Column { kBadge, kName, kTotal, kAttention, kSparseStep, kPsnr, kWorst, kSsim, kAsked, kSparse, kWhole, kColumns };

const char* band_role(views::Band band) {
  return band == views::Band::Diverged || band == views::Band::Visible ? "warn" : "ok";
}

}  // namespace

/// Work skipped (grey) over time saved (the run's colour), 0 to 100 %; a loss is said in words.
class HonestBars : public QWidget {
 public:
  explicit HonestBars(QWidget* parent) : QWidget(parent) { setMinimumWidth(Style::current().px(300)); }
  std::vector<views::HonestBar> bars;
  QColor colour;

  QSize sizeHint() const override { return {Style::current().px(330), Style::current().px(54)}; }

 protected:
  void paintEvent(QPaintEvent*) override {
    const Style& style = Style::current();
    QPainter painter(this);
    const int row = style.px(18), label = style.px(78), figures = style.px(150);
    for (std::size_t i = 0; i < bars.size(); ++i) {
      const int y = static_cast<int>(i) * row;
      painter.setFont(style.words(12));
      painter.setPen(style.colour("text2"));
      painter.drawText(QRect(0, y, label, row), Qt::AlignVCenter, text_of(bars[i].label));
      const QRectF track(label, y + 2, width() - label - figures, row - 4);
      painter.fillRect(track, style.colour("view"));
      const double half = track.height() / 2;
      if (bars[i].skipped) {
        painter.fillRect(QRectF(track.x(), track.y(), track.width() * std::clamp(*bars[i].skipped, 0.0, 1.0), half),
                         style.colour("text3"));
      }
      painter.fillRect(QRectF(track.x(), track.y() + half, track.width() * std::clamp(bars[i].saved, 0.0, 1.0), half), colour);
      painter.setFont(style.numbers(11));
      painter.setPen(style.colour(bars[i].saved < 0 ? "warn" : "text"));
      const QString saved = bars[i].saved < 0 ? "slower " + text_of(views::percent_text(-bars[i].saved))
                                              : text_of(views::percent_text(bars[i].saved));
      const QString text = bars[i].skipped ? text_of(views::number_text(*bars[i].skipped * 100, 1)) + " → " + saved : saved;
      painter.drawText(QRect(width() - figures, y, figures, row), Qt::AlignVCenter | Qt::AlignRight, text);
    }
  }
};

ResultsTable::ResultsTable(bool compact, QWidget* parent) : QWidget(parent), compact_(compact) {
  const Style& style = Style::current();
  setObjectName("panel");
  setAttribute(Qt::WA_StyledBackground);
  setAccessibleName("Results");
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(style.px(14), style.px(6), style.px(14), style.px(8));
  layout->setSpacing(style.px(24));
  auto* table = new QWidget;
  grid_ = new QGridLayout(table);
  grid_->setContentsMargins(0, 0, 0, 0);
  grid_->setHorizontalSpacing(style.px(10));
  grid_->setVerticalSpacing(style.px(3));
  layout->addWidget(table, 3, Qt::AlignTop);
  bars_block_ = new QWidget;
  auto* side = new QVBoxLayout(bars_block_);
  side->setContentsMargins(0, 0, 0, 0);
  side->setSpacing(style.px(5));
  bars_title_ = make_label("", "text2");
  side->addWidget(bars_title_);
  bars_ = new HonestBars(this);
  side->addWidget(bars_);
  side->addStretch(1);
  layout->addWidget(bars_block_, 2, Qt::AlignTop);
}

QLabel* ResultsTable::put(int row, int column, const QString& text, const char* role, bool right) {
  QLabel* label = make_label(text, role);
  if (right) label->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  grid_->addWidget(label, row, column);
  return label;
}

void ResultsTable::add_row(int row, int run, const views::RunFigures& figures) {
  grid_->addWidget(make_badge(run), row, kBadge);
  put(row, kName, text_of(figures.method_name) + (figures.stopped ? ", stopped" : ""), "", false);
  put(row, kTotal, text_of(views::seconds_text(figures.total_seconds)), "number");
  put(row, kAttention, text_of(views::seconds_text(figures.attention_seconds)), "number");
  put(row, kSparseStep, figures.per_sparse_step_seconds ? text_of(views::seconds_text(*figures.per_sparse_step_seconds)) : "–",
      "number");
  if (run == 0) {
    put(row, kPsnr, "reference", "text3");
    put(row, kWorst, "–", "text3");
    put(row, kSsim, "–", "text3");
  } else if (figures.metrics) {
    const auto& metrics = *figures.metrics;
    put(row, kPsnr, text_of(views::decibel_text(metrics.psnr_db)), "number");
    auto* worst =
        put(row, kWorst, (metrics.frames_from_video ? "≈ " : "") + text_of(views::decibel_text(metrics.worst_db)), "number");
    if (metrics.frames_from_video) worst->setToolTip("Measured on the stored videos; the mean is of the raw frames.");
    put(row, kSsim, std::isnan(metrics.ssim) ? "–" : text_of(views::number_text(metrics.ssim, 3)), "number");
  } else {
    for (const int column : {kPsnr, kWorst, kSsim}) put(row, column, "–", "text3");
  }
  put(row, kAsked, text_of(views::percent_text(figures.kept_ratio.requested)), "number");
  put(row, kSparse, text_of(views::percent_text(figures.kept_ratio.achieved)), "number");
  put(row, kWhole, text_of(views::percent_text(figures.kept_ratio.schedule_average)), "number");
}

void ResultsTable::add_speed(int row, int run, const views::Speed& speed, const views::RunFigures& figures) {
  auto* name = new QLabel(QString("%1 over A").arg(QChar('A' + run)));
  name->setProperty("role", "text2");
  grid_->addWidget(name, row, kBadge, 1, 2);
  const auto put_factor = [&](int column, double factor) {
    auto* label = put(row, column, text_of(views::factor_text(factor)), "number");
    label->setToolTip(text_of(views::speed_text(factor)));
    label->setFont(Style::current().numbers(12, QFont::DemiBold));
    if (factor < 0.995) {
      label->setText("slower " + label->text());
      label->setStyleSheet("color: " + Style::current().colour("warn").name());
    }
  };
  put_factor(kTotal, speed.total);
  put_factor(kAttention, speed.attention);
  if (speed.per_sparse_step) put_factor(kSparseStep, *speed.per_sparse_step);
  if (figures.metrics) {
    const views::Band band = views::band_of(figures.metrics->psnr_db);
    auto* word = put(row, kPsnr, views::band_name(band), band_role(band));
    word->setToolTip("≥ 30 dB near-identical, 25–30 close, 20–25 visible, < 20 diverged");
  }
  if (figures.kept_ratio.schedule_average < 1) {
    auto* ceiling = new QLabel("attention ceiling of this schedule " + number_span(text_of(views::factor_text(speed.ceiling))));
    ceiling->setProperty("role", "text3");
    ceiling->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    ceiling->setToolTip("1 / mean kept over steps; a refresh counts 1 + kept. No kernel can go beyond it with these full steps.");
    grid_->addWidget(ceiling, row, kWorst, 1, kColumns - kWorst);
  }
}

void ResultsTable::show_job(const JobView* job, int second) {
  while (QLayoutItem* item = grid_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  bars_block_->setVisible(false);
  if (!job) return;
  auto* title = new QLabel(QString("#%1, one run each").arg(job->job.id));
  title->setProperty("role", "text2");
  grid_->addWidget(title, 0, kBadge, 1, 2);
  static const char* kTitles[] = {
      "", "", "total", "attention", "per sparse step", "PSNR", "worst frame", "SSIM", "kept, asked", "sparse steps", "whole run"};
  for (int column = kTotal; column < kColumns; ++column) put(0, column, kTitles[column], "text2");
  grid_->itemAtPosition(0, kPsnr)->widget()->setToolTip(
      tooltip_text("PSNR", QString::fromUtf8(psnr_formula().data(), static_cast<qsizetype>(psnr_formula().size())), "",
                   "recipe " + QString::fromUtf8(Psnr::kRecipe.data(), static_cast<qsizetype>(Psnr::kRecipe.size()))));
  grid_->itemAtPosition(0, kSsim)->widget()->setToolTip(
      tooltip_text("SSIM", QString::fromUtf8(ssim_formula().data(), static_cast<qsizetype>(ssim_formula().size())), "",
                   "recipe " + QString::fromUtf8(Ssim::kRecipe.data(), static_cast<qsizetype>(Ssim::kRecipe.size()))));
  grid_->setColumnStretch(kName, 1);

  std::vector<std::optional<views::RunFigures>> figures;
  for (const auto& run : job->runs) {
    figures.push_back(run->result ? std::optional(views::figures_of(*run->result, run->metrics)) : std::nullopt);
  }
  int row = 1;
  for (std::size_t i = 0; i < figures.size(); ++i) {
    if (figures[i]) add_row(row++, static_cast<int>(i), *figures[i]);
  }
  if (figures.empty() || !figures[0] || figures[0]->stopped) return;
  const auto at = static_cast<std::size_t>(second);
  if (at >= figures.size() || at == 0 || !figures[at] || figures[at]->stopped) return;
  add_speed(row, second, views::speed_of(*figures[0], *figures[at]), *figures[at]);
  bars_->bars = views::honest_bars(*figures[0], *figures[at]);
  bars_->colour = Style::current().run_colour(second);
  bars_->update();
  bars_title_->setText(
      QString("Honest speed: work skipped against <span style='color:%1'>time saved</span>").arg(bars_->colour.name()));
  bars_block_->setVisible(!compact_);
}

}  // namespace ditscope::gui
