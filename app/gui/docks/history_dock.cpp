#include "app/gui/docks/history_dock.h"

#include <QBoxLayout>
#include <QContextMenuEvent>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPainter>
#include <QSortFilterProxyModel>
#include <QStandardItemModel>
#include <QStyledItemDelegate>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

enum Role { kId = Qt::UserRole, kSearch, kMethods, kFigure, kState, kStateToken, kStateIcon, kPrompt };

QString method_name(const MethodChoice& method) {
  for (const MethodEntry& entry : methods()) {
    if (entry.key == method.key) return text_of(entry.name);
  }
  return text_of(method.key);
}

/// One card: thumbnail, number, prompt, method, PSNR, state.
class CardDelegate : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;

  QSize sizeHint(const QStyleOptionViewItem&, const QModelIndex&) const override {
    return {Style::current().px(208), Style::current().px(104)};
  }

  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override {
    const Style& style = Style::current();
    painter->save();
    painter->setRenderHint(QPainter::Antialiasing);
    painter->setRenderHint(QPainter::SmoothPixmapTransform);
    const QRectF card = QRectF(option.rect).adjusted(1.5, 1.5, -6.5, -1.5);
    const bool selected = option.state & QStyle::State_Selected, hovered = option.state & QStyle::State_MouseOver;
    painter->setPen(selected ? QPen(style.colour("accent"), 2) : hovered ? QPen(style.colour("edge"), 1) : QPen(Qt::NoPen));
    painter->setBrush(style.colour("raised"));
    painter->drawRoundedRect(card, style.px(6), style.px(6));
    const double side = card.height() - style.px(10);
    const QRectF picture(card.x() + style.px(5), card.y() + style.px(5), side, side);
    const QPixmap pixmap = qvariant_cast<QPixmap>(index.data(Qt::DecorationRole));
    if (pixmap.isNull()) {
      painter->fillRect(picture, style.colour("view"));
    } else {
      const double scale = std::min(picture.width() / pixmap.width(), picture.height() / pixmap.height());
      const QSizeF size(pixmap.width() * scale, pixmap.height() * scale);
      painter->drawPixmap(QRectF(picture.center() - QPointF(size.width() / 2, size.height() / 2), size), pixmap, pixmap.rect());
    }
    const double left = picture.right() + style.px(8), width = card.right() - left - style.px(6);
    double y = card.y() + style.px(6);
    const auto line = [&](const QFont& font, const QColor& colour, const QString& text) {
      painter->setFont(font);
      painter->setPen(colour);
      painter->drawText(QRectF(left, y, width, style.px(17)), Qt::AlignVCenter,
                        painter->fontMetrics().elidedText(text, Qt::ElideRight, static_cast<int>(width)));
      y += style.px(17);
    };
    line(style.words(12, QFont::DemiBold), style.colour("text"), QString("#%1").arg(index.data(kId).toLongLong()));
    y -= style.px(17);
    painter->setFont(style.words(12, QFont::DemiBold));
    const double number = painter->fontMetrics().horizontalAdvance(QString("#%1 ").arg(index.data(kId).toLongLong()));
    painter->setFont(style.words(12));
    painter->setPen(style.colour("text2"));
    painter->drawText(
        QRectF(left + number, y, width - number, style.px(17)), Qt::AlignVCenter,
        painter->fontMetrics().elidedText(index.data(kPrompt).toString(), Qt::ElideRight, static_cast<int>(width - number)));
    y += style.px(17);
    line(style.words(12), style.colour("text"), index.data(kMethods).toString());
    line(style.numbers(11), style.colour("text"), index.data(kFigure).toString());
    const QByteArray token = index.data(kStateToken).toString().toLatin1();
    const int icon = style.px(12);
    painter->drawPixmap(QPointF(left, y + (style.px(17) - icon) / 2.0),
                        style.pixmap(index.data(kStateIcon).toString(), style.colour(token.constData()), icon,
                                     painter->device()->devicePixelRatioF()));
    painter->setFont(style.words(11));
    painter->setPen(style.colour(token.constData()));
    painter->drawText(QRectF(left + icon + style.px(4), y, width - icon - style.px(4), style.px(17)), Qt::AlignVCenter,
                      index.data(kState).toString());
    painter->restore();
  }
};

/// What a card says about how its job ended.
struct CardState {
  QString text, figure;
  const char* token;
  const char* icon;
};
CardState state_of(const HistoryCard& card) {
  CardState state{"done", "", "text2", "check"};
  for (const HistoryCard::Run& run : card.runs) {
    if (run.psnr_db) {
      const views::Band band = views::band_of(*run.psnr_db);
      const bool good = band == views::Band::NearIdentical || band == views::Band::Close;
      state = {views::band_name(band), text_of(views::decibel_text(*run.psnr_db)), good ? "ok" : "warn", good ? "check" : "warn"};
    }
    if (run.state == RunState::Stopped) return {"stopped", "after " + text_of(views::seconds_text(run.seconds)), "text2", "stop"};
    if (run.state == RunState::Failed) return {"failed", "", "error", "warn"};
  }
  if (state.figure.isEmpty() && !card.runs.empty()) state.figure = text_of(views::seconds_text(card.runs[0].seconds));
  return state;
}

}  // namespace

HistoryPage::HistoryPage(Session& session, bool upright, QWidget* parent) : QWidget(parent), session_(session) {
  const Style& style = Style::current();
  tools_ = new QWidget;
  auto* tools = new QHBoxLayout(tools_);
  tools->setContentsMargins(0, 0, 0, 0);
  search_ = new QLineEdit;
  search_->setObjectName("historySearch");
  search_->setPlaceholderText("Search prompts, methods, seeds");
  search_->setAccessibleName("Search the history");
  search_->setClearButtonEnabled(false);
  search_->setFixedWidth(style.px(upright ? 200 : 230));
  search_->setStyleSheet(QString("min-height: %1px; font-size: %2px;").arg(style.px(20)).arg(style.px(12)));
  tools->addWidget(search_);

  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(style.px(8), style.px(8), style.px(8), style.px(8));
  list_ = new QListView;
  list_->setObjectName("historyList");
  list_->setAccessibleName("History");
  list_->setViewMode(QListView::ListMode);
  list_->setFlow(upright ? QListView::TopToBottom : QListView::LeftToRight);
  list_->setWrapping(false);
  list_->setMouseTracking(true);
  list_->setUniformItemSizes(true);
  list_->setSelectionMode(QAbstractItemView::SingleSelection);
  list_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  list_->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
  list_->setVerticalScrollMode(QAbstractItemView::ScrollPerPixel);
  list_->setItemDelegate(new CardDelegate(list_));
  model_ = new QStandardItemModel(this);
  filtered_ = new QSortFilterProxyModel(this);
  filtered_->setSourceModel(model_);
  filtered_->setFilterRole(kSearch);
  filtered_->setFilterCaseSensitivity(Qt::CaseInsensitive);
  list_->setModel(filtered_);
  layout->addWidget(list_);
  empty_ = make_label("No runs yet. Each run is kept here with its settings and its video.", "text3");
  empty_->setAlignment(Qt::AlignCenter);
  empty_->setWordWrap(true);
  layout->addWidget(empty_);
  connect(search_, &QLineEdit::textChanged, this, [this](const QString& text) { filtered_->setFilterFixedString(text); });
  const auto open = [this](const QModelIndex& index) { session_.open_history(index.data(kId).toLongLong()); };
  connect(list_, &QListView::clicked, this, open);
  connect(list_, &QListView::activated, this, open);
  connect(&session_, &Session::history_changed, this, &HistoryPage::refresh);
  connect(&session_, &Session::shown_changed, this, &HistoryPage::mark_shown);
  refresh();
}

void HistoryPage::refresh() {
  model_->clear();
  for (const HistoryCard& card : session_.history()) {
    auto* item = new QStandardItem;
    QStringList names, keys;
    for (std::size_t i = 0; i < card.pair.methods.size(); ++i) {
      keys << method_name(card.pair.methods[i]) << text_of(card.pair.methods[i].key);
      if (i > 0 || card.pair.methods.size() == 1) names << method_name(card.pair.methods[i]);
    }
    const CardState state = state_of(card);
    const QString prompt = text_of(card.pair.base.prompt);
    item->setData(static_cast<qlonglong>(card.id), kId);
    item->setData(prompt, kPrompt);
    item->setData(names.join(", "), kMethods);
    item->setData(state.figure, kFigure);
    item->setData(state.text, kState);
    item->setData(QString(state.token), kStateToken);
    item->setData(QString(state.icon), kStateIcon);
    item->setData(QString("#%1 %2 %3 %4").arg(card.id).arg(prompt, keys.join(' ')).arg(card.pair.base.seed), kSearch);
    item->setData(QString("#%1, %2, %3, %4 %5").arg(card.id).arg(prompt, names.join(", "), state.figure, state.text),
                  Qt::AccessibleTextRole);
    item->setToolTip(
        QString("%1\n%2, %3 steps, seed %4").arg(prompt, names.join(", ")).arg(card.pair.base.steps).arg(card.pair.base.seed));
    QPixmap pixmap;
    if (!card.thumbnail_png.empty())
      pixmap.loadFromData(card.thumbnail_png.data(), static_cast<uint>(card.thumbnail_png.size()), "PNG");
    item->setData(pixmap, Qt::DecorationRole);
    model_->appendRow(item);
  }
  const bool any = model_->rowCount() > 0;
  list_->setVisible(any);
  empty_->setVisible(!any);
  mark_shown();
}

void HistoryPage::mark_shown() {
  if (!session_.shown()) {
    list_->clearSelection();
    return;
  }
  for (int row = 0; row < filtered_->rowCount(); ++row) {
    const QModelIndex index = filtered_->index(row, 0);
    if (index.data(kId).toLongLong() == session_.shown()->job.id) list_->setCurrentIndex(index);
  }
}

void HistoryPage::contextMenuEvent(QContextMenuEvent* event) {
  const QModelIndex index = list_->indexAt(list_->viewport()->mapFromGlobal(event->globalPos()));
  if (!index.isValid()) return;
  const std::int64_t id = index.data(kId).toLongLong();
  QMenu menu(this);
  menu.addAction("Show and restore its settings", this, [this, id] { session_.open_history(id); });
  menu.addAction(QString("Remove #%1 from the history").arg(id), this, [this, id] { session_.remove_from_history(id); });
  menu.exec(event->globalPos());
}

}  // namespace ditscope::gui
