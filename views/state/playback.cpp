#include "views/state/playback.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {
namespace {

constexpr double kSpeeds[] = {0.25, 0.5, 1, 2, 4};

double wrapped(double value, double length) {
  const double rest = std::fmod(value, length);
  return rest < 0 ? rest + length : rest;
}

}  // namespace

int Playback::frame() const {
  return frames <= 0 ? 0 : std::clamp(static_cast<int>(std::floor(position)), 0, frames - 1);
}

Playback advance(Playback state, double seconds) {
  if (!state.playing || state.frames <= 1 || seconds <= 0) return state;
  const double moved = seconds * state.fps * state.speed;
  const double length = state.frames;
  if (state.loop == Playback::Loop::Repeat) {
    state.position = wrapped(state.position + moved, length);
    return state;
  }
  if (state.loop == Playback::Loop::Once) {
    state.position += moved;
    if (state.position >= length - 1) {
      state.position = length - 1;
      state.playing = false;
    }
    return state;
  }
  // There and back is one period of 2 (F-1) frames; the turning frames are shown once.
  const double top = length - 1, period = 2 * top;
  const double phase = wrapped((state.direction > 0 ? state.position : period - state.position) + moved, period);
  state.direction = phase <= top ? 1 : -1;
  state.position = phase <= top ? phase : period - phase;
  return state;
}

Playback step_frames(Playback state, int by) {
  state.playing = false;
  if (state.frames <= 0) return state;
  const int target = state.frame() + by;
  state.position = state.loop == Playback::Loop::Once ? std::clamp(target, 0, state.frames - 1)
                                                      : ((target % state.frames) + state.frames) % state.frames;
  return state;
}

Playback seek(Playback state, int frame) {
  state.position = state.frames <= 0 ? 0 : std::clamp(frame, 0, state.frames - 1);
  return state;
}

Playback toggle(Playback state) {
  state.playing = !state.playing && state.frames > 1;
  if (state.playing && state.loop == Playback::Loop::Once && state.frame() == state.frames - 1) state.position = 0;
  return state;
}

Playback next_speed(Playback state) {
  for (const double speed : kSpeeds) {
    if (speed > state.speed) {
      state.speed = speed;
      return state;
    }
  }
  state.speed = kSpeeds[0];
  return state;
}

int shifted_frame(int frame, int shift, int frames) {
  return frames <= 0 ? 0 : std::clamp(frame + shift, 0, frames - 1);
}

}  // namespace ditscope::views
