#include "app/gui/inspect/inspect_session.h"

#include <QCoreApplication>
#include <QPointer>
#include <QSettings>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/gui/session.h"
#include "app/gui/widgets/text_of.h"
#include "kernels/error.h"

namespace ditscope::gui {
namespace {

constexpr int kLive_ms = 1500, kQuiet_ms = 400;
constexpr const char* kTensors = "tensors";  ///< model class of runs of a file: nothing replays them
constexpr const char* kLocated = "models/located/";  ///< and a fingerprint: the folder that somebody named

}  // namespace

InspectSession::InspectSession(Session& session, QObject* parent)
    : QObject(parent), session_(session), inspection_(views::Inspection::Loading::InBackground) {
  clock_.start();
  since_change_.start();
  inspection_.on_change([this, posted = posted_] {
    // From any thread, and often: one repaint each time the GUI thread is free.
    if (posted->exchange(true)) return;
    QMetaObject::invokeMethod(
        this,
        [this, posted] {
          *posted = false;
          since_change_.restart();
          Q_EMIT changed();
        },
        Qt::QueuedConnection);
  });
  live_.setInterval(kLive_ms);
  connect(&live_, &QTimer::timeout, this, &InspectSession::look_again);
  offer_replay();
}

InspectSession::~InspectSession() { inspection_.on_change({}); }

void InspectSession::offer_replay() {
  inspection_.set_operands_source([this](const std::filesystem::path& capture, int run_id, int step, int layer, int branch,
                                         const std::function<bool()>& stopped) {
    struct Count {
      std::atomic<int>& count;
      explicit Count(std::atomic<int>& of) : count(of) { ++count; }
      ~Count() { --count; }
    };
    std::filesystem::path model;
    {
      const std::lock_guard lock(models_.mutex);
      const auto of = models_.fingerprints.find({capture, run_id});
      const auto place = of == models_.fingerprints.end() ? models_.places.end() : models_.places.find(of->second);
      if (place != models_.places.end()) {
        if (!place->second.problem.empty()) throw Error(ErrorKind::NotFound, place->second.problem);
        model = place->second.folder;
      }
    }
    const Count counted(replays_);
    return session_.replay(capture, run_id, step, layer, branch, model, stopped);
  });
}

/// Once for each model, and again for captures that are opened later: folders come and go.
void InspectSession::look_for_models() {
  std::map<std::string, CaptureRun> wanted;
  {
    const std::lock_guard lock(models_.mutex);
    models_.fingerprints.clear();
    for (const views::InspectedRun& run : inspection_.runs()) {
      if (run.record.model.class_name == kTensors) continue;
      models_.fingerprints[{inspection_.captures()[static_cast<std::size_t>(run.capture)], run.record.run_id}] = run.record.model.fingerprint;
      wanted.emplace(run.record.model.fingerprint, run.record);
    }
    std::erase_if(models_.places, [&](const auto& place) {
      if (wanted.contains(place.first)) return false;
      if (place.second.message > 0) session_.dismiss(place.second.message);
      return true;
    });
  }
  for (const auto& [fingerprint, run] : wanted) {
    const QString located = QSettings().value(QString(kLocated) + text_of(fingerprint)).toString();
    const auto take = [self = QPointer(this), run](const std::filesystem::path& folder, const QString& problem) {
      if (self) self->take_model(run, folder, problem);
    };
    if (located.isEmpty()) {
      session_.find_model(run, {}, take);
      continue;
    }
    // Where it was found the last time, else where it lay.
    session_.find_model(run, located.toStdString(), [self = QPointer(this), run, take](const std::filesystem::path& folder, const QString& problem) {
      if (!self) return;
      if (problem.isEmpty()) return take(folder, problem);
      self->session_.find_model(run, {}, take);
    });
  }
}

void InspectSession::take_model(const CaptureRun& run, const std::filesystem::path& folder, const QString& problem) {
  const std::string fingerprint = run.model.fingerprint;
  bool news = false;
  int former = 0;
  {
    const std::lock_guard lock(models_.mutex);
    const bool open = std::any_of(models_.fingerprints.begin(), models_.fingerprints.end(), [&](const auto& of) { return of.second == fingerprint; });
    if (!open) return;  // closed meanwhile
    Models::Place& place = models_.places[fingerprint];
    news = !place.problem.empty() || !problem.isEmpty();
    former = std::exchange(place.message, 0);
    place.folder = folder;
    place.problem = problem.toStdString();
    place.run = run;
  }
  if (former > 0) session_.dismiss(former);
  if (!problem.isEmpty()) {
    const int message = session_.say(Message::Kind::Note, problem, {{"Locate model…", [this, fingerprint] { Q_EMIT locate_asked(text_of(fingerprint)); }, true}});
    const std::lock_guard lock(models_.mutex);
    models_.places[fingerprint].message = message;
  }
  if (news) offer_replay();  // what failed is asked for again
}

std::vector<InspectSession::MissingModel> InspectSession::missing_models() const {
  const std::lock_guard lock(models_.mutex);
  std::vector<MissingModel> missing;
  for (const auto& [fingerprint, place] : models_.places) {
    if (!place.problem.empty()) missing.push_back({fingerprint, place.run.model.name, text_of(place.problem)});
  }
  return missing;
}

void InspectSession::locate_model(const std::string& fingerprint, const std::filesystem::path& folder) {
  CaptureRun run;
  {
    const std::lock_guard lock(models_.mutex);
    const auto place = models_.places.find(fingerprint);
    if (place == models_.places.end()) return;
    run = place->second.run;
  }
  session_.find_model(run, folder, [self = QPointer(this), run](const std::filesystem::path& place, const QString& problem) {
    if (!self) return;
    if (!problem.isEmpty()) {
      self->session_.say(Message::Kind::Error, problem);
      return;
    }
    QSettings().setValue(QString(kLocated) + text_of(run.model.fingerprint), text_of(place.string()));
    self->take_model(run, place, {});
    self->session_.say(Message::Kind::Note, QString("%1 is the model of this capture: exact rows, tiles and q·k come from it now.").arg(text_of(place.string())));
  });
}

bool InspectSession::settled() const { return replays_ == 0 && since_change_.elapsed() >= kQuiet_ms; }

bool InspectSession::open(const std::filesystem::path& file, bool beside) {
  try {
    if (!beside) {
      // Looked at before what is open is closed: a file that cannot be read leaves everything as it is.
      views::Inspection(views::Inspection::Loading::AtOnce).open(file);
      inspection_.close_all();
      own_cursors_.clear();
    }
    inspection_.open(file);
  } catch (const std::exception& problem) {
    session_.say(Message::Kind::Error, QString::fromUtf8(problem.what()));
    return false;
  }
  if (!beside) {
    views::InspectCursor at;
    const auto& runs = inspection_.runs();
    at.run = runs.size() > 1 ? 1 : 0;
    const views::InspectedRun& run = inspection_.run(at.run);
    if (!run.steps.empty()) at.step = run.steps[run.steps.size() / 2].step;
    at.layer = run.first_layer;
    at.branch = std::max(run.branch_of("conditional"), 0);
    inspection_.set_cursor(at);
  }
  read_bookmarks();
  look_for_models();
  const bool recording = std::any_of(inspection_.runs().begin(), inspection_.runs().end(), [](const auto& run) { return run.record.state == "recording"; });
  if (recording) live_.start();
  Q_EMIT captures_changed();
  return true;
}

void InspectSession::close() {
  live_.stop();
  awaited_.clear();
  inspection_.close_all();
  own_cursors_.clear();
  bookmarks_.clear();
  look_for_models();
  Q_EMIT bookmarks_changed();
  Q_EMIT captures_changed();
}

void InspectSession::follow(const std::filesystem::path& file) {
  awaited_ = file;
  live_.start();
}

void InspectSession::look_again() {
  try {
    if (!awaited_.empty() && std::filesystem::exists(awaited_) && !CaptureReader(awaited_).runs().empty()) {
      const std::filesystem::path file = std::exchange(awaited_, {});
      open(file);
      return;
    }
    const bool at_end = !inspection_.empty() && !inspection_.run(inspection_.cursor().run).steps.empty() &&
                        inspection_.cursor().step == inspection_.run(inspection_.cursor().run).steps.back().step;
    const std::size_t runs = inspection_.runs().size();
    if (inspection_.refresh()) {
      // Whoever looks at the newest step goes on doing so.
      if (at_end) {
        views::InspectCursor at = inspection_.cursor();
        at.step = inspection_.run(at.run).steps.back().step;
        inspection_.set_cursor(at);
      }
      if (inspection_.runs().size() != runs) look_for_models();
      Q_EMIT captures_changed();
    }
  } catch (const std::exception& problem) {
    live_.stop();
    session_.say(Message::Kind::Warning, "The capture cannot be followed: " + QString::fromUtf8(problem.what()));
    return;
  }
  const bool recording = std::any_of(inspection_.runs().begin(), inspection_.runs().end(), [](const auto& run) { return run.record.state == "recording"; });
  if (awaited_.empty() && !recording) live_.stop();
}

views::InspectView& InspectSession::view(const std::string& id) {
  std::unique_ptr<views::InspectView>& view = views_[id];
  if (!view) view = views::make_inspect_view(id);
  return *view;
}

views::InspectCursor InspectSession::cursor_of(const std::string& id) const {
  const auto own = own_cursors_.find(id);
  if (own == own_cursors_.end()) return inspection_.cursor();
  return own->second.run < static_cast<int>(inspection_.runs().size()) ? own->second : inspection_.cursor();
}

void InspectSession::set_locked(const std::string& id, bool locked) {
  if (locked) {
    own_cursors_[id] = inspection_.cursor();
  } else {
    own_cursors_.erase(id);
  }
  Q_EMIT changed();
}

void InspectSession::move_step(int by) {
  if (inspection_.empty()) return;
  views::InspectCursor at = inspection_.cursor();
  const auto& steps = inspection_.run(at.run).steps;
  if (steps.empty()) return;
  // To the next captured step, whichever that is.
  auto next = std::lower_bound(steps.begin(), steps.end(), at.step, [](const CaptureStep& step, int n) { return step.step < n; });
  if (by > 0 && next != steps.end() && next->step == at.step) ++next;
  if (by < 0 && next != steps.begin()) --next;
  at.step = next == steps.end() ? steps.back().step : next->step;
  inspection_.set_cursor(at);
}

void InspectSession::move_layer(int by) {
  views::InspectCursor at = inspection_.cursor();
  at.layer += by;
  inspection_.set_cursor(at);
}

void InspectSession::move_head(int by) {
  views::InspectCursor at = inspection_.cursor();
  at.head += by;
  inspection_.set_cursor(at);
}

void InspectSession::set_cursor(const views::InspectCursor& cursor) { inspection_.set_cursor(cursor); }

void InspectSession::read_bookmarks() {
  bookmarks_.clear();
  for (std::size_t i = 0; i < inspection_.captures().size(); ++i) {
    try {
      const CaptureReader reader(inspection_.captures()[i]);
      for (const CaptureRun& run : reader.runs()) {
        for (CaptureBookmark& mark : reader.bookmarks(run.run_id)) bookmarks_.push_back({static_cast<int>(i), std::move(mark)});
      }
    } catch (const Error& problem) {
      session_.say(Message::Kind::Warning, "Bookmarks cannot be read: " + QString::fromUtf8(problem.what()));
    }
  }
  std::sort(bookmarks_.begin(), bookmarks_.end(), [](const Bookmark& a, const Bookmark& b) {
    return std::pair(a.capture, a.mark.bookmark_id) < std::pair(b.capture, b.mark.bookmark_id);
  });
  Q_EMIT bookmarks_changed();
}

void InspectSession::add_bookmark(const QString& title) {
  if (inspection_.empty()) return;
  const views::InspectCursor& at = inspection_.cursor();
  const views::InspectedRun& run = inspection_.run(at.run);
  CaptureBookmark mark;
  mark.title = title.left(200).toStdString();
  mark.run_id = run.record.run_id;
  mark.step = at.step;
  mark.layer = at.layer;
  mark.head = at.head;
  mark.branch = at.branch;
  mark.view = nlohmann::json{{"locked", inspection_.locked()}}.dump();
  try {
    ditscope::add_bookmark(inspection_.captures()[static_cast<std::size_t>(run.capture)], mark);
  } catch (const Error& problem) {
    session_.say(Message::Kind::Error, QString::fromUtf8(problem.what()));
    return;
  }
  inspection_.reread();
  read_bookmarks();
}

void InspectSession::remove_bookmark(std::size_t index) {
  if (index >= bookmarks_.size()) return;
  try {
    ditscope::remove_bookmark(inspection_.captures().at(static_cast<std::size_t>(bookmarks_[index].capture)), bookmarks_[index].mark.bookmark_id);
  } catch (const Error& problem) {
    session_.say(Message::Kind::Error, QString::fromUtf8(problem.what()));
  }
  inspection_.reread();
  read_bookmarks();
}

void InspectSession::go_to(std::size_t index) {
  if (index >= bookmarks_.size()) return;
  const Bookmark& bookmark = bookmarks_[index];
  const auto& runs = inspection_.runs();
  const auto found = std::find_if(runs.begin(), runs.end(), [&](const views::InspectedRun& run) {
    return run.capture == bookmark.capture && run.record.run_id == bookmark.mark.run_id;
  });
  if (found == runs.end()) return;
  const CaptureBookmark& mark = bookmark.mark;
  const std::int64_t tokens = found->geometry.tokens();
  inspection_.set_cursor({static_cast<int>(found - runs.begin()), mark.step, mark.layer, mark.head, mark.branch});
  const auto view = nlohmann::json::parse(mark.view, nullptr, false);
  std::vector<std::int64_t> locked;
  if (view.is_object() && view.contains("locked") && view["locked"].is_array()) {
    for (const auto& token : view["locked"]) {
      if (token.is_number_integer() && token.get<std::int64_t>() >= 0 && token.get<std::int64_t>() < tokens) locked.push_back(token.get<std::int64_t>());
    }
  }
  inspection_.set_locked(std::move(locked));
}

QString InspectSession::token_name(std::int64_t token) const {
  if (inspection_.empty()) return {};
  const views::InspectCursor& at = inspection_.cursor();
  return text_of(inspection_.run(at.run).geometry.name(token, at.branch));
}

QString InspectSession::step_note() const {
  if (inspection_.empty()) return {};
  const views::InspectCursor& at = inspection_.cursor();
  const views::InspectedRun& run = inspection_.run(at.run);
  const CaptureStep* step = run.step(at.step);
  if (!step) return "not captured";
  if (step->action != "sparse" && step->action != "cached") return text_of(step->action);
  for (auto before = run.steps.rbegin(); before != run.steps.rend(); ++before) {
    if (before->step >= at.step || (before->action != "refresh" && before->action != "search")) continue;
    return QString("%1, %2 after %3").arg(text_of(step->action)).arg(at.step - before->step).arg(text_of(before->action));
  }
  return text_of(step->action);
}

}  // namespace ditscope::gui
