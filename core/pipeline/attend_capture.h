#pragma once
#include <filesystem>
#include <memory>

#include "core/attention/session.h"
#include "core/capture/capture_writer.h"
#include "core/pipeline/attend.h"

namespace ditscope {

class RunRecorder;

/// Records the steps of attend_file() into a capture, for the inspector: q, k, v and exact maps of each, every row held against full
/// attention. There is no prompt, no picture and nothing to replay.
class AttendCapture {
 public:
  /// @param shape    (S,B,H,T,D) of q  @param session  whose choice is complete
  /// @throws Error{Device} where the file cannot be made
  AttendCapture(const AttendRequest& request, at::IntArrayRef shape, at::ScalarType type, const AttentionSession& session);
  ~AttendCapture();

  void on_call(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out);
  void end_step(const AttentionSession& session, int step);
  /// @param state  "complete" or "stopped: <why>"
  /// @throws Error{Device} where not all of it could be written
  void close(const AttentionSession& session, const std::string& state);

 private:
  CaptureWriter writer_;
  std::shared_ptr<RunRecorder> recorder_;
};

}  // namespace ditscope
