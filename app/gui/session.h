#pragma once
#include <QObject>
#include <QString>
#include <QStringList>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "app/gui/undo_history.h"
#include "app/gui/worker/history_store.h"
#include "app/gui/worker/job.h"
#include "app/gui/worker/probe.h"
#include "app/gui/worker/worker.h"

namespace ditscope::gui {

/// Something the user has to know; stays until dismissed.
struct Message {
  enum class Kind { Note, Warning, Error };
  struct Action {
    QString label;
    std::function<void()> run;
    bool stays = false;  ///< the message stays when it is pressed
  };
  int id = 0;
  Kind kind = Kind::Error;
  QString text;
  std::vector<Action> actions;
};

/// All state of the window and everything it can do; the panels show it and ask it. Lives on the GUI thread.
class Session : public QObject {
  Q_OBJECT
 public:
  /// @param data_folder  where the history lies
  Session(EngineFactory make_engine, const std::filesystem::path& data_folder, QObject* parent = nullptr);
  ~Session() override;

  // The request.
  const PairRequest& request() const { return request_.now(); }
  void edit(const QString& gesture, const std::function<void(PairRequest&)>& change);
  void end_gesture() { request_.end_gesture(); }
  void undo();
  void redo();
  bool can_undo() const { return request_.can_undo(); }
  bool can_redo() const { return request_.can_redo(); }
  /// Brings every setting of a request back, the model included. One undo.
  void restore(const PairRequest& pair);
  bool seed_locked() const { return seed_locked_; }
  void set_seed_locked(bool locked);
  void roll_seed();
  void add_method();
  void remove_method(std::size_t run);

  // The model.
  const std::optional<ModelInfo>& model() const { return model_; }
  const QString& model_problem() const { return model_problem_; }
  void open_model(const std::filesystem::path& folder);
  QStringList recent_models() const;

  // What follows from the request.
  /// Bytes that a recording of the request writes at most, before compression; 0: not known yet.
  std::int64_t capture_bytes() const { return capture_bytes_; }
  int tokens() const { return tokens_; }  ///< of the prompt; -1: not known yet
  const std::map<std::string, std::int64_t>& bytes() const { return bytes_; }
  const QString& request_problem() const { return request_problem_; }
  struct TimeEstimate {
    std::int64_t job = 0;
    std::vector<double> seconds;  ///< a run each
  };
  std::optional<TimeEstimate> time_estimate() const;

  // Runs.
  std::shared_ptr<const Snapshot> snapshot() const { return worker_->snapshot(); }
  bool busy() const { return snapshot()->running != nullptr; }
  /// Puts the request in line: ahead of what waits, or at the end. @return the job's number, 0 where the request is wrong
  std::int64_t generate(bool at_the_end = false);
  void stop() { worker_->stop(); }
  void stop_and_decode() { worker_->stop_and_decode(); }
  /// q, k and v of a captured call, from the model in that folder (empty: where it lay); waits for what runs. Not on the GUI thread.
  /// @throws Error where the model is not here, or `stopped` said so
  AttentionOperands replay(const std::filesystem::path& capture, int run_id, int step, int layer, int branch, const std::filesystem::path& model,
                           const std::function<bool()>& stopped);
  /// Looks for the model of a captured run, in `folder` or, where that is empty, where it lay. @param found  called on the GUI thread with
  /// the folder, or with an empty one and why it is not to be had
  void find_model(const CaptureRun& run, const std::filesystem::path& folder,
                  std::function<void(const std::filesystem::path& folder, const QString& problem)> found);
  /// Where the recording of a job lies, or would.
  std::filesystem::path capture_of(std::int64_t job) const;
  const std::filesystem::path& captures_folder() const { return captures_; }
  void pause_or_go_on();
  void remove_job(std::int64_t id) { worker_->remove(id); }
  void move_job(std::int64_t id, int by) { worker_->move(id, by); }
  void resume_stopped(const std::shared_ptr<const JobView>& job);
  void decode_stopped(const std::shared_ptr<const JobView>& job);

  // What is shown.
  const std::shared_ptr<const JobView>& shown() const { return shown_; }
  void show(const std::shared_ptr<const JobView>& job);
  /// Shows a job of the history and brings its settings back.
  void open_history(std::int64_t id);
  void remove_from_history(std::int64_t id);
  const std::vector<HistoryCard>& history() const { return history_; }
  QStringList prompt_history() const;

  /// A file or folder that was dropped or opened: a model folder, a capture, or a saved MP4, GIF, PNG or sidecar.
  void open_path(const std::filesystem::path& path);
  /// Runs a method on q, k and v of a file when the worker is free; to be called on another thread, which it blocks.
  /// @throws Error as attend_file()
  void attend(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on, const std::function<bool()>& stopped);

  // Messages.
  const std::deque<Message>& messages() const { return messages_; }
  /// @return the number of the message
  int say(Message::Kind kind, const QString& text, std::vector<Message::Action> actions = {});
  void dismiss(int id);
  /// One line for the status bar while nothing runs: "Done in 32.3 s: 28.4 dB, close to full."
  const QString& last_outcome() const { return last_outcome_; }

 Q_SIGNALS:
  void request_changed();
  void derived_changed();  ///< tokens, bytes, estimates
  void model_changed();
  void snapshot_changed();
  void shown_changed();
  void history_changed();
  void messages_changed();
  void job_ended(std::int64_t id);
  void capture_wanted(const QString& file);  ///< a .ditcap file was dropped or opened
  /// A .safetensors file was dropped or opened, and holds q, k and v of this shape (S,B,H,T,D).
  void tensors_wanted(const QString& file, const std::vector<std::int64_t>& shape);

 private:
  void post(std::function<void()> action);  ///< onto the GUI thread, from any
  void after_edit();
  void ask_probe();
  void take_model(const ModelInfo& info);
  void take_ended(const std::shared_ptr<const JobView>& job);
  void report_failure(const JobView& job);
  void reload_history();

  EngineFactory make_engine_;
  UndoHistory<PairRequest> request_;
  std::optional<ModelInfo> model_;
  QString model_problem_, request_problem_, last_outcome_;
  int tokens_ = -1;
  std::int64_t capture_bytes_ = 0;
  std::filesystem::path captures_;
  bool seed_locked_ = true;
  std::map<std::string, std::int64_t> bytes_;
  std::shared_ptr<const JobView> shown_;
  std::map<std::int64_t, std::shared_ptr<const JobView>> stopped_;  ///< with latents, as long as the program runs
  std::vector<HistoryCard> history_;
  std::deque<Message> messages_;
  int next_message_ = 1;
  std::atomic<bool> snapshot_posted_{false};
  std::unique_ptr<HistoryStore> store_;
  // Last, so that their threads end before anything they call.
  std::unique_ptr<Probe> probe_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace ditscope::gui
