#include "core/files/array_file.h"

#include <zlib.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/files/atomic_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

void expect_own_names(const std::vector<FileArray>& arrays) {
  std::set<std::string> names;
  for (const FileArray& array : arrays) {
    if (!names.insert(array.name).second) {
      throw Error(ErrorKind::InvalidArgument, "expected arrays of different names, got two called '" + array.name + "'");
    }
  }
}

/// NumPy's format 1.0: the header is padded so that the data begin at a multiple of 64 bytes.
std::string npy_header(const FileArray& array) {
  std::string shape;
  for (const std::int64_t size : array.shape) shape += std::to_string(size) + ",";
  std::string text = std::string("{'descr': '") + (array.doubles ? "<f8" : "<f4") + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  constexpr std::size_t kBefore = 10;
  text.append(63 - (kBefore + text.size()) % 64, ' ');
  text.push_back('\n');
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(text.size() & 0xFF) + static_cast<char>(text.size() >> 8) + text;
}

/// Fields of a ZIP archive.
class Fields {
 public:
  Fields& u16(std::uint32_t value) { return put(value, 2); }
  Fields& u32(std::uint32_t value) { return put(value, 4); }
  Fields& text(const std::string& value) {
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Fields& put(std::uint32_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
    return *this;
  }
  std::string bytes_;
};

}  // namespace

std::int64_t FileArray::count() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

void write_safetensors(const std::filesystem::path& path, const std::vector<FileArray>& arrays, const std::map<std::string, std::string>& about) {
  expect_own_names(arrays);
  Json header = Json::object();
  if (!about.empty()) header["__metadata__"] = about;
  std::int64_t at = 0;
  for (const FileArray& array : arrays) {
    header[array.name] = {{"dtype", array.doubles ? "F64" : "F32"}, {"shape", array.shape}, {"data_offsets", {at, at + array.bytes()}}};
    at += array.bytes();
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text);
  for (const FileArray& array : arrays) file.write(array.data, static_cast<std::size_t>(array.bytes()));
  file.commit();
}

void write_npy(const std::filesystem::path& path, const FileArray& array) {
  AtomicFile file(path);
  file.write(npy_header(array));
  file.write(array.data, static_cast<std::size_t>(array.bytes()));
  file.commit();
}

void write_npz(const std::filesystem::path& path, const std::vector<FileArray>& arrays) {
  expect_own_names(arrays);
  std::int64_t total = 0;
  for (const FileArray& array : arrays) total += array.bytes() + 512;
  if (total >= std::int64_t{0xFFFFFFFF}) {
    throw Error(ErrorKind::InvalidArgument, "an NPZ file holds less than 4 GiB; write a .safetensors file instead");
  }
  AtomicFile file(path);
  Fields directory;
  std::uint32_t at = 0;
  for (const FileArray& array : arrays) {
    const std::string header = npy_header(array), name = array.name + ".npy";
    const auto size = static_cast<std::uint32_t>(header.size() + static_cast<std::size_t>(array.bytes()));
    uLong sum = crc32(0, reinterpret_cast<const Bytef*>(header.data()), static_cast<uInt>(header.size()));
    sum = crc32_z(sum, static_cast<const Bytef*>(array.data), static_cast<std::size_t>(array.bytes()));
    // Version 2.0, stored, 1 January 1980.
    Fields common;
    common.u16(20).u16(0x800).u16(0).u16(0).u16(0x21).u32(static_cast<std::uint32_t>(sum)).u32(size).u32(size).u16(static_cast<std::uint32_t>(name.size())).u16(0);
    Fields local;
    local.u32(0x04034B50).text(common.bytes()).text(name);
    directory.u32(0x02014B50).u16(20).text(common.bytes()).u16(0).u16(0).u16(0).u32(0).u32(at).text(name);
    file.write(local.bytes());
    file.write(header);
    file.write(array.data, static_cast<std::size_t>(array.bytes()));
    at += static_cast<std::uint32_t>(local.bytes().size()) + size;
  }
  Fields end;
  end.u32(0x06054B50).u16(0).u16(0).u16(static_cast<std::uint32_t>(arrays.size())).u16(static_cast<std::uint32_t>(arrays.size()));
  end.u32(static_cast<std::uint32_t>(directory.bytes().size())).u32(at).u16(0);
  file.write(directory.bytes());
  file.write(end.bytes());
  file.commit();
}

}  // namespace ditscope
