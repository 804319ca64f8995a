#pragma once
#include <string>
#include <vector>

namespace ditscope::gui {

/// Values with undo. Edits of the same gesture replace each other: a slider dragged from end to end is one undo.
template <typename Value>
class UndoHistory {
 public:
  explicit UndoHistory(Value first) : now_(std::move(first)) {}
  const Value& now() const { return now_; }

  /// @param gesture  edits in a row with the same name are one undo until end_gesture()
  void change(Value value, const std::string& gesture) {
    if (gesture.empty() || gesture != open_) {
      past_.push_back(std::move(now_));
      if (past_.size() > kMost) past_.erase(past_.begin());
    }
    now_ = std::move(value);
    future_.clear();
    open_ = gesture;
  }
  void end_gesture() { open_.clear(); }
  /// Without an undo: what the program fills in by itself.
  void replace(Value value) { now_ = std::move(value); }

  bool can_undo() const { return !past_.empty(); }
  bool can_redo() const { return !future_.empty(); }
  void undo() { step(past_, future_); }
  void redo() { step(future_, past_); }

 private:
  static constexpr std::size_t kMost = 200;
  void step(std::vector<Value>& from, std::vector<Value>& to) {
    if (from.empty()) return;
    to.push_back(std::move(now_));
    now_ = std::move(from.back());
    from.pop_back();
    open_.clear();
  }
  Value now_;
  std::vector<Value> past_, future_;
  std::string open_;
};

}  // namespace ditscope::gui
