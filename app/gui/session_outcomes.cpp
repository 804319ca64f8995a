// What comes back to the session: files that were dropped, jobs that ended, and what the user is told about them.
#include <QClipboard>
#include <QGuiApplication>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/gui/session.h"
#include "app/gui/widgets/text_of.h"
#include "core/media/media_reader.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

QString run_name(const MethodChoice& method) {
  try {
    return QString::fromStdString(find_method(method.key).name);
  } catch (const Error&) {
    return QString::fromStdString(method.key);
  }
}

}  // namespace

void Session::open_path(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    open_model(path);
    return;
  }
  if (path.extension() == ".ditcap") {
    Q_EMIT capture_wanted(text_of(path.string()));
    return;
  }
  if (path.extension() == ".safetensors") {
    probe_->ask("tensors", [this, path](Engine& engine) {
      try {
        post([this, path, shape = engine.attend_shape(path)] { Q_EMIT tensors_wanted(text_of(path.string()), shape); });
      } catch (const std::exception& problem) {
        post([this, text = text_of(problem.what())] { say(Message::Kind::Error, text); });
      }
    });
    return;
  }
  try {
    const auto parameters = probe_parameters(path);
    if (!parameters) {
      say(Message::Kind::Error, QString("No settings in %1. DiTScope writes them into the MP4, GIF and PNG files that it saves.")
                                    .arg(text_of(path.filename().string())));
      return;
    }
    PairRequest pair;
    pair.base = request_from_json(*parameters);
    const auto json = nlohmann::json::parse(*parameters);
    if (json.contains("methods") && json["methods"].is_array()) {
      for (const auto& text : json["methods"]) pair.methods.push_back(parse_method_choice(text.get<std::string>()));
    } else {
      pair.methods = {pair.base.method};
    }
    pair.base.method = {};
    restore(pair);
    last_outcome_ = QString("%1 was read.").arg(text_of(path.filename().string()));
    Q_EMIT snapshot_changed();
  } catch (const std::exception& problem) {
    say(Message::Kind::Error, text_of(problem.what()));
  }
}

void Session::take_ended(const std::shared_ptr<const JobView>& job) {
  reload_history();
  const QString number = QString("#%1").arg(job->job.id);
  if (job->stopped()) {
    std::size_t run = 0;
    while (job->runs[run]->state != RunState::Stopped) ++run;
    const RunView& stopped = *job->runs[run];
    const int step = static_cast<int>(stopped.steps.size());
    const bool resumable = stopped.result && stopped.result->partial;
    if (resumable) stopped_[job->job.id] = job;
    last_outcome_ = QString("%1 stopped at step %2.").arg(number).arg(step);
    if (resumable) {
      const bool decoded = !stopped.result->frames.empty();
      std::vector<Message::Action> actions{{"Resume", [this, job] { resume_stopped(job); }}};
      if (!decoded) actions.push_back({"Decode", [this, job] { decode_stopped(job); }});
      say(Message::Kind::Note,
          QString("%1 %2 stopped at step %3. The latents are kept.").arg(number, run_name(stopped.method)).arg(step), actions);
    }
  } else if (job->failed()) {
    report_failure(*job);
  } else {
    double seconds = 0;
    for (const auto& run : job->runs) seconds += run->result ? run->result->seconds : 0;
    last_outcome_ = QString("%1 done in %2").arg(number, text_of(views::seconds_text(seconds)));
    const auto& last = job->runs.back();
    if (last->metrics) {
      last_outcome_ +=
          QString(": %1, %2%3")
              .arg(text_of(views::decibel_text(last->metrics->psnr_db)), views::band_name(views::band_of(last->metrics->psnr_db)),
                   views::band_of(last->metrics->psnr_db) == views::Band::Close ? " to full." : ".");
    } else {
      last_outcome_ += ".";
    }
  }
  const bool has_frames = std::any_of(job->runs.begin(), job->runs.end(),
                                      [](const auto& run) { return run->result && !run->result->frames.empty(); });
  if (has_frames) show(job);
  Q_EMIT derived_changed();
  Q_EMIT snapshot_changed();
  Q_EMIT job_ended(job->job.id);
}

void Session::report_failure(const JobView& job) {
  for (std::size_t i = 0; i < job.runs.size(); ++i) {
    const RunView& run = *job.runs[i];
    if (run.state != RunState::Failed) continue;
    last_outcome_ = QString("#%1 %2 failed.").arg(job.job.id).arg(run_name(run.method));
    const QString text = QString("#%1 %2: %3").arg(job.job.id).arg(run_name(run.method), text_of(run.error));
    const QString report = text + "\n" + text_of(std::string(error_kind_name(run.error_kind))) + "\n" +
                           text_of(to_json(job.job.pair.request_of(i), 2));
    std::vector<Message::Action> actions;
    const PairRequest pair = job.job.pair;
    if (run.error_kind == ErrorKind::OutOfMemory) {
      actions.push_back({"Free and retry", [this, pair] {
                           worker_->unload();
                           Job again;
                           again.id = store_->next_id();
                           again.pair = pair;
                           worker_->enqueue(again);
                         }});
    }
    actions.push_back({"Copy report", [report] { QGuiApplication::clipboard()->setText(report); }, true});
    say(Message::Kind::Error, text, actions);
  }
}

int Session::say(Message::Kind kind, const QString& text, std::vector<Message::Action> actions) {
  std::erase_if(messages_, [&](const Message& message) { return message.text == text; });
  messages_.push_front({next_message_++, kind, text, std::move(actions)});
  if (messages_.size() > 4) messages_.pop_back();
  Q_EMIT messages_changed();
  return next_message_ - 1;
}

void Session::dismiss(int id) {
  std::erase_if(messages_, [&](const Message& message) { return message.id == id; });
  Q_EMIT messages_changed();
}

}  // namespace ditscope::gui
