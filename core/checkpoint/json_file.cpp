#include "core/checkpoint/json_file.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/error.h"

namespace ditscope {
namespace {

using nlohmann::json;

std::string line_and_column(std::string_view text, std::size_t position) {
  position = std::min(position, text.size());
  const auto before = text.substr(0, position);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto newline = before.rfind('\n');
  const auto column = newline == std::string_view::npos ? position + 1 : position - newline;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// Builds the document while it watches what nlohmann::json::parse lets pass: depth and keys that come twice.
class CheckedBuilder : public nlohmann::json_sax<json> {
 public:
  CheckedBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return put(json(nullptr)); }
  bool boolean(bool value) override { return put(json(value)); }
  bool number_integer(number_integer_t value) override { return put(json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return put(json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return put(json(value)); }
  bool string(string_t& value) override { return put(json(std::move(value))); }
  bool binary(binary_t&) override { return fail("binary value"); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name)) return fail("the key \"" + name.substr(0, 200) + "\" comes twice in one object");
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string& token, const json::exception&) override {
    position_ = position == 0 ? 0 : position - 1;
    return fail(token.empty() ? "it ends too early" : "unexpected \"" + printable(token) + "\"");
  }

  json root;
  const std::string& reason() const { return reason_; }
  std::size_t position() const { return position_; }

 private:
  static std::string printable(const std::string& token) {
    std::string out;
    for (const char c : token.substr(token.size() > 40 ? token.size() - 40 : 0)) {
      out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?' : c;
    }
    return out;
  }
  json* place(json&& value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& child = parent[key_];
    child = std::move(value);
    return &child;
  }
  bool put(json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(json&& value) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return fail("objects and arrays are nested deeper than " + std::to_string(limits_.max_depth));
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  bool fail(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }

  JsonLimits limits_;
  std::vector<json*> open_;
  std::string key_;
  std::string reason_;
  std::size_t position_ = std::string::npos;
};

}  // namespace

std::string read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) {
    throw Error(ErrorKind::NotFound, "no such file: " + path.string() + "; check the folder or fetch the model again");
  }
  if (!std::filesystem::is_regular_file(path, code)) {
    throw Error(ErrorKind::NotFound, "expected a file, but this is a folder or device: " + path.string());
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(ErrorKind::NotFound, "cannot read " + path.string() + "; check its permissions");
  std::string bytes;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    bytes.append(buffer, static_cast<std::size_t>(in.gcount()));
    if (bytes.size() > max_bytes) {
      throw Error(ErrorKind::Corrupt, path.string() + ": expected at most " + std::to_string(max_bytes) +
                                          " bytes, but the file is larger; it is not what its name says: fetch it again");
    }
  }
  if (in.bad()) throw Error(ErrorKind::Device, "reading " + path.string() + " failed half-way; check the disk");
  return bytes;
}

nlohmann::json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw Error(ErrorKind::Corrupt, name + ": expected at most " + std::to_string(limits.max_bytes) + " bytes of JSON, got " +
                                        std::to_string(text.size()) + "; fetch the file again");
  }
  CheckedBuilder builder(limits);
  if (json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.root);
  std::string where;
  if (text.empty()) {
    where = " (the file is empty)";
  } else if (builder.position() != std::string::npos) {
    where = " at " + line_and_column(text, builder.position());
  }
  throw Error(ErrorKind::Corrupt,
              name + ": expected UTF-8 JSON, but " + builder.reason() + where + "; fetch or write the file again");
}

nlohmann::json load_json(const std::filesystem::path& path, const JsonLimits& limits) {
  const auto text = read_file(path, limits.max_bytes);
  if (is_git_lfs_pointer(text)) {
    throw Error(ErrorKind::Corrupt,
                path.string() + " is a git-lfs pointer, not the file itself; run `git lfs pull` in the model's folder");
  }
  return parse_json(text, path.string(), limits);
}

bool is_git_lfs_pointer(std::string_view first_bytes) {
  return first_bytes.substr(0, 40).find("version https://git-lfs.github.com/spec") == 0;
}

bool is_valid_utf8(std::string_view text, std::size_t* position) {
  std::size_t i = 0;
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  while (i < text.size()) {
    const unsigned lead = byte(i);
    const int length = lead < 0x80 ? 1 : (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
    bool good = length > 0 && i + length <= text.size();
    std::uint32_t value = length == 1 ? lead : lead & (0x7fu >> length);
    for (int k = 1; good && k < length; ++k) {
      good = (byte(i + k) >> 6) == 2;
      value = (value << 6) | (byte(i + k) & 0x3fu);
    }
    static constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    good = good && value >= kSmallest[length] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    if (!good) {
      if (position) *position = i;
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace ditscope
