#include "core/study/folder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files/atomic_file.h"
#include "kernels/error.h"

namespace ditscope::study {
namespace {

using Json = nlohmann::json;

Json json_of(const Settings& s) {
  return {{"model", s.model.string()}, {"prompts", s.prompts}, {"steps", s.steps}, {"frames", s.frames}, {"height", s.height},
          {"width", s.width}, {"caption_seed", s.caption_seed}, {"seed", s.seed}, {"dtype", s.dtype}, {"threads", s.threads},
          {"methods", s.methods}, {"ratios", s.ratios}, {"ablations", s.ablations}, {"ablation_prompts", s.ablation_prompts},
          {"other_prompts", s.other_prompts}};
}

Settings settings_from(const Json& j) {
  Settings s;
  s.model = j.at("model").get<std::string>();
  s.prompts = j.at("prompts"), s.steps = j.at("steps"), s.frames = j.at("frames"), s.height = j.at("height"), s.width = j.at("width");
  s.caption_seed = j.at("caption_seed"), s.seed = j.at("seed"), s.dtype = j.at("dtype"), s.threads = j.at("threads");
  s.methods = j.at("methods").get<std::vector<std::string>>(), s.ratios = j.at("ratios").get<std::vector<double>>();
  s.ablations = j.at("ablations"), s.ablation_prompts = j.at("ablation_prompts"), s.other_prompts = j.at("other_prompts");
  return s;
}

Json json_of(const std::vector<MethodMatches>& all) {
  Json list = Json::array();
  for (const MethodMatches& of : all) {
    Json matches = Json::array();
    for (const Match& m : of.matches)
      matches.push_back({{"target", m.target}, {"achieved", m.achieved}, {"reached", m.reached}, {"choice", to_string(m.choice)}});
    list.push_back({{"method", of.method}, {"matches", matches}});
  }
  return list;
}

std::vector<MethodMatches> matches_from(const Json& list) {
  std::vector<MethodMatches> all;
  for (const Json& of : list) {
    MethodMatches matches{of.at("method"), {}};
    for (const Json& m : of.at("matches"))
      matches.matches.push_back({m.at("target"), m.at("achieved"), m.at("reached"), parse_method_choice(m.at("choice").get<std::string>())});
    all.push_back(std::move(matches));
  }
  return all;
}

Json json_of(const std::vector<Cell>& cells) {
  Json list = Json::array();
  for (const Cell& c : cells)
    list.push_back({{"id", c.id}, {"method", c.method}, {"variant", c.variant}, {"ratio", c.ratio}, {"choice", to_string(c.choice)},
                    {"matched", c.matched}, {"whole", c.whole}, {"prompts", c.prompts}});
  return list;
}

std::vector<Cell> cells_from(const Json& list) {
  std::vector<Cell> cells;
  for (const Json& c : list)
    cells.push_back({c.at("id"), c.at("method"), c.at("variant"), c.at("ratio"), parse_method_choice(c.at("choice").get<std::string>()),
                     c.at("matched"), c.at("whole"), c.at("prompts")});
  return cells;
}

/// Whole lines of results.jsonl; what a killed process left behind the last line end is no run.
std::vector<Record> records_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  std::vector<Record> records;
  const std::string all = text.str();
  for (std::size_t begin = 0, end = all.find('\n'); end != std::string::npos; begin = end + 1, end = all.find('\n', begin))
    if (end > begin) records.push_back(record_from(all.substr(begin, end - begin)));
  return records;
}

/// What differs between two studies that cannot share a folder; empty: nothing.
std::string difference(const Settings& a, const Settings& b) {
  std::string text;
  const Json before = json_of(a), now = json_of(b);
  for (const char* key : {"steps", "frames", "height", "width", "caption_seed", "seed", "dtype"})
    if (before[key] != now[key]) text += std::string(text.empty() ? "" : ", ") + key + " " + before[key].dump();
  return text;
}

}  // namespace

std::string to_line(const Record& record) {
  Json values = Json::object();
  for (const auto& [name, value] : record.values)
    if (std::isfinite(value)) values[name] = value;
  return Json{{"cell", record.cell}, {"prompt", record.prompt}, {"values", values}}.dump();
}

Record record_from(const std::string& line) {
  try {
    const Json j = Json::parse(line);
    return {j.at("cell"), j.at("prompt"), j.at("values").get<std::map<std::string, double>>()};
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::Corrupt, "expected one run of a study a line, got \"" + line.substr(0, 80) + "\" (" + error.what() +
                                        "); remove the line");
  }
}

Study Folder::read(const std::filesystem::path& path) {
  std::ifstream stream(path / "study.json");
  if (!stream) throw Error(ErrorKind::NotFound, "expected a study in " + path.string() + ", found no study.json; run it first");
  try {
    const Json j = Json::parse(stream);
    Study study{settings_from(j.at("settings")), j.at("model_fingerprint"), j.at("captions").get<std::vector<std::string>>(),
                matches_from(j.at("matches")), cells_from(j.at("cells")), {}};
    study.records = records_of(path / "results.jsonl");
    return study;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::Corrupt, (path / "study.json").string() + " is no study (" + error.what() + "); choose another folder");
  }
}

Folder::Folder(const std::filesystem::path& path, const Settings& settings, const std::string& fingerprint) : path_(path) {
  std::filesystem::create_directories(path / "strips");
  const std::filesystem::path results = path / "results.jsonl";
  if (std::filesystem::exists(path / "study.json")) {
    study_ = read(path);
    std::string other = difference(study_.settings, settings);
    if (study_.model_fingerprint != fingerprint) other += std::string(other.empty() ? "" : ", ") + "another model";
    if (!other.empty())
      throw Error(ErrorKind::InvalidArgument, path.string() + " holds a study with other settings (" + other +
                                                  "); ask for the same or choose another folder");
    for (const Record& record : study_.records) done_.insert({record.prompt, record.cell});
  }
  study_.settings = settings;
  study_.model_fingerprint = fingerprint;
  // A half line at the end would run into the next one.
  if (std::ifstream stream(results, std::ios::binary | std::ios::ate); stream && stream.tellg() > 0) {
    std::string text(static_cast<std::size_t>(stream.tellg()), ' ');
    stream.seekg(0);
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    const std::size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    stream.close();
    if (whole < text.size()) std::filesystem::resize_file(results, whole);
  }
  lines_.open(results, std::ios::binary | std::ios::app);
  save();
}

const MethodMatches* Folder::matches_of(const std::string& method) const {
  const auto found = std::find_if(study_.matches.begin(), study_.matches.end(), [&](const auto& m) { return m.method == method; });
  return found == study_.matches.end() ? nullptr : &*found;
}

void Folder::set_captions(const std::vector<std::string>& captions) {
  study_.captions = captions;
  save();
}

void Folder::add_matches(const MethodMatches& matches) {
  if (matches_of(matches.method)) {
    for (MethodMatches& of : study_.matches)
      if (of.method == matches.method) of = matches;
  } else {
    study_.matches.push_back(matches);
  }
  save();
}

void Folder::set_cells(const std::vector<Cell>& cells) {
  for (const Cell& cell : cells) {
    const auto found = std::find_if(study_.cells.begin(), study_.cells.end(), [&](const Cell& c) { return c.id == cell.id; });
    if (found == study_.cells.end())
      study_.cells.push_back(cell);
    else
      *found = cell;
  }
  save();
}

void Folder::add(const Record& record) {
  lines_ << to_line(record) << '\n' << std::flush;
  if (!lines_) throw_disk_error(path_ / "results.jsonl", errno);
  study_.records.push_back(record);
  done_.insert({record.prompt, record.cell});
}

std::filesystem::path Folder::strip(const std::filesystem::path& folder, const std::string& cell, int prompt) {
  std::string name = cell + "-" + std::to_string(prompt);
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.'; }, '_');
  return folder / "strips" / (name + ".jpg");
}

void Folder::save() const {
  const Json j = {{"settings", json_of(study_.settings)}, {"model_fingerprint", study_.model_fingerprint},
                  {"captions", study_.captions}, {"matches", json_of(study_.matches)}, {"cells", json_of(study_.cells)}};
  write_file(path_ / "study.json", j.dump(1) + "\n");
}

}  // namespace ditscope::study
