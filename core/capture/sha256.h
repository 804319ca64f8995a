#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ditscope {

/// SHA-256. @see FIPS 180-4
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;
  using State = std::array<std::uint32_t, 8>;

  /// @param portable  without the processor's own instructions, where it has any
  explicit Sha256(bool portable = false);

  Sha256& add(std::span<const std::uint8_t> bytes);
  Sha256& add(const std::string& text);
  Digest finish();  ///< the object is used up

  static Digest of(std::span<const std::uint8_t> bytes) { return Sha256().add(bytes).finish(); }
  static std::string hex(const Digest& digest);

 private:
  void (*blocks_)(State& state, const std::uint8_t* bytes, std::size_t count);  ///< of 64 bytes
  State state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> rest_{};
  std::size_t rest_bytes_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace ditscope
