#include "views/inspect/plot_bitmap.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <string_view>

namespace ditscope::views {
namespace {

constexpr std::size_t kMostBytes = 16 << 20, kMostBitmaps = 512;

std::size_t hash_of(const std::vector<std::uint8_t>& bytes) {
  return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

struct Kept {
  std::size_t hash;
  std::shared_ptr<const Bitmap> bitmap;
};

}  // namespace

std::shared_ptr<const Bitmap> kept_bitmap(int width, int height, std::vector<std::uint8_t> rgba) {
  static std::mutex mutex;
  static std::deque<Kept> last;  // newest first
  static std::size_t bytes = 0;
  const std::size_t hash = hash_of(rgba);
  const std::lock_guard lock(mutex);
  const auto known = std::find_if(last.begin(), last.end(), [&](const Kept& kept) {
    return kept.hash == hash && kept.bitmap->width == width && kept.bitmap->height == height && kept.bitmap->rgba == rgba;
  });
  if (known != last.end()) {
    std::rotate(last.begin(), known, known + 1);
    return last.front().bitmap;
  }
  last.push_front({hash, make_bitmap(width, height, std::move(rgba))});
  bytes += last.front().bitmap->rgba.size();
  while (last.size() > 1 && (bytes > kMostBytes || last.size() > kMostBitmaps)) {
    bytes -= last.back().bitmap->rgba.size();
    last.pop_back();
  }
  return last.front().bitmap;
}

}  // namespace ditscope::views
