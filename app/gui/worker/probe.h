#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "app/gui/worker/engine.h"

namespace ditscope::gui {

/// A second thread for small questions while the worker runs: what a model folder is, how many tokens a prompt has, what a
/// request needs. The newest question of a tag replaces one that is still waiting. It never loads a transformer.
class Probe {
 public:
  using Question =
      std::function<void(Engine&)>;  ///< answers by itself (posts to the GUI thread); what it throws is its own to catch
  explicit Probe(EngineFactory make_engine);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  void ask(const std::string& tag, Question question);

 private:
  void loop();
  EngineFactory make_engine_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Question> waiting_;
  bool quit_ = false;
  std::thread thread_;
};

}  // namespace ditscope::gui
