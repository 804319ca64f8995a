#pragma once
#include <QWidget>
#include <cstdint>
#include <map>
#include <string>

class QLabel;

namespace ditscope::gui {

/// Whether a request fits: its parts as a bar against what the machine has.
class MemoryBar : public QWidget {
  Q_OBJECT
 public:
  explicit MemoryBar(QWidget* parent = nullptr);
  void show_bytes(const std::map<std::string, std::int64_t>& bytes);

 private:
  QLabel *title_, *figure_, *legend_;
  class MemoryStrip* strip_;
};

struct MemoryState {
  std::int64_t total_bytes = 0, available_bytes = 0, process_bytes = 0;
};
/// From /proc; zeros where it does not say.
MemoryState read_memory();

}  // namespace ditscope::gui
