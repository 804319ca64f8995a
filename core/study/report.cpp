#include "core/study/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files/atomic_file.h"
#include "core/study/svg.h"
#include "core/study/summary.h"

namespace ditscope::study {
namespace {

using Json = nlohmann::json;

Json json_of(const Interval& i) {
  return {{"mean", i.mean}, {"low", i.low}, {"high", i.high}, {"count", i.count}};
}

/// RFC 4180: quoted where it must be.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

std::string summary_json(const Study& study) {
  const Summary summary = summarise(study);
  const Settings& s = study.settings;
  Json cells = Json::array(), verdicts = Json::array(), unreached = Json::array();
  for (const CellSummary& of : summary.cells) {
    Json values = Json::object();
    for (const auto& [name, interval] : of.values) values[name] = json_of(interval);
    cells.push_back({{"id", of.cell->id}, {"method", of.cell->method}, {"variant", of.cell->variant}, {"ratio", of.cell->ratio},
                     {"choice", to_string(of.cell->choice)}, {"values", values}});
  }
  for (const Verdict& v : summary.verdicts)
    verdicts.push_back({{"claim", v.claim}, {"a", v.a}, {"b", v.b}, {"psnr_db_difference", json_of(v.difference)}, {"verdict", v.verdict()}});
  for (const MethodMatches& of : study.matches)
    for (const Match& m : of.matches)
      if (!m.reached) unreached.push_back({{"method", of.method}, {"ratio", m.target}, {"nearest", m.achieved}});
  return Json{{"settings",
               {{"prompts", s.prompts}, {"steps", s.steps}, {"frames", s.frames}, {"height", s.height}, {"width", s.width},
                {"caption_seed", s.caption_seed}, {"seed", s.seed}, {"dtype", s.dtype}, {"warmup_steps", common_warmup(s.steps)},
                {"model_fingerprint", study.model_fingerprint}}},
              {"prompts", summary.prompts},
              {"runs", summary.runs},
              {"captions", study.captions},
              {"cells", cells},
              {"claims", verdicts},
              {"out_of_reach", unreached}}
      .dump(1);
}

std::string summary_text(const Study& study) {
  const Summary summary = summarise(study);
  std::string text;
  char line[320];
  std::snprintf(line, sizeof line, "%-46s %7s %17s %6s %8s %7s %6s %3s\n", "cell", "PSNR", "95 %", "SSIM", "accuracy", "kept", "run", "n");
  text += line;
  for (const CellSummary& of : summary.cells) {
    const Interval psnr = of.of("psnr_db");
    std::snprintf(line, sizeof line, "%-46s %7.2f [%7.2f,%7.2f] %6.3f %6.1f %% %5.1f %% %4.0f %% %3d\n", of.cell->id.c_str(), psnr.mean, psnr.low,
                  psnr.high, of.of("ssim").mean, of.of("accuracy").mean * 100, of.of("kept_sparse").mean * 100, of.of("kept_run").mean * 100,
                  of.of("accuracy").count);
    text += line;
  }
  text += "\n";
  for (const Verdict& v : summary.verdicts) {
    std::snprintf(line, sizeof line, "%-15s %+6.2f dB [%+.2f, %+.2f] n=%d  ", v.verdict().c_str(), v.difference.mean, v.difference.low, v.difference.high,
                  v.difference.count);
    text += line + v.claim + "\n";
  }
  return text;
}

std::string results_csv(const Study& study) {
  std::set<std::string> names;
  for (const Record& record : study.records)
    for (const auto& [name, value] : record.values) names.insert(name);
  std::string csv = "cell,method,variant,ratio,choice,prompt,caption";
  for (const std::string& name : names) csv += "," + name;
  csv += "\n";
  for (const Record& record : study.records) {
    const auto cell = std::find_if(study.cells.begin(), study.cells.end(), [&](const Cell& c) { return c.id == record.cell; });
    const bool known = cell != study.cells.end(), captioned = record.prompt >= 0 && record.prompt < static_cast<int>(study.captions.size());
    csv += csv_field(record.cell) + "," + (known ? csv_field(cell->method) : "") + "," + (known ? csv_field(cell->variant) : "") + "," +
           (known ? number_text(cell->ratio, 6) : "") + "," + (known ? csv_field(to_string(cell->choice)) : "") + "," +
           std::to_string(record.prompt) + "," + (captioned ? csv_field(study.captions[static_cast<std::size_t>(record.prompt)]) : "");
    for (const std::string& name : names) {
      const auto value = record.values.find(name);
      csv += "," + (value == record.values.end() ? "" : number_text(value->second, 6));
    }
    csv += "\n";
  }
  return csv;
}

void write_report(const Study& study, const std::filesystem::path& folder, const std::filesystem::path& target) {
  std::filesystem::create_directories(target);
  write_file(target / "report.html", report_html(study, folder));
  write_file(target / "summary.json", summary_json(study) + "\n");
  write_file(target / "results.csv", results_csv(study));
}

}  // namespace ditscope::study
