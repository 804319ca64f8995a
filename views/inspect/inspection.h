#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture_reader.h"
#include "core/capture/exact_attention.h"
#include "core/media/frames.h"
#include "views/inspect/token_geometry.h"

namespace ditscope::views {

/// What every view of the inspector looks at. A locked tab keeps one of its own. All indices are zero-based.
struct InspectCursor {
  int run = 0;  ///< index of Inspection::runs()
  int step = 0, layer = 0, head = 0, branch = 0;
  bool operator==(const InspectCursor&) const = default;
};

/// A value that a view asked for: there, on its way, or not to be had.
template <class T>
struct Datum {
  std::shared_ptr<const T> value;
  std::string problem;  ///< why there is none and what to do next; empty while it loads
  bool loading() const { return !value && problem.empty(); }
  explicit operator bool() const { return value != nullptr; }
  const T& operator*() const { return *value; }
  const T* operator->() const { return value.get(); }
};

/// A run of an open capture.
struct InspectedRun {
  int capture = 0;    ///< which open capture it is of
  char letter = 'A';  ///< 'A' is the reference
  CaptureRun record;
  std::vector<CaptureStep> steps;  ///< complete ones, ascending
  TokenGeometry geometry;
  int first_layer = 0;            ///< the lowest that was captured
  int branch_of(const std::string& name) const;  ///< index into record.branches; -1: none of that name
  const CaptureStep* step(int step) const;       ///< null: not captured
  std::optional<double> whole_run_kept_ratio() const;  ///< mean of the captured steps; the record has that of the sparse ones
};

/// What the mouse is over, in any view: it previews in all of them.
struct InspectHover {
  std::int64_t query = -1, key = -1;  ///< raster tokens; -1: none
  std::string view;                   ///< id of the view that it is in
};

/// q, k and v of one call, replayed or stored. Called on the loading thread; may take seconds and ask `stopped`.
/// @throws Error where it cannot be had: what() says why
using OperandsSource =
    std::function<AttentionOperands(const std::filesystem::path& capture, int run_id, int step, int layer, int branch,
                                    const std::function<bool()>& stopped)>;

/// The state behind the Inspect workspace: captures, the cursor, the tokens that are locked and hovered, and the data that views ask
/// for. Views read it on one thread; readers of files work on another, so a view gets what is there and is told when more is.
class Inspection {
 public:
  enum class Loading {
    InBackground,  ///< the window: fetch() returns at once
    AtOnce         ///< headless: fetch() loads before it returns
  };
  explicit Inspection(Loading loading);
  ~Inspection();
  Inspection(const Inspection&) = delete;
  Inspection& operator=(const Inspection&) = delete;

  /// Adds a capture; its runs follow those that are open. At most two. @return its index
  /// @throws Error as CaptureReader does; nothing is changed then
  int open(const std::filesystem::path& file);
  void close_all();
  /// Looks again at captures that are being written. @return whether something is new
  bool refresh();
  /// Something of whole runs was written into a capture (a bookmark): what was asked for of them is asked for again.
  void reread();

  /// Why the last value that was asked for and cannot be had cannot be; forget_problem() empties it.
  const std::string& last_problem() const { return last_problem_; }
  void forget_problem() { last_problem_.clear(); }

  const std::vector<InspectedRun>& runs() const { return runs_; }
  const std::vector<std::filesystem::path>& captures() const { return captures_; }
  bool empty() const { return runs_.empty(); }
  const InspectedRun& run(int index) const;  ///< @throws Error{InvalidArgument}

  const InspectCursor& cursor() const { return cursor_; }
  /// Clamped to what there is.
  void set_cursor(InspectCursor cursor);

  /// Locked tokens (raster order), the first is the one that readouts name.
  const std::vector<std::int64_t>& locked() const { return locked_; }
  void lock(std::int64_t token, bool add);  ///< again on a token that is locked: unlocks it
  void set_locked(std::vector<std::int64_t> tokens);
  void unlock_all();
  const InspectHover& hover() const { return hover_; }
  void set_hover(const InspectHover& hover);

  /// Called after any change of what is above, on the thread that made it, and after data came in, on the loading thread.
  void on_change(std::function<void()> changed);

  /// A value made from a capture, kept as long as there is room (256 MB). @param key  names the value, the same for the same value
  /// @param load  runs on the loading thread; its Error becomes `problem`
  template <class T>
  Datum<T> fetch(int run, const std::string& key, std::function<T(CaptureReader&)> load, std::int64_t bytes = 4096);

  // What several views ask for. `step` of a call that was not captured: a problem that says so.
  Datum<CaptureCall> call(const InspectCursor& at);
  /// A quantity of all heads, layers, steps and branches of a run. @param column  of CaptureReader::head_columns()
  Datum<std::vector<CaptureReader::HeadValue>> head_values(int run, const std::string& column);
  struct Map {
    int cells = 0;
    std::vector<std::int64_t> edges;  ///< first call token of each cell and, at the end, the number of tokens
    std::vector<float> values;        // (M,N) share of key cell n in the softmax of query cell m
    int block_tokens = 64;
    std::string source;               ///< exact, shadow, sampled
  };
  Datum<Map> map(const InspectCursor& at);
  Datum<CapturePlan> plan(const InspectCursor& at);
  /// The rows behind the figures: which, and their log-sum-exp and rho; empty vectors where not captured.
  struct Rows {
    std::vector<std::int64_t> tokens;  ///< raster order
    std::vector<float> lse_full, log_rho, log_rho_used;
  };
  Datum<Rows> rows(const InspectCursor& at);
  Datum<Frames> preview(int run, int step);
  Datum<Frames> frames(int run);

  /// From q and k, stored or replayed. One call is kept at a time.
  void set_operands_source(OperandsSource source);
  /// Whether anything that was asked for is still on its way.
  bool loading() const;
  /// How often a source was set: what was not to be had from one may be from the next.
  int sources() const { return sources_; }
  Datum<AttentionOperands> operands(const InspectCursor& at);
  struct ExactRow {
    std::vector<float> probability;   // (T) raster order
    std::vector<std::uint8_t> kept;   // (T) raster order
    double log_sum_exp = 0;
  };
  Datum<ExactRow> exact_row(const InspectCursor& at, std::int64_t query);
  /// A value made of q, k and v of a call, on the thread of slow loads. @param key  names it among the values of the call
  template <class T>
  Datum<T> fetch_exact(const InspectCursor& at, const std::string& key, std::function<T(const AttentionOperands&, CaptureReader&)> make,
                       std::int64_t bytes);

 private:
  struct Loader;
  using Load = std::function<std::shared_ptr<const void>(CaptureReader&)>;
  std::shared_ptr<const void> fetch_any(int run, const std::string& key, Load load, std::int64_t bytes, std::string* problem);
  std::string key_of(int run, const std::string& key) const;
  Load load_operands(const InspectCursor& at);
  using Make = std::function<std::shared_ptr<const void>(const AttentionOperands&, CaptureReader&)>;
  std::shared_ptr<const void> fetch_exact_any(const InspectCursor& at, const std::string& key, Make make, std::int64_t bytes, std::string* problem);
  static std::int64_t operand_bytes(const CaptureRun& record);
  void changed();
  std::shared_ptr<const void> noted(std::shared_ptr<const void> value, const std::string& problem);
  void reload(int capture);
  std::size_t steps_of(int capture) const;

  std::vector<InspectedRun> runs_;
  std::vector<std::filesystem::path> captures_;
  /// Of each capture: a reader of this thread, and what its data_version() was when runs_ were read. Opening checks the whole file,
  /// which following a live one does not do again and again.
  std::vector<std::unique_ptr<CaptureReader>> readers_;
  std::vector<std::int64_t> versions_;
  InspectCursor cursor_;
  std::vector<std::int64_t> locked_;
  InspectHover hover_;
  std::string last_problem_;
  int sources_ = 0;
  std::unique_ptr<Loader> loader_;
};

template <class T>
Datum<T> Inspection::fetch(int run, const std::string& key, std::function<T(CaptureReader&)> load, std::int64_t bytes) {
  Datum<T> datum;
  datum.value = std::static_pointer_cast<const T>(fetch_any(
      run, key,
      [load = std::move(load)](CaptureReader& reader) -> std::shared_ptr<const void> { return std::make_shared<const T>(load(reader)); },
      bytes, &datum.problem));
  return datum;
}

template <class T>
Datum<T> Inspection::fetch_exact(const InspectCursor& at, const std::string& key, std::function<T(const AttentionOperands&, CaptureReader&)> make,
                                 std::int64_t bytes) {
  Datum<T> datum;
  datum.value = std::static_pointer_cast<const T>(fetch_exact_any(
      at, key,
      [make = std::move(make)](const AttentionOperands& operands, CaptureReader& reader) -> std::shared_ptr<const void> {
        return std::make_shared<const T>(make(operands, reader));
      },
      bytes, &datum.problem));
  return datum;
}

}  // namespace ditscope::views
