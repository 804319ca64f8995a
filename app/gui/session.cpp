#include "app/gui/session.h"

#include <QDir>
#include <QRandomGenerator>
#include <QSettings>
#include <algorithm>

#include "app/gui/widgets/text_of.h"

namespace ditscope::gui {
namespace {

constexpr std::size_t kMostMethods = 4;
constexpr int kMostRecentModels = 8;

PairRequest first_request() {
  PairRequest pair;
  pair.methods = {MethodChoice{"full", {}}, MethodChoice{"re-ttention", {}}};
  pair.base.seed = 42;
  return pair;
}

/// A pair as the Request panel can show it: full attention first, two to four methods, each known and within its ranges.
/// @throws Error naming what no method of this version knows
PairRequest checked(PairRequest pair) {
  if (pair.methods.empty() || pair.methods.front().key != "full")
    pair.methods.insert(pair.methods.begin(), MethodChoice{"full", {}});
  if (pair.methods.size() == 1) pair.methods.push_back(MethodChoice{"re-ttention", {}});
  if (pair.methods.size() > kMostMethods) pair.methods.resize(kMostMethods);
  for (const MethodChoice& method : pair.methods) resolve(method);
  return pair;
}

}  // namespace

Session::Session(EngineFactory make_engine, const std::filesystem::path& data_folder, QObject* parent)
    : QObject(parent),
      make_engine_(std::move(make_engine)),
      request_(first_request()),
      captures_(data_folder / "captures"),
      store_(std::make_unique<HistoryStore>(data_folder)) {
  probe_ = std::make_unique<Probe>(make_engine_);
  Worker::Callbacks callbacks;
  callbacks.changed = [this] {
    // Many snapshots a second become at most one redraw each time the GUI thread is free.
    if (snapshot_posted_.exchange(true)) return;
    post([this] {
      snapshot_posted_ = false;
      Q_EMIT snapshot_changed();
    });
  };
  callbacks.ended = [this](std::shared_ptr<const JobView> job) {
    try {
      store_->save(*job);
    } catch (const std::exception& problem) {
      const QString text = text_of(problem.what());
      post([this, text] { say(Message::Kind::Error, "The run is shown but not in the history: " + text); });
    }
    post([this, job] { take_ended(job); });
  };
  callbacks.queue_changed = [this](const std::vector<Job>& waiting) {
    try {
      store_->save_queue(waiting);
    } catch (const std::exception& problem) {
      const QString text = text_of(problem.what());
      post([this, text] { say(Message::Kind::Warning, "The queue will not survive a restart: " + text); });
    }
  };
  if (!store_->notice().empty()) say(Message::Kind::Warning, text_of(store_->notice()));
  const std::vector<Job> waiting = store_->load_queue();
  callbacks.capture_failed = [this](const std::string& problem) {
    const QString text = text_of(problem);
    post([this, text] { say(Message::Kind::Warning, "The run is not recorded, or only in part: " + text); });
  };
  worker_ = std::make_unique<Worker>(make_engine_, callbacks, captures_);
  reload_history();
  for (const Job& job : waiting) worker_->enqueue(job);
  if (!waiting.empty()) {
    say(Message::Kind::Note, QString("%1 of the last session's requests go on now.").arg(waiting.size()));
  }
}

Session::~Session() = default;

void Session::post(std::function<void()> action) {
  QMetaObject::invokeMethod(this, std::move(action), Qt::QueuedConnection);
}

void Session::edit(const QString& gesture, const std::function<void(PairRequest&)>& change) {
  PairRequest next = request_.now();
  change(next);
  request_.change(std::move(next), gesture.toStdString());
  after_edit();
}

void Session::undo() {
  if (!request_.can_undo()) return;
  const auto model = request_.now().base.model;
  request_.undo();
  if (request_.now().base.model != model) open_model(request_.now().base.model);
  after_edit();
}

void Session::redo() {
  if (!request_.can_redo()) return;
  const auto model = request_.now().base.model;
  request_.redo();
  if (request_.now().base.model != model) open_model(request_.now().base.model);
  after_edit();
}

void Session::restore(const PairRequest& pair) {
  PairRequest wanted;
  try {
    wanted = checked(pair);
  } catch (const Error& problem) {
    say(Message::Kind::Error, "The settings stay as they are: " + text_of(problem.what()));
    return;
  }
  std::error_code ignored;
  // A file made on another machine names the folder there; the model of the same name here is meant.
  if (!wanted.base.model.empty() && !std::filesystem::exists(wanted.base.model, ignored)) {
    if (model_ && wanted.base.model.filename() != model_->folder.filename()) {
      say(Message::Kind::Warning, QString("The settings name the model %1, which is not here; %2 stays open.")
                                      .arg(text_of(wanted.base.model.string()), text_of(model_->name)));
    }
    wanted.base.model = model_ ? model_->folder : std::filesystem::path();
  }
  const bool other_model = !model_ || model_->folder != wanted.base.model;
  const auto folder = wanted.base.model;
  request_.change(std::move(wanted), "");
  request_.end_gesture();
  if (other_model) open_model(folder);
  after_edit();
}

void Session::set_seed_locked(bool locked) {
  seed_locked_ = locked;
  Q_EMIT request_changed();
}

void Session::roll_seed() {
  const std::uint64_t seed = QRandomGenerator::global()->bounded(1, 1'000'000);
  edit("", [seed](PairRequest& pair) { pair.base.seed = seed; });
}

void Session::add_method() {
  if (request().methods.size() >= kMostMethods) return;
  edit("", [](PairRequest& pair) {
    // The first method that is not there yet, else another Re-ttention to compare its parameters.
    for (const MethodEntry& entry : methods()) {
      const auto same = [&](const MethodChoice& choice) { return choice.key == entry.key; };
      if (std::none_of(pair.methods.begin(), pair.methods.end(), same)) {
        pair.methods.push_back({entry.key, {}});
        return;
      }
    }
    pair.methods.push_back(pair.methods.back());
  });
}

void Session::remove_method(std::size_t run) {
  if (run < 2 || run >= request().methods.size()) return;
  edit("", [run](PairRequest& pair) { pair.methods.erase(pair.methods.begin() + static_cast<std::ptrdiff_t>(run)); });
}

void Session::open_model(const std::filesystem::path& folder) {
  probe_->ask("0 model", [this, folder](Engine& engine) {
    try {
      const ModelInfo info = engine.inspect(folder.empty() ? engine.bundled_model() : folder);
      post([this, info] { take_model(info); });
    } catch (const std::exception& problem) {
      const QString text = text_of(problem.what());
      post([this, text] {
        if (!model_) model_problem_ = text;
        say(Message::Kind::Error, text);
        Q_EMIT model_changed();
        Q_EMIT derived_changed();
      });
    }
  });
}

void Session::take_model(const ModelInfo& info) {
  const bool other = model_ && model_->folder != info.folder;
  const bool wanted = request().base.model == info.folder;  // restored, or an undo: its settings are the request's own
  model_ = info;
  model_problem_.clear();
  PairRequest pair = request();
  Request& base = pair.base;
  if (other && !wanted) {
    base.steps = base.frames = base.width = base.height = base.max_sequence_length = 0;
    base.guidance_scale = -1;
    base.scheduler.clear();
  }
  base.model = info.folder;
  if (base.steps <= 0) base.steps = info.default_steps;
  if (base.frames <= 0) base.frames = info.default_frames;
  if (base.width <= 0 || base.height <= 0) {
    base.width = info.default_width;
    base.height = info.default_height;
  }
  if (base.guidance_scale < 0) base.guidance_scale = info.default_guidance;
  if (base.scheduler.empty()) base.scheduler = info.default_scheduler;
  if (base.prompt.empty()) base.prompt = info.example_prompt;
  request_.replace(std::move(pair));

  QSettings settings;
  if (!info.bundled) {
    QStringList recent = recent_models();
    const QString folder = text_of(info.folder.string());
    recent.removeAll(folder);
    recent.prepend(folder);
    settings.setValue("models/recent", QStringList(recent.mid(0, kMostRecentModels)));
  }
  Q_EMIT model_changed();
  after_edit();
}

QStringList Session::recent_models() const {
  QStringList existing;
  for (const QString& folder : QSettings().value("models/recent").toStringList()) {
    if (QDir(folder).exists()) existing << folder;
  }
  return existing;
}

void Session::after_edit() {
  Q_EMIT request_changed();
  ask_probe();
}

void Session::ask_probe() {
  if (!model_) return;
  const PairRequest pair = request();
  probe_->ask("1 tokens", [this, pair](Engine& engine) {
    int tokens = -1;
    try {
      tokens = pair.base.prompt.empty() ? 0 : engine.count_tokens(pair.base.model, pair.base.prompt);
    } catch (const std::exception&) {
      tokens = -1;  // the run says what is wrong with the tokenizer; the count is a convenience
    }
    post([this, tokens] {
      tokens_ = tokens;
      Q_EMIT derived_changed();
    });
  });
  probe_->ask("2 request", [this, pair](Engine& engine) {
    std::map<std::string, std::int64_t> bytes;
    std::int64_t capture_bytes = 0;
    QString problem;
    const CaptureOptions options = pair.capture_options();
    try {
      for (std::size_t i = 0; i < pair.methods.size(); ++i) {
        const Request request = engine.complete(pair.request_of(i));
        for (const auto& [part, size] : engine.estimate_bytes(request)) bytes[part] = std::max(bytes[part], size);
        if (options.level != CaptureOptions::Level::Off) capture_bytes += estimate_capture(options, engine.capture_sizes(request)).bytes;
      }
    } catch (const std::exception& error) {
      problem = text_of(error.what());
    }
    post([this, bytes, capture_bytes, problem] {
      bytes_ = bytes;
      capture_bytes_ = capture_bytes;
      request_problem_ = problem;
      Q_EMIT derived_changed();
    });
  });
}

std::optional<Session::TimeEstimate> Session::time_estimate() const {
  TimeEstimate estimate;
  for (std::size_t i = 0; i < request().methods.size(); ++i) {
    const Request wanted = request().request_of(i);
    std::optional<double> seconds;
    for (const HistoryCard& card : history_) {
      for (std::size_t run = 0; run < card.runs.size() && !seconds; ++run) {
        if (card.runs[run].state != RunState::Done) continue;
        seconds = views::estimate_seconds(wanted, card.pair.request_of(run), card.runs[run].seconds);
      }
      if (!seconds) continue;
      if (estimate.job == 0) estimate.job = card.id;
      break;
    }
    if (!seconds) return {};
    estimate.seconds.push_back(*seconds);
  }
  return estimate;
}

std::int64_t Session::generate(bool at_the_end) {
  if (!model_) {
    say(Message::Kind::Error,
        model_problem_.isEmpty() ? QString("No model is open yet. Choose one under Model.") : model_problem_);
    return 0;
  }
  if (!request_problem_.isEmpty()) {
    say(Message::Kind::Error, request_problem_);
    return 0;
  }
  if (!seed_locked_) roll_seed();
  request_.end_gesture();
  Job job;
  job.id = store_->next_id();
  job.pair = request();
  worker_->enqueue(job, !at_the_end);
  return job.id;
}

AttentionOperands Session::replay(const std::filesystem::path& capture, int run_id, int step, int layer, int branch,
                                  const std::filesystem::path& model, const std::function<bool()>& stopped) {
  struct Silent final : EventSink {
    void on_event(const Event&) override {}
  };
  AttentionOperands operands;
  worker_->call(
      [&](Engine& engine, RunControl& control) {
        const CaptureReader reader(capture);
        Silent sink;
        operands = engine.replay(reader, run_id, step, layer, branch, model, sink, control);
      },
      stopped);
  return operands;
}

void Session::find_model(const CaptureRun& run, const std::filesystem::path& folder,
                         std::function<void(const std::filesystem::path& folder, const QString& problem)> found) {
  probe_->ask("4 model of " + run.model.fingerprint, [this, run, folder, found = std::move(found)](Engine& engine) {
    std::filesystem::path place;
    QString problem;
    try {
      place = engine.model_of(run, folder);
    } catch (const std::exception& error) {
      problem = text_of(error.what());
    }
    post([place, problem, found] { found(place, problem); });
  });
}

void Session::attend(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on, const std::function<bool()>& stopped) {
  worker_->call([&](Engine& engine, RunControl&) { engine.attend(request, goes_on); }, stopped);
}

std::filesystem::path Session::capture_of(std::int64_t job) const { return captures_ / (std::to_string(job) + ".ditcap"); }

void Session::pause_or_go_on() {
  if (snapshot()->paused) {
    worker_->go_on();
  } else {
    worker_->pause();
  }
}

void Session::resume_stopped(const std::shared_ptr<const JobView>& job) {
  stopped_.erase(job->job.id);
  worker_->resume(job);
}

void Session::decode_stopped(const std::shared_ptr<const JobView>& job) {
  stopped_.erase(job->job.id);
  worker_->decode(job);
}

void Session::show(const std::shared_ptr<const JobView>& job) {
  shown_ = job;
  Q_EMIT shown_changed();
}

void Session::open_history(std::int64_t id) {
  const auto take = [this](const std::shared_ptr<const JobView>& job) {
    show(job);
    restore(job->job.pair);
  };
  // What this process ran itself still has its latents and previews.
  if (shown_ && shown_->job.id == id) return take(shown_);
  if (const auto stopped = stopped_.find(id); stopped != stopped_.end()) return take(stopped->second);
  // Decoding a long video takes a moment; only the last one that was asked for is read.
  probe_->ask("3 history", [this, id, take](Engine&) {
    try {
      const auto job = store_->load(id);
      post([job, take] { take(job); });
    } catch (const std::exception& problem) {
      const QString text = text_of(problem.what());
      post([this, text] { say(Message::Kind::Error, text); });
    }
  });
}

void Session::remove_from_history(std::int64_t id) {
  try {
    store_->remove(id);
  } catch (const std::exception& problem) {
    say(Message::Kind::Error, text_of(problem.what()));
  }
  if (shown_ && shown_->job.id == id) show(nullptr);
  reload_history();
}

QStringList Session::prompt_history() const {
  QStringList prompts;
  for (const HistoryCard& card : history_) {
    const QString prompt = text_of(card.pair.base.prompt);
    if (!prompt.isEmpty() && !prompts.contains(prompt)) prompts << prompt;
  }
  return prompts;
}

void Session::reload_history() {
  try {
    history_ = store_->cards();
  } catch (const std::exception& problem) {
    say(Message::Kind::Error, text_of(problem.what()));
  }
  Q_EMIT history_changed();
}

}  // namespace ditscope::gui
