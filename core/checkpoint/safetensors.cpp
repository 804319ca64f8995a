#include "core/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files/atomic_file.h"
#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using c10::ScalarType;
using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::size_t kMaxRank = 32;

struct DtypeName {
  const char* name;
  ScalarType dtype;
};
constexpr std::array<DtypeName, 16> kDtypes{{{"F64", ScalarType::Double},
                                             {"F32", ScalarType::Float},
                                             {"F16", ScalarType::Half},
                                             {"BF16", ScalarType::BFloat16},
                                             {"I64", ScalarType::Long},
                                             {"I32", ScalarType::Int},
                                             {"I16", ScalarType::Short},
                                             {"I8", ScalarType::Char},
                                             {"U64", ScalarType::UInt64},
                                             {"U32", ScalarType::UInt32},
                                             {"U16", ScalarType::UInt16},
                                             {"U8", ScalarType::Byte},
                                             {"BOOL", ScalarType::Bool},
                                             {"C64", ScalarType::ComplexFloat},
                                             {"F8_E4M3", ScalarType::Float8_e4m3fn},
                                             {"F8_E5M2", ScalarType::Float8_e5m2}}};

[[noreturn]] void corrupt(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::Corrupt, path.string() + ": " + what + "; the file is damaged or incomplete: fetch it again");
}

std::string quoted(const std::string& name) {
  return "\"" + (name.size() > 200 ? name.substr(0, 200) + "..." : name) + "\"";
}

std::uint64_t unsigned_number(const json& value, const std::filesystem::path& path, const std::string& what) {
  if (!value.is_number_unsigned())
    corrupt(path, "expected " + what + " to be a whole number >= 0, got " + value.dump().substr(0, 40));
  return value.get<std::uint64_t>();
}

ScalarType dtype_of(const json& value, const std::filesystem::path& path, const std::string& tensor) {
  if (!value.is_string()) corrupt(path, "expected tensor " + tensor + " to name its dtype, got " + value.dump().substr(0, 40));
  const auto& name = value.get_ref<const std::string&>();
  for (const auto& known : kDtypes) {
    if (name == known.name) return known.dtype;
  }
  throw Error(ErrorKind::Unsupported, path.string() + ": tensor " + tensor + " has dtype " + quoted(name) +
                                          ", which is not supported here; use a float32, float16 or bfloat16 checkpoint");
}

/// Bytes of a shape. @throws where the product does not fit 63 bits
std::uint64_t bytes_of(const std::vector<std::int64_t>& shape, ScalarType dtype, const std::filesystem::path& path,
                       const std::string& tensor) {
  // A zero dimension makes the tensor empty, but the others must still fit what torch multiplies for strides.
  std::uint64_t nonzero = c10::elementSize(dtype);
  bool empty = false;
  for (const auto size : shape) {
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(nonzero, static_cast<std::uint64_t>(size), &nonzero) || nonzero >> 62 != 0) {
      corrupt(path, "the shape of tensor " + tensor + " overflows 64 bits");
    }
  }
  return empty ? 0 : nonzero;
}

SafetensorsFile::Entry parse_entry(const json& value, const std::filesystem::path& path, const std::string& tensor,
                                   std::uint64_t data_start, std::uint64_t data_bytes) {
  if (!value.is_object()) corrupt(path, "expected an object for tensor " + tensor);
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) corrupt(path, "tensor " + tensor + " has no \"" + key + "\"");
  }
  SafetensorsFile::Entry entry;
  entry.dtype = dtype_of(value["dtype"], path, tensor);
  const auto& shape = value["shape"];
  if (!shape.is_array() || shape.size() > kMaxRank)
    corrupt(path, "expected a list of at most 32 sizes as shape of tensor " + tensor);
  for (const auto& size : shape) {
    const auto number = unsigned_number(size, path, "every size of tensor " + tensor);
    if (number >> 62 != 0) corrupt(path, "the shape of tensor " + tensor + " overflows 64 bits");
    entry.shape.push_back(static_cast<std::int64_t>(number));
  }
  const auto& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) corrupt(path, "expected [begin, end] as data_offsets of tensor " + tensor);
  const auto begin = unsigned_number(offsets[0], path, "the begin of tensor " + tensor);
  const auto end = unsigned_number(offsets[1], path, "the end of tensor " + tensor);
  if (begin > end || end > data_bytes) {
    corrupt(path, "expected tensor " + tensor + " within the " + std::to_string(data_bytes) + " data bytes of the file, got [" +
                      std::to_string(begin) + ", " + std::to_string(end) + ")");
  }
  entry.offset_bytes = data_start + begin;
  entry.size_bytes = end - begin;
  const auto expected = bytes_of(entry.shape, entry.dtype, path, tensor);
  if (expected != entry.size_bytes) {
    corrupt(path, "dtype and shape of tensor " + tensor + " need " + std::to_string(expected) + " bytes, but its offsets span " +
                      std::to_string(entry.size_bytes));
  }
  return entry;
}

/// Every byte of the data belongs to exactly one tensor.
void check_no_gap_or_overlap(const std::map<std::string, SafetensorsFile::Entry>& entries, const std::filesystem::path& path,
                             std::uint64_t data_start, std::uint64_t file_bytes) {
  std::vector<std::pair<const SafetensorsFile::Entry*, const std::string*>> order;
  for (const auto& [name, entry] : entries) order.emplace_back(&entry, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->offset_bytes, a.first->size_bytes) < std::pair(b.first->offset_bytes, b.first->size_bytes);
  });
  std::uint64_t at = data_start;
  for (const auto& [entry, name] : order) {
    if (entry->offset_bytes != at) {
      corrupt(path, "expected tensor " + quoted(*name) + " to begin at data byte " + std::to_string(at - data_start) + ", got " +
                        std::to_string(entry->offset_bytes - data_start) +
                        (entry->offset_bytes < at ? " (it overlaps another)" : " (a gap belongs to no tensor)"));
    }
    at += entry->size_bytes;
  }
  if (at != file_bytes) {
    corrupt(path, "expected " + std::to_string(at) + " bytes from its header, but the file has " + std::to_string(file_bytes));
  }
}

const char* name_of(ScalarType dtype) {
  for (const auto& known : kDtypes) {
    if (known.dtype == dtype) return known.name;
  }
  throw Error(ErrorKind::Unsupported, std::string("safetensors has no dtype for ") + c10::toString(dtype) + "; convert it first");
}

}  // namespace

/// The file's pages. Private and writable: a write copies the page and never reaches the file.
class SafetensorsFile::Mapping {
 public:
  explicit Mapping(const std::filesystem::path& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) {
      throw Error(ErrorKind::NotFound,
                  "cannot open " + path.string() + " (" + std::strerror(errno) + "); check the path and its permissions");
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      throw Error(ErrorKind::NotFound, "expected a safetensors file, but this is a folder or device: " + path.string());
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    if (size_ == 0) return;
    data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor_, 0);
    if (data_ == MAP_FAILED) {
      const int error_number = errno;
      ::close(descriptor_);
      throw Error(error_number == ENOMEM ? ErrorKind::OutOfMemory : ErrorKind::Device,
                  "cannot map " + path.string() + " (" + std::strerror(error_number) + ")");
    }
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(data_, size_);
    ::close(descriptor_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  std::uint64_t size() const { return size_; }
  /// Reading mapped pages beyond a shrunken file would kill the process, so each use asks first.
  void check_still_whole() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || static_cast<std::uint64_t>(status.st_size) < size_) {
      corrupt(path_, "expected " + std::to_string(size_) + " bytes as when it was opened, got " + std::to_string(status.st_size) +
                         " (something shortens it now)");
    }
  }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  void* data_ = nullptr;
};

SafetensorsFile::SafetensorsFile(std::filesystem::path path)
    : path_(std::move(path)), mapping_(std::make_shared<Mapping>(path_)) {
  parse_header();
}

void SafetensorsFile::parse_header() {
  const auto file_bytes = mapping_->size();
  if (file_bytes == 0) corrupt(path_, "expected a safetensors file, but it is empty");
  mapping_->check_still_whole();
  const std::string_view all(mapping_->data(), file_bytes);
  if (is_git_lfs_pointer(all)) {
    throw Error(ErrorKind::Corrupt,
                path_.string() + " is a git-lfs pointer, not the weights; run `git lfs pull` in the model's folder");
  }
  if (file_bytes < 8) corrupt(path_, "expected at least 8 bytes, got " + std::to_string(file_bytes));
  // Both beginnings can also be a header's length; then its JSON follows.
  if ((all.starts_with("PK") || all.starts_with("\x80")) && !all.substr(8).starts_with("{")) {
    throw Error(ErrorKind::Unsupported, path_.string() +
                                            " is a PyTorch pickle, not safetensors; convert it with diffusers "
                                            "(save_pretrained(..., safe_serialization=True))");
  }
  std::uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | static_cast<unsigned char>(all[i]);
  if (header_bytes > kMaxHeaderBytes) {
    corrupt(path_, "expected a header of at most 100 MB, got " + std::to_string(header_bytes) + " bytes");
  }
  if (header_bytes > file_bytes - 8) {
    corrupt(path_,
            "its header of " + std::to_string(header_bytes) + " bytes ends beyond the file of " + std::to_string(file_bytes));
  }
  JsonLimits limits;
  limits.max_bytes = kMaxHeaderBytes;
  limits.max_depth = 4;
  const auto header = parse_json(all.substr(8, header_bytes), path_.string() + " (header)", limits);
  if (!header.is_object()) corrupt(path_, "expected a JSON object as header");
  const auto data_start = 8 + header_bytes;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) corrupt(path_, "expected an object as __metadata__");
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string())
          corrupt(path_, "expected text for " + quoted(key) + " of __metadata__, got " + text.dump().substr(0, 40));
        metadata_[key] = text.get<std::string>();
      }
    } else {
      entries_.emplace(name, parse_entry(value, path_, quoted(name), data_start, file_bytes - data_start));
    }
  }
  check_no_gap_or_overlap(entries_, path_, data_start, file_bytes);
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw Error(ErrorKind::NotFound, path_.string() + ": holds no tensor " + quoted(name));
  const auto& entry = found->second;
  const bool is_bool = entry.dtype == ScalarType::Bool;
  if (entry.size_bytes == 0) return at::empty(entry.shape, at::TensorOptions(entry.dtype));
  mapping_->check_still_whole();
  char* data = mapping_->data() + entry.offset_bytes;
  if (is_bool) {  // any byte may come, but torch's bool is 0 or 1
    return at::from_blob(data, entry.shape, at::TensorOptions(ScalarType::Byte)).ne(0);
  }
  if (reinterpret_cast<std::uintptr_t>(data) % c10::elementSize(entry.dtype) == 0) {
    return at::from_blob(
        data, entry.shape, [keep = mapping_](void*) {}, at::TensorOptions(entry.dtype));
  }
  auto copy = at::empty(entry.shape, at::TensorOptions(entry.dtype));
  std::memcpy(copy.mutable_data_ptr(), data, entry.size_bytes);
  return copy;
}

TensorMap load_tensors(const std::filesystem::path& path, Metadata* metadata) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const auto& [name, entry] : file.entries()) tensors.emplace(name, file.tensor(name));
  if (metadata) *metadata = file.metadata();
  return tensors;
}

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  std::vector<const TensorMap::value_type*> order;
  for (const auto& item : tensors) {
    if (!item.second.defined())
      throw Error(ErrorKind::InvalidArgument, "cannot save tensor " + quoted(item.first) + ": it is undefined");
    if (item.first == "__metadata__") throw Error(ErrorKind::InvalidArgument, "a tensor cannot be named __metadata__");
    order.push_back(&item);
  }
  // Largest elements first keeps every tensor aligned; equal ones stay sorted by name.
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->second.element_size() > b->second.element_size(); });
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const auto* item : order) {
    const auto bytes = static_cast<std::uint64_t>(item->second.numel()) * item->second.element_size();
    header[item->first] = {{"dtype", name_of(item->second.scalar_type())},
                           {"shape", item->second.sizes().vec()},
                           {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    throw Error(ErrorKind::InvalidArgument, "cannot save " + path.string() + ": a tensor name or metadata text is not UTF-8");
  }
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  AtomicFile file(path);
  char length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(static_cast<std::uint64_t>(text.size()) >> (8 * i));
  file.write(length, sizeof length);
  file.write(text);
  for (const auto* item : order) {
    const auto stored = item->second.detach().to(at::kCPU).contiguous();
    file.write(stored.const_data_ptr(), static_cast<std::size_t>(stored.numel()) * stored.element_size());
  }
  file.commit();
}

}  // namespace ditscope
