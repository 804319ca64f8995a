#pragma once

namespace ditscope::views {

/// Which frame of a clip is shown, and how it goes on. Plain values: time comes in, a frame comes out.
struct Playback {
  enum class Loop { Once, Repeat, PingPong };
  int frames = 0;  ///< of the clip
  double fps = 8;
  double speed = 1;  ///< 0.25 .. 4
  Loop loop = Loop::Repeat;
  bool playing = false;
  double position = 0;  ///< in frames; frame() is its floor
  int direction = 1;    ///< -1 on the way back of a ping-pong

  int frame() const;
  double seconds() const { return fps > 0 ? frame() / fps : 0; }
};

/// The state after `seconds` of wall time. A clip played once stops on its last frame.
Playback advance(Playback state, double seconds);
/// Stops, and moves by whole frames; wraps around unless the clip is played once.
Playback step_frames(Playback state, int by);
/// Shows a frame, clamped to the clip.
Playback seek(Playback state, int frame);
/// Plays or pauses; a clip played once that stands at its end starts again.
Playback toggle(Playback state);
/// The next of 0.25 0.5 1 2 4.
Playback next_speed(Playback state);

/// Frame of run B that is shown beside frame `frame` of A, `shift` frames later, clamped to its clip.
int shifted_frame(int frame, int shift, int frames);

}  // namespace ditscope::views
