#include "core/capture/fingerprint.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "core/capture/sha256.h"
#include "kernels/error.h"

namespace ditscope {

std::string model_fingerprint(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  constexpr std::uintmax_t kPieces = 64, kPiece_bytes = 4096, kWhole_bytes = std::uintmax_t{1} << 20;
  std::error_code failed;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed))
    if (it->is_regular_file(failed)) files.push_back(fs::relative(it->path(), folder));
  if (failed || files.empty())
    throw Error(ErrorKind::NotFound, "There is no model folder " + folder.string() + ". Point at a folder in diffusers format.");
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const fs::path& file : files) {
    const std::uintmax_t size = fs::file_size(folder / file, failed);
    hash.add(file.generic_string() + "\n" + std::to_string(size) + "\n");
    std::ifstream stream(folder / file, std::ios::binary);
    std::vector<char> piece(file.extension() == ".json" && size <= kWhole_bytes ? size : kPiece_bytes);
    const std::uintmax_t pieces = size <= piece.size() ? 1 : kPieces;
    for (std::uintmax_t i = 0; i < pieces; ++i) {
      stream.seekg(static_cast<std::streamoff>(pieces == 1 ? 0 : (size - piece.size()) / (pieces - 1) * i));
      stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      hash.add({reinterpret_cast<const std::uint8_t*>(piece.data()), static_cast<std::size_t>(stream.gcount())});
      stream.clear();
    }
  }
  return Sha256::hex(hash.finish());
}

}  // namespace ditscope
