#include "app/gui/worker/probe.h"

namespace ditscope::gui {

Probe::Probe(EngineFactory make_engine) : make_engine_(std::move(make_engine)), thread_([this] { loop(); }) {}

Probe::~Probe() {
  {
    std::lock_guard lock(mutex_);
    quit_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Probe::ask(const std::string& tag, Question question) {
  {
    std::lock_guard lock(mutex_);
    waiting_[tag] = std::move(question);
  }
  wake_.notify_all();
}

void Probe::loop() {
  const std::unique_ptr<Engine> engine = make_engine_();
  for (;;) {
    Question question;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return quit_ || !waiting_.empty(); });
      if (quit_) return;
      question = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
    }
    question(*engine);
  }
}

}  // namespace ditscope::gui
