#include "app/gui/inspect/inspect_workspace.h"

#include <QApplication>
#include <QBoxLayout>
#include <QKeyEvent>
#include <QSettings>
#include <QSplitter>
#include <QStackedWidget>
#include <algorithm>
#include <set>

#include "app/gui/inspect/cursor_bar.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"

namespace ditscope::gui {
namespace {

QSplitter* make_splitter(Qt::Orientation orientation, const char* name) {
  auto* splitter = new QSplitter(orientation);
  splitter->setObjectName(name);
  splitter->setHandleWidth(1);
  splitter->setChildrenCollapsible(false);
  return splitter;
}

/// As InspectView::key() names keys.
std::string key_name(const QKeyEvent& event) {
  const int modifiers = static_cast<int>(event.modifiers() & (Qt::ControlModifier | Qt::ShiftModifier | Qt::AltModifier));
  return QKeySequence(event.key() | modifiers).toString(QKeySequence::PortableText).toStdString();
}

}  // namespace

InspectWorkspace::InspectWorkspace(InspectSession& session, Width width, QWidget* parent) : QWidget(parent), session_(session) {
  setObjectName("inspectWorkspace");
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  pages_ = new QStackedWidget;
  pages_->addWidget(build_empty());
  auto* work = new QWidget;
  auto* column = new QVBoxLayout(work);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(0);
  auto* bar = new CursorBar(session_, width <= Width::Compact, width == Width::Narrow);
  connect(bar, &CursorBar::open_asked, this, &InspectWorkspace::open_asked);
  column->addWidget(bar);
  column->addWidget(build_docks(width), 1);
  pages_->addWidget(work);
  layout->addWidget(pages_);
  const auto refresh = [this] { pages_->setCurrentIndex(session_.inspection().empty() ? 0 : 1); };
  connect(&session_, &InspectSession::captures_changed, this, refresh);
  connect(&session_, &InspectSession::changed, this, &InspectWorkspace::status_changed);
  refresh();
}

QWidget* InspectWorkspace::build_empty() {
  const Style& style = Style::current();
  auto* page = new QWidget;
  auto* layout = new QVBoxLayout(page);
  layout->setSpacing(style.px(12));
  layout->addStretch(1);
  auto* head = make_label("No run is open.", "title");
  head->setAlignment(Qt::AlignCenter);
  auto* body = make_label("A capture shows where every step, layer and head of a run looked, and what its mask left out. Runs are recorded while "
                          "Capture is on in the request; what goes on is shown here as it grows. Or open a .ditcap file, or a .safetensors with "
                          "q, k and v of any program; drop it here.",
                          "body");
  body->setMaximumWidth(style.px(620));
  body->setAlignment(Qt::AlignCenter);
  body->setWordWrap(true);
  auto* line = new QHBoxLayout;
  line->setSpacing(style.px(8));
  auto* recorded = make_button("Open the recorded run", "eye", "primary");
  auto* open = make_button("Open a capture…", "folder", "tall");
  auto* record = make_button("Record the next run", "", "tall");
  record->setToolTip("Sets Capture to summary in the request");
  connect(record, &QPushButton::clicked, this, &InspectWorkspace::record_asked);
  connect(recorded, &QPushButton::clicked, this, &InspectWorkspace::tour_asked);
  connect(open, &QPushButton::clicked, this, [this] { Q_EMIT open_asked(false); });
  line->addStretch(1);
  line->addWidget(recorded);
  line->addWidget(open);
  line->addWidget(record);
  line->addStretch(1);
  layout->addWidget(head);
  layout->addWidget(body, 0, Qt::AlignHCenter);
  layout->addLayout(line);
  layout->addStretch(1);
  return page;
}

ViewDock* InspectWorkspace::add_dock(const QString& name, std::vector<std::string> ids, bool low) {
  const auto& known = views::inspect_view_ids();
  std::erase_if(ids, [&](const std::string& id) { return std::find(known.begin(), known.end(), id) == known.end(); });
  if (ids.empty()) return nullptr;
  auto* dock = new ViewDock(session_, name, ids, low);
  docks_.push_back(dock);
  connect(dock, &ViewDock::entered, this, [this](const std::string& id) {
    const views::ViewInfo& info = session_.view(id).info();
    keys_ = text_of(info.keys.empty() ? "" : info.title + ": " + info.keys);
    Q_EMIT status_changed();
  });
  const QString key = "layout/inspectTab/" + name;
  dock->show_view(QSettings().value(key).toString().toStdString());
  connect(dock, &ViewDock::shown, this, [key](const std::string& id) { QSettings().setValue(key, text_of(id)); });
  return dock;
}

QWidget* InspectWorkspace::build_docks(Width width) {
  const Style& style = Style::current();
  std::vector<std::string> heads{"heads", "layer_head"}, outputs{"outputs", "summary"}, map{"map", "rows", "qk"}, mask{"mask", "overlap", "age"},
      drift{"drift", "histogram", "violin"}, error{"error"};
  // A view that is not in the design yet has a tab beside the drift plots.
  std::set<std::string> placed{"timeline"};
  for (const auto* group : {&heads, &outputs, &map, &mask, &drift, &error}) placed.insert(group->begin(), group->end());
  for (const std::string& id : views::inspect_view_ids()) {
    if (!placed.contains(id)) drift.push_back(id);
  }
  const auto joined = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  rows_ = make_splitter(Qt::Vertical, "inspectRows");
  rows_->installEventFilter(this);
  columns_ = make_splitter(Qt::Horizontal, "inspectColumns");
  const auto add_column = [&](const std::vector<ViewDock*>& docks, const char* name, const std::vector<int>& heights, int column_width, bool side) {
    Column column{make_splitter(Qt::Vertical, name), column_width, {}};
    for (std::size_t i = 0; i < docks.size(); ++i) {
      if (!docks[i]) continue;
      column.splitter->addWidget(docks[i]);
      column.heights.push_back(heights[i]);
      if (side) side_docks_.push_back(docks[i]);
    }
    if (column.heights.empty()) {
      delete column.splitter;
      return;
    }
    columns_->addWidget(column.splitter);
    columns_->setStretchFactor(columns_->count() - 1, side ? 0 : 1);
    column_parts_.push_back(std::move(column));
  };
  if (width == Width::Narrow) {
    add_column({add_dock("Left", joined(heads, outputs))}, "inspectLeft", {600}, 300, true);
    add_column({add_dock("Map", joined(joined(joined(map, mask), drift), error))}, "inspectMiddle", {600}, 500, false);
  } else if (width == Width::Compact) {
    add_column({add_dock("Left", joined(heads, outputs))}, "inspectLeft", {600}, 280, true);
    add_column({add_dock("Map", map)}, "inspectMiddle", {600}, 640, false);
    add_column({add_dock("Right", joined(joined(mask, drift), error))}, "inspectRight", {600}, 360, true);
  } else {
    const bool wide = width == Width::Wide;
    add_column({add_dock("Heads", wide ? std::vector<std::string>{"heads"} : heads), add_dock("Outputs", outputs)}, "inspectLeft", {366, 350}, 322, true);
    add_column({add_dock("Map", map)}, "inspectMiddle", {720}, wide ? 900 : 686, false);
    add_column({add_dock("Mask", mask), add_dock("Drift", wide ? drift : joined(drift, error))}, "inspectRight", {380, 350}, 592, true);
    if (wide) add_column({add_dock("Error", error), add_dock("Layer by head", {"layer_head"})}, "inspectFourth", {400, 400}, 440, true);
  }
  rows_->addWidget(columns_);
  rows_->setStretchFactor(0, 1);
  low_px_ = style.px(width <= Width::Compact ? 128 : 176);
  if (ViewDock* timeline = add_dock("Timeline", {"timeline"}, true)) {
    rows_->addWidget(timeline);
    side_docks_.push_back(timeline);
  }
  std::vector<QSplitter*> all{rows_, columns_};
  for (const Column& column : column_parts_) all.push_back(column.splitter);
  for (QSplitter* splitter : all) connect(splitter, &QSplitter::splitterMoved, this, &InspectWorkspace::keep_sizes);
  return rows_;
}

bool InspectWorkspace::eventFilter(QObject* watched, QEvent* event) {
  // Later: the splitter has its new size then.
  if (watched == rows_ && event->type() == QEvent::Resize) QMetaObject::invokeMethod(this, &InspectWorkspace::share_room, Qt::QueuedConnection);
  return QWidget::eventFilter(watched, event);
}

void InspectWorkspace::share_room() {
  if (keeps_sizes_) return;
  const auto shared = [](const std::vector<int>& weights, int room) {
    int sum = 0;
    QList<int> sizes;
    for (const int weight : weights) sum += weight;
    for (const int weight : weights) sizes << weight * room / std::max(sum, 1);
    return sizes;
  };
  std::vector<int> widths;
  for (const Column& column : column_parts_) widths.push_back(column.width);
  columns_->setSizes(shared(widths, rows_->width()));
  const int low = std::min(low_px_, rows_->height() * 2 / 5), high = rows_->height() - low;
  rows_->setSizes({high, low});
  for (const Column& column : column_parts_) column.splitter->setSizes(shared(column.heights, high));
}

/// A column whose docks are all hidden leaves its room to the others.
void InspectWorkspace::hide_empty_columns() {
  bool any_column = false;
  for (const Column& column : column_parts_) {
    bool any = false;
    for (int i = 0; i < column.splitter->count(); ++i) any = any || !column.splitter->widget(i)->isHidden();
    column.splitter->setVisible(any);
    any_column = any_column || any;
  }
  columns_->setVisible(any_column);
}

std::vector<ViewWidget*> InspectWorkspace::views() const {
  std::vector<ViewWidget*> all;
  for (const ViewDock* dock : docks_) all.insert(all.end(), dock->views().begin(), dock->views().end());
  return all;
}

ViewWidget* InspectWorkspace::view(const std::string& id) const {
  for (ViewWidget* view : views()) {
    if (view->id() == id) return view;
  }
  return nullptr;
}

ViewWidget* InspectWorkspace::focused() const { return qobject_cast<ViewWidget*>(QApplication::focusWidget()); }

void InspectWorkspace::show_view(const std::string& id) {
  for (ViewDock* dock : docks_) dock->show_view(id);
}

bool InspectWorkspace::handle_key(const QKeyEvent& event) {
  // Shift alone is held, not pressed: hold_shift().
  if (session_.inspection().empty() || event.key() == Qt::Key_Shift) return false;
  const std::string key = key_name(event);
  const Qt::KeyboardModifiers modifiers = event.modifiers() & (Qt::ControlModifier | Qt::AltModifier);
  ViewWidget* focus = focused();
  if (event.key() >= Qt::Key_0 && event.key() <= Qt::Key_9 && modifiers == Qt::ControlModifier) {
    if (focus && focus->take_key(key)) return true;
    const auto index = static_cast<std::size_t>((event.key() - Qt::Key_0 + 9) % 10);
    session_.go_to(index);
    return index < session_.bookmarks().size();
  }
  if (modifiers) return false;
  if (focus && focus->take_key(key)) return true;
  switch (event.key()) {
    case Qt::Key_BracketLeft:
      session_.move_step(-1);
      return true;
    case Qt::Key_BracketRight:
      session_.move_step(1);
      return true;
    case Qt::Key_Up:
      session_.move_layer(-1);
      return true;
    case Qt::Key_Down:
      session_.move_layer(1);
      return true;
    case Qt::Key_Left:
      session_.move_head(-1);
      return true;
    case Qt::Key_Right:
      session_.move_head(1);
      return true;
    case Qt::Key_L:
      if (focus) session_.set_locked(focus->id(), !session_.locked(focus->id()));
      return focus != nullptr;
    default:
      break;
  }
  for (const char* id : {"outputs", "timeline"}) {
    ViewWidget* other = view(id);
    if (other && other != focus && other->take_key(key)) return true;
  }
  return false;
}

void InspectWorkspace::hold_shift(bool down) {
  if (held_by_) {
    if (!down) held_by_->release_key("Shift");
    if (!down) held_by_ = nullptr;
    return;
  }
  // Reduced motion: nothing flickers.
  if (!down || session_.inspection().empty() || QSettings().value("motion").toString() == "reduced") return;
  for (ViewWidget* each : views()) {
    if (!each->isVisible() || (!each->hasFocus() && !each->underMouse())) continue;
    if (!each->take_key("Shift")) continue;
    held_by_ = each;
    return;
  }
}

bool InspectWorkspace::peel() {
  if (ViewWidget* focus = focused(); focus && focus->take_key("Esc")) return true;
  if (session_.inspection().locked().empty()) return false;
  session_.inspection().unlock_all();
  return true;
}

void InspectWorkspace::hide_side_docks(bool hidden) {
  for (ViewDock* dock : side_docks_) dock->setVisible(!hidden);
  hide_empty_columns();
}

void InspectWorkspace::show_alone(bool alone) {
  const ViewWidget* keep = focused() ? focused() : view("map");
  for (ViewDock* dock : docks_) {
    const auto& views = dock->views();
    dock->setVisible(!alone || std::find(views.begin(), views.end(), keep) != views.end());
  }
  hide_empty_columns();
}

void InspectWorkspace::walk() {
  std::vector<ViewWidget*> stops;
  for (const ViewDock* dock : docks_) {
    if (dock->isVisible()) stops.push_back(dock->current());
  }
  if (stops.empty()) return;
  const auto at = std::find(stops.begin(), stops.end(), focused());
  (at == stops.end() || at + 1 == stops.end() ? stops.front() : *(at + 1))->setFocus();
}

QString InspectWorkspace::status() const {
  const views::Inspection& inspection = session_.inspection();
  if (inspection.empty()) return "No run is open.";
  QString text;
  if (!inspection.locked().empty()) {
    const std::int64_t token = inspection.locked().front();
    const std::size_t more = inspection.locked().size() - 1;
    text = QString("Locked: token %1, row %2%3").arg(session_.token_name(token)).arg(token).arg(more > 0 ? QString(" and %1 more").arg(more) : QString());
  }
  const views::InspectHover& hover = inspection.hover();
  if (hover.query >= 0 || hover.key >= 0) {
    if (!text.isEmpty()) text += "     ";
    text += "Hover: ";
    if (hover.query >= 0) text += "query " + session_.token_name(hover.query);
    if (hover.key >= 0) text += QString(hover.query >= 0 ? ", key " : "key ") + session_.token_name(hover.key);
  }
  if (!text.isEmpty()) return text;
  const views::InspectCursor& at = inspection.cursor();
  return QString("%1, step %2 of %3: %4").arg(text_of(inspection.run(at.run).record.name)).arg(at.step).arg(inspection.run(at.run).record.steps).arg(session_.step_note());
}

}  // namespace ditscope::gui
