#include "app/cli/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>

#include "app/cli/exit_codes.h"

namespace ditscope::cli {
namespace {

std::atomic<RunControl::Stop> stop_kind{RunControl::Stop::Keep};

void wait_for_signals(sigset_t signals) {
  for (bool first = true;; first = false) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) return;
    if (!first) _exit(kStopped);
    std::fputs("\nStopping; Ctrl-C again quits at once.\n", stderr);
    Interrupt::control().request_stop(stop_kind);
  }
}

}  // namespace

void Interrupt::install() {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe becomes an error of the write, with its own message
  control();                      // constructed before the thread that uses it
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  // Blocked here and, by inheritance, in every thread made later: only sigwait() sees them.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread(wait_for_signals, signals).detach();
}

RunControl& Interrupt::control() {
  // Never destroyed: the signal thread may use it until the very end of the process.
  static RunControl* const control = new RunControl;
  return *control;
}

void Interrupt::set_stop(RunControl::Stop how) {
  stop_kind = how;
}

}  // namespace ditscope::cli
