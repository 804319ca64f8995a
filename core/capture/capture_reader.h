#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/records.h"

namespace ditscope {

/// Which arrays: what is left open matches any.
struct CaptureQuery {
  std::string kind;
  std::optional<int> step, layer, branch;
};

/// An array of a capture as it lies there. `header` has no values and no bytes.
struct CaptureArrayInfo {
  CaptureTensor header;
  std::int64_t tensor_id = 0, data_id = 0, chunk_items = 0;
  int run_id = 0;
};

/// What a capture says of itself.
struct CaptureMeta {
  std::map<std::string, std::string> values;  ///< format writer created_utc budget_bytes state ...
  int version = 0;                            ///< 1000 * major + minor
  std::string state;                          ///< recording (a writer is at work), complete, stopped: <why>, interrupted: <how far>
  std::int64_t file_bytes = 0;
};

/// Reads a .ditcap file, also one that is being written: each call sees the steps complete by then and holds nobody up.
/// Files are not trusted: everything is checked and bounded; what does not hold together throws Error{Corrupt}.
/// Not thread-safe: one reader per thread.
class CaptureReader {
 public:
  /// @throws Error{NotFound} no such file; Error{Corrupt} no capture, or a damaged one; Error{Unsupported} written by a newer
  ///         version that says so (naming it); Error{Device}
  explicit CaptureReader(const std::filesystem::path& file);
  ~CaptureReader();
  CaptureReader(const CaptureReader&) = delete;
  CaptureReader& operator=(const CaptureReader&) = delete;

  const std::filesystem::path& file() const;
  CaptureMeta meta() const;
  /// Whether a run records into the file right now.
  bool live() const;
  /// Grows with every commit of a live capture: look again when it has changed.
  std::int64_t data_version() const;

  std::vector<CaptureRun> runs() const;
  /// @throws Error{NotFound} naming the runs that there are
  CaptureRun run(int run_id) const;
  /// Complete steps, ascending.
  std::vector<CaptureStep> steps(int run_id) const;
  /// Calls of one step (layer, then branch ascending), or of the whole run where `step` is -1.
  std::vector<CaptureCall> calls(int run_id, int step = -1, bool with_heads = true) const;
  std::optional<CaptureCall> call(int run_id, int step, int layer, int branch) const;
  /// One quantity of all heads over a run: for head grids, timelines and heat maps. @param column  a name of the table heads
  struct HeadValue {
    int step, layer, branch, head;
    double value;  ///< NaN: not measured
  };
  std::vector<HeadValue> head_values(int run_id, const std::string& column, std::optional<int> step = {}) const;
  static const std::vector<std::string>& head_columns();
  std::vector<CaptureGap> gaps() const;
  /// In the order in which they were set.
  std::vector<CaptureBookmark> bookmarks(int run_id) const;

  /// plan_id 0 is every pair. @throws Error{NotFound, Corrupt}
  std::shared_ptr<const CapturePlan> plan(std::int64_t plan_id, std::int64_t tokens) const;

  /// Arrays that match, by kind, step, layer, branch and cell size.
  std::vector<CaptureArrayInfo> arrays(int run_id, const CaptureQuery& query = {}) const;
  /// The first that matches, smallest cells first.
  std::optional<CaptureArrayInfo> find(int run_id, const CaptureQuery& query) const;
  /// The first that matches. @throws Error{NotFound} saying what is there instead
  CaptureArrayInfo get(int run_id, const CaptureQuery& query) const;
  /// Stored elements, little-endian, of the whole array or of `count` items along the first axis from `first` on.
  std::vector<std::uint8_t> bytes(const CaptureArrayInfo& array, std::int64_t first = 0, std::int64_t count = -1) const;
  /// The same as numbers.
  std::vector<float> values(const CaptureArrayInfo& array, std::int64_t first = 0, std::int64_t count = -1) const;
  /// Call token -> token of the raster order (text, then frame, row, column), as the run's `token_order` says.
  std::vector<std::int64_t> token_order(const CaptureRun& run) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Words and figures of a (f, y, x) grid for a token in raster order: {-1, text index, 0} for text.
struct TokenPlace {
  int frame = -1, row = 0, column = 0;
};
TokenPlace token_place(const CaptureRun& run, std::int64_t raster_token);

}  // namespace ditscope
