#include "app/gui/save_clip.h"

#include <QDir>
#include <QFileDialog>
#include <QMenu>
#include <QPointer>
#include <QSettings>
#include <QThreadPool>
#include <nlohmann/json.hpp>

#include "app/gui/widgets/text_of.h"
#include "core/media/gif_writer.h"
#include "core/media/png_writer.h"
#include "core/media/side_by_side.h"
#include "core/media/video_writer.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

std::string method_name(const MethodChoice& method) {
  for (const MethodEntry& entry : methods()) {
    if (entry.key == method.key) return entry.name;
  }
  return method.key;
}

Frames composed(const JobView& job) {
  std::vector<ditscope::Pane> panes;
  for (const auto& run : job.runs) {
    if (!run->result || run->result->frames.empty()) continue;
    std::string detail = views::seconds_text(run->result->seconds);
    if (run->result->kept_ratio.requested < 1)
      detail = views::kept_text(run->result->kept_ratio.requested) + "  \u00b7  " + detail;
    if (run->metrics) detail += "  \u00b7  " + views::decibel_text(run->metrics->psnr_db);
    panes.push_back({&run->result->frames, method_name(run->method), detail});
  }
  return side_by_side(panes);
}

void ask_and_save(Session& session, std::shared_ptr<const JobView> job, int run, SaveFormat format, int frame, QWidget* parent) {
  QSettings settings;
  const QString folder = settings.value("save/folder", QDir::homePath()).toString();
  const QString name = QString("%1/ditscope-%2%3")
                           .arg(folder)
                           .arg(job->job.id)
                           .arg(run < 0 ? QString("-side-by-side") : QString("-%1").arg(QChar('a' + run)));
  const QString file =
      format == SaveFormat::PngSequence
          ? QFileDialog::getSaveFileName(parent, "Save as a folder of PNGs", name)
          : QFileDialog::getSaveFileName(parent, QString("Save as %1").arg(format_name(format)), name + format_extension(format));
  if (file.isEmpty()) return;
  settings.setValue("save/folder", QFileInfo(file).absolutePath());
  QPointer<Session> self(&session);
  QThreadPool::globalInstance()->start([self, job, run, format, frame, file] {
    QString problem;
    try {
      save_clip(*job, run, format, frame, file.toStdString());
    } catch (const std::exception& error) {
      problem = QString::fromUtf8(error.what());
    }
    QMetaObject::invokeMethod(
        qApp,
        [self, file, problem] {
          if (!self) return;
          if (problem.isEmpty()) {
            self->say(Message::Kind::Note,
                      QString("Saved %1. Its settings are inside: drop it here to bring them back.").arg(file));
          } else {
            self->say(Message::Kind::Error, problem);
          }
        },
        Qt::QueuedConnection);
  });
}

}  // namespace

const char* format_name(SaveFormat format) {
  switch (format) {
    case SaveFormat::Mp4:
      return "MP4, H.264";
    case SaveFormat::Gif:
      return "GIF";
    case SaveFormat::PngSequence:
      return "PNG sequence";
    case SaveFormat::Png:
      return "PNG of this frame";
  }
  return "";
}

const char* format_extension(SaveFormat format) {
  switch (format) {
    case SaveFormat::Mp4:
      return ".mp4";
    case SaveFormat::Gif:
      return ".gif";
    case SaveFormat::PngSequence:
      return "";
    case SaveFormat::Png:
      return ".png";
  }
  return "";
}

std::string parameters_of(const JobView& job, int run) {
  const std::size_t shown = run < 0 ? job.runs.size() - 1 : static_cast<std::size_t>(run);
  auto json = nlohmann::json::parse(to_json(job.job.pair.request_of(shown)));
  if (run < 0) {
    json["methods"] = nlohmann::json::array();
    for (const MethodChoice& method : job.job.pair.methods) json["methods"].push_back(to_string(method));
  }
  json["job"] = job.job.id;
  const RunView& view = *job.runs[shown];
  if (view.result) {
    json["seconds"] = view.result->seconds;
    json["attention_seconds"] = view.result->attention_seconds;
    json["noise_hash"] = view.result->noise_hash;
  }
  if (view.metrics) json["psnr_db"] = view.metrics->psnr_db;
  return json.dump();
}

void save_clip(const JobView& job, int run, SaveFormat format, int frame, const std::filesystem::path& file) {
  Frames made;
  const Frames* frames = nullptr;
  if (run < 0) {
    made = composed(job);
    frames = &made;
  } else {
    const RunView& view = *job.runs.at(static_cast<std::size_t>(run));
    if (!view.result || view.result->frames.empty()) {
      throw Error(ErrorKind::InvalidArgument, "This run has no frames to save: decode it first.");
    }
    frames = &view.result->frames;
  }
  const std::string parameters = parameters_of(job, run);
  switch (format) {
    case SaveFormat::Mp4: {
      VideoOptions options;
      options.parameters_json = parameters;
      write_video(*frames, file, options);
      return;
    }
    case SaveFormat::Gif: {
      GifOptions options;
      options.parameters_json = parameters;
      write_gif(*frames, file, options);
      return;
    }
    case SaveFormat::PngSequence:
      write_png_sequence(*frames, file, parameters);
      return;
    case SaveFormat::Png:
      write_png(*frames, std::clamp(frame, 0, frames->count - 1), file, parameters);
      return;
  }
}

void show_save_menu(Session& session, int frame, QWidget* parent, const QPoint& at) {
  const auto job = session.shown();
  if (!job) {
    session.say(Message::Kind::Note, "Nothing to save yet: generate a pair first, or open one from the history.");
    return;
  }
  QMenu menu(parent);
  int with_frames = 0;
  for (const auto& run : job->runs) with_frames += run->result && !run->result->frames.empty();
  const auto add = [&](const QString& title, int run) {
    QMenu* sub = menu.addMenu(title);
    for (const SaveFormat format : {SaveFormat::Mp4, SaveFormat::Gif, SaveFormat::PngSequence, SaveFormat::Png}) {
      sub->addAction(QString("%1…").arg(format_name(format)), parent,
                     [&session, job, run, format, frame, parent] { ask_and_save(session, job, run, format, frame, parent); });
    }
  };
  if (with_frames > 1) add("Side by side", -1);
  for (std::size_t i = 0; i < job->runs.size(); ++i) {
    const RunView& run = *job->runs[i];
    if (!run.result || run.result->frames.empty()) continue;
    add(QString("%1  %2").arg(QChar('A' + static_cast<int>(i))).arg(text_of(method_name(run.method))), static_cast<int>(i));
  }
  menu.exec(at);
}

}  // namespace ditscope::gui
