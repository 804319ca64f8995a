#include "app/gui/self_test.h"

#include <QDir>
#include <QElapsedTimer>
#include <QStorageInfo>
#include <QTemporaryDir>
#include <algorithm>
#include <cmath>
#include <random>

#include "app/gui/panels/memory_bar.h"
#include "app/gui/widgets/text_of.h"
#include "core/media/media_reader.h"
#include "core/media/video_writer.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/reference/attention.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

/// A banded problem with a tail block, on the instruction set that runs will use, against the float64 reference.
Check check_kernels() {
  constexpr int kHeads = 2, kTokens = 150, kWidth = 64, kBand = 20;
  const std::vector<std::string> sets = available_instruction_sets();
  const std::string set = sets.empty() ? "portable" : sets.front();
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const std::size_t count = static_cast<std::size_t>(kHeads) * kTokens * kWidth;
  std::vector<float> q(count), k(count), v(count), out(count);
  for (auto* values : {&q, &k, &v}) std::generate(values->begin(), values->end(), [&] { return normal(random); });
  MaskDescription description;
  description.queries = description.keys = kTokens;
  description.spans_per_row = 1;
  for (int i = 0; i < kTokens; ++i) description.spans.push_back({std::max(0, i - kBand), std::min(kTokens, i + kBand + 1)});
  const BlockMask mask(description);
  const std::array<std::int64_t, 3> shape{kHeads, kTokens, kWidth}, stride{kTokens * kWidth, kWidth, 1};
  AttentionArguments<float> arguments;
  arguments.q = {q.data(), shape, stride};
  arguments.k = {k.data(), shape, stride};
  arguments.v = {v.data(), shape, stride};
  arguments.out = {out.data(), shape, stride};
  arguments.scale = 1.0f / std::sqrt(static_cast<float>(kWidth));
  arguments.mask = &mask;
  block_sparse_attention(arguments);
  const auto wide = [](const std::vector<float>& values) { return std::vector<double>(values.begin(), values.end()); };
  const auto expected = reference::attention(wide(q), wide(k), wide(v), kHeads, kTokens, kTokens, kWidth, arguments.scale,
                                             [](int, int i, int j) { return std::abs(i - j) <= kBand; });
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) worst = std::max(worst, std::fabs(out[i] - expected.out[i]));
  const bool good = worst < 1e-4;
  return {good ? Check::State::Good : Check::State::Failed, "CPU kernels",
          text_of(set) + (good ? ", match reference" : QString(", off by %1").arg(worst, 0, 'g', 2))};
}

/// Writes a short clip and reads it back.
Check check_video(const QString& folder) {
  QTemporaryDir scratch(folder + "/selftest-XXXXXX");
  Frames frames;
  frames.count = 3;
  frames.width = frames.height = 64;
  frames.rgb.resize(frames.frame_size() * 3);
  for (std::size_t i = 0; i < frames.rgb.size(); ++i) frames.rgb[i] = static_cast<float>(i % 192) / 191.0f;
  const std::filesystem::path file = (scratch.path() + "/clip.mp4").toStdString();
  write_video(frames, file, {});
  const Media back = read_media(file);
  const bool good = back.frames.count == 3 && back.frames.width == 64;
  return {good ? Check::State::Good : Check::State::Failed, "Video",
          good ? "H.264 by libx264" : "a written clip does not read back"};
}

Check guarded(const QString& name, const std::function<Check()>& check) {
  try {
    return check();
  } catch (const std::exception& problem) {
    return {Check::State::Failed, name, QString::fromUtf8(problem.what())};
  }
}

}  // namespace

std::vector<Check> run_self_test(const QString& scratch_folder) {
  std::vector<Check> checks;
  checks.push_back(guarded("CPU kernels", check_kernels));
  const bool device = QFile::exists("/dev/nvidiactl");
  checks.push_back(
      {device ? Check::State::Good : Check::State::Absent, "GPU", device ? "NVIDIA driver found" : "none; runs on the CPU"});
  const MemoryState memory = read_memory();
  const bool enough = memory.available_bytes > 3'000'000'000;
  checks.push_back({enough ? Check::State::Good : Check::State::Warning, "Memory",
                    text_of(views::gigabytes_text(memory.total_bytes)) + " GB, " +
                        text_of(views::gigabytes_text(memory.available_bytes)) + " GB free"});
  QDir().mkpath(scratch_folder);
  checks.push_back(guarded("Video", [&] { return check_video(scratch_folder); }));
  const QStorageInfo disk(scratch_folder);
  const bool room = disk.bytesAvailable() > 1'000'000'000;
  checks.push_back({room ? Check::State::Good : Check::State::Warning, "Disk",
                    text_of(views::size_text(disk.bytesAvailable())) + " free for results"});
  return checks;
}

QString report_of(const std::vector<Check>& checks, double seconds) {
  static const char* kStates[] = {"ok", "warning", "FAILED", "absent"};
  QString report = QString("DiTScope self-test, %1 s\n").arg(seconds, 0, 'f', 1);
  for (const Check& check : checks) {
    report += QString("%1  %2: %3\n").arg(kStates[static_cast<int>(check.state)], -8).arg(check.name, check.finding);
  }
  return report;
}

}  // namespace ditscope::gui
