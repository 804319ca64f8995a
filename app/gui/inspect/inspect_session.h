#pragma once
#include <QElapsedTimer>
#include <QObject>
#include <QString>
#include <QTimer>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/bookmarks.h"
#include "views/inspect/view.h"

namespace ditscope::gui {

class Session;

/// What the Inspect workspace is about, on the GUI thread: the open captures, one instance of each view, tabs that are locked to a
/// cursor of their own, bookmarks. Outlives the widgets, which are made anew when the look changes.
class InspectSession : public QObject {
  Q_OBJECT
 public:
  explicit InspectSession(Session& session, QObject* parent = nullptr);
  ~InspectSession() override;

  views::Inspection& inspection() { return inspection_; }
  const views::Inspection& inspection() const { return inspection_; }
  /// Says what is wrong in the window's message bar. @param beside  keeps what is open, so that both can be compared
  bool open(const std::filesystem::path& file, bool beside = false);
  void close();
  /// The run that is recording now: opened, and followed as it grows.
  void follow(const std::filesystem::path& file);

  /// The models that replays of the open captures need and that are not here, by name and hash.
  struct MissingModel {
    std::string fingerprint, name;
    QString problem;
  };
  std::vector<MissingModel> missing_models() const;
  /// Looks for a model of the open captures in a folder. Where it is the one, replays go on, now and whenever it is needed again; else
  /// the message bar says what was found instead.
  void locate_model(const std::string& fingerprint, const std::filesystem::path& folder);

  views::InspectView& view(const std::string& id);
  /// What a view draws: the common cursor, or its own where its tab is locked.
  views::InspectCursor cursor_of(const std::string& id) const;
  bool locked(const std::string& id) const { return own_cursors_.contains(id); }
  void set_locked(const std::string& id, bool locked);
  /// Whether what views asked for has come: nothing is being replayed, and nothing has changed for a while.
  bool settled() const;
  /// Something else is shown from now on: what it needs is still to be asked for.
  void touch() { since_change_.restart(); }
  double seconds() const { return static_cast<double>(clock_.elapsed()) / 1000; }

  void move_step(int by);  ///< among captured steps
  void move_layer(int by);
  void move_head(int by);
  void set_cursor(const views::InspectCursor& cursor);

  struct Bookmark {
    int capture = 0;
    CaptureBookmark mark;
  };
  const std::vector<Bookmark>& bookmarks() const { return bookmarks_; }
  void add_bookmark(const QString& title);
  void remove_bookmark(std::size_t index);
  void go_to(std::size_t index);

  /// "token (4, 6, 8)" or "'red'": how readouts name a token.
  QString token_name(std::int64_t token) const;
  /// "sparse, 2 after refresh": what the cursor's step did.
  QString step_note() const;
  Session& session() { return session_; }

 Q_SIGNALS:
  void changed();           ///< cursor, locks, hover, or data came in; many become one
  void captures_changed();  ///< opened, closed, or a live run has grown
  void bookmarks_changed();
  void locate_asked(const QString& fingerprint);  ///< [Locate model…] was pressed

 private:
  void read_bookmarks();
  void look_again();
  void offer_replay();
  void look_for_models();
  void take_model(const CaptureRun& run, const std::filesystem::path& folder, const QString& problem);

  /// Where models lie, asked on the loading thread.
  struct Models {
    struct Place {
      std::filesystem::path folder;  ///< empty: where the run's lay
      std::string problem;           ///< why it is not to be had
      CaptureRun run;                ///< one that was made with it
      int message = 0;               ///< that says so
    };
    mutable std::mutex mutex;
    std::map<std::string, Place> places;                                        ///< by fingerprint
    std::map<std::pair<std::filesystem::path, int>, std::string> fingerprints;  ///< of runs
  };

  Session& session_;
  std::map<std::string, std::unique_ptr<views::InspectView>> views_;
  std::map<std::string, views::InspectCursor> own_cursors_;
  std::vector<Bookmark> bookmarks_;
  QElapsedTimer clock_;
  QTimer live_;
  std::filesystem::path awaited_;  ///< a capture that has no step yet
  QElapsedTimer since_change_;
  std::atomic<int> replays_{0};    ///< that go on
  Models models_;
  std::shared_ptr<std::atomic<bool>> posted_ = std::make_shared<std::atomic<bool>>(false);
  views::Inspection inspection_;   ///< last: its threads call back into what is above
};

}  // namespace ditscope::gui
