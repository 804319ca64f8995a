// The report as one page.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "core/study/report.h"
#include "core/study/summary.h"
#include "core/study/svg.h"

namespace ditscope::study {
namespace {

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2rem auto;padding:0 1rem;color:#1e293b}"
    "h1{font-size:1.6rem}h2{margin-top:2.2rem;font-size:1.2rem}figure{margin:1.2rem 0}figcaption{font-weight:600}"
    "svg{width:100%;max-width:820px}svg text{font-size:11px;fill:#334155}.grid{stroke:#e2e8f0}.level{stroke:#0f172a;stroke-dasharray:2 3}"
    "table{border-collapse:collapse;font-size:13px;margin:.6rem 0}td,th{padding:.15rem .55rem;border-bottom:1px solid #e2e8f0;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.holds{color:#047857;font-weight:600}.contradicted{color:#b91c1c;font-weight:600}"
    ".open{color:#64748b}.strip{display:flex;align-items:center;gap:.8rem;margin:.2rem 0}.strip span{width:15rem;font-size:13px}"
    "img{image-rendering:auto;border-radius:3px}code{font-size:12px}";

std::string base64(const std::vector<unsigned char>& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const unsigned bits = static_cast<unsigned>(bytes[i]) << 16 | (left > 1 ? static_cast<unsigned>(bytes[i + 1]) << 8 : 0u) |
                          (left > 2 ? static_cast<unsigned>(bytes[i + 2]) : 0u);
    out += kDigits[bits >> 18];
    out += kDigits[bits >> 12 & 63];
    out += left > 1 ? kDigits[bits >> 6 & 63] : '=';
    out += left > 2 ? kDigits[bits & 63] : '=';
  }
  return out;
}

std::string percent(double ratio, int digits = 1) {
  return number_text(ratio * 100, digits) + " %";
}

std::string with_interval(const Interval& i, int digits, double unit = 1) {
  if (i.count == 0) return "–";
  return number_text(i.mean * unit, digits) + " <small>[" + number_text(i.low * unit, digits) + ", " + number_text(i.high * unit, digits) +
         "]</small>";
}

std::string label_of(const Cell& cell) {
  return cell.method + (cell.variant.empty() ? "" : ", " + cell.variant);
}

std::string row(const CellSummary& of, bool with_ratio) {
  const Cell& c = *of.cell;
  std::string out = "<tr><td title=\"" + escaped(to_string(c.choice)) + "\">" + escaped(label_of(c)) + "</td>";
  if (with_ratio) out += "<td>" + (c.ratio > 0 ? percent(c.ratio, 2) : std::string("–")) + "</td>";
  const bool sparse = c.method != "full";
  return out + "<td>" + (sparse ? percent(of.of("kept_sparse").mean, 2) : "–") + "</td><td>" + percent(of.of("kept_run").mean, 0) + "</td><td>" +
         with_interval(of.of("psnr_db"), 2) + "</td><td>" + with_interval(of.of("ssim"), 3) + "</td><td>" +
         with_interval(of.of("accuracy"), 1, 100) + "</td><td>" + with_interval(of.of("flicker"), 2) + "</td><td>" +
         number_text(of.of("attention_seconds").mean, 2) + "</td><td>" + number_text(of.of("seconds").mean, 2) + "</td><td>" +
         number_text(of.of("cpu_seconds").mean, 2) + "</td><td>" + std::to_string(of.of("accuracy").count) + "</td></tr>\n";
}

std::string table_head(bool with_ratio) {
  return std::string("<table><tr><th>method</th>") + (with_ratio ? "<th>asked</th>" : "") +
         "<th>kept, sparse steps</th><th>pairs, whole run</th><th>PSNR, dB</th><th>SSIM</th><th>prompt accuracy, %</th><th>flicker</th>"
         "<th>attention, s</th><th>end to end, s</th><th>processor, s</th><th>prompts</th></tr>\n";
}

/// One line a method: a figure against what it kept.
Plot plot_of(const Summary& summary, const char* title, const char* value, const char* label, bool whole_run) {
  Plot plot{title, whole_run ? "pairs computed over the whole run" : "pairs kept on sparse steps", label, !whole_run, {}, {}};
  for (const CellSummary& of : summary.cells) {
    const Cell& cell = *of.cell;
    const Interval y = of.of(value);
    if (cell.method == "full" || !cell.variant.empty() || y.count == 0) continue;
    auto line = std::find_if(plot.lines.begin(), plot.lines.end(), [&](const PlotLine& l) { return l.name == cell.method; });
    if (line == plot.lines.end()) line = plot.lines.insert(plot.lines.end(), PlotLine{cell.method, {}, true});
    line->points.push_back({of.of(whole_run ? "kept_run" : "kept_sparse").mean, y});
  }
  for (PlotLine& line : plot.lines) std::sort(line.points.begin(), line.points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  return plot;
}

std::string settings_section(const Study& study, const Summary& summary) {
  const Settings& s = study.settings;
  return "<h2>What was run</h2>\n<p>The bundled model (fingerprint <code>" + escaped(study.model_fingerprint.substr(0, 16)) + "</code>), " +
         std::to_string(s.frames) + " frames of " + std::to_string(s.width) + " x " + std::to_string(s.height) + " px, " + std::to_string(s.steps) +
         " steps, " + escaped(s.dtype) + ". " + std::to_string(summary.prompts) + " of " + std::to_string(s.prompts) +
         " held-out captions (seed " + std::to_string(s.caption_seed) + "), noise seeds from " + std::to_string(s.seed) + "; " +
         std::to_string(summary.runs) +
         " runs. The column <i>prompts</i> says how many each figure rests on; brackets are 95 % bootstrap intervals over prompts.</p>\n<p>Every "
         "method attends in full for the first " +
         std::to_string(common_warmup(s.steps)) +
         " steps, computed once a prompt. What sets its kept ratio was searched so that sparse steps keep the same share of all pairs, counted by "
         "area, text included; where blocks or text make a ratio impossible to come within 15 % of, the method is left out there. Methods that "
         "refresh or search also take full steps later: <i>pairs, whole run</i> counts those. PSNR and SSIM are against full attention of the same "
         "seed, prompt accuracy is what <code>ditscope-cli evaluate</code> reads from the pixels, flicker is the mean second difference in time in "
         "levels of 255. Seconds are as measured on a machine that did other work too; processor seconds are the process's own. There is no "
         "learned perceptual distance (LPIPS): its weights are not part of this program.</p>\n";
}

std::string strips_section(const Study& study, const Summary& summary, const std::filesystem::path& folder) {
  std::string out;
  std::vector<double> ratios;
  for (const CellSummary& of : summary.cells)
    if (of.cell->ratio > 0 && std::find(ratios.begin(), ratios.end(), of.cell->ratio) == ratios.end()) ratios.push_back(of.cell->ratio);
  std::sort(ratios.begin(), ratios.end());
  const auto strip = [&](const CellSummary& of, int prompt) {
    std::ifstream stream(Folder::strip(folder, of.cell->id, prompt), std::ios::binary);
    if (!stream) return std::string();
    const std::vector<unsigned char> bytes{std::istreambuf_iterator<char>(stream), {}};
    return "<div class=\"strip\"><span>" + escaped(label_of(*of.cell)) + "</span><img alt=\"" + escaped(of.cell->id) +
           "\" src=\"data:image/jpeg;base64," + base64(bytes) + "\"></div>\n";
  };
  for (const int prompt : {0, 1}) {
    if (prompt >= static_cast<int>(study.captions.size())) break;
    std::string of_prompt;
    if (const CellSummary* full = summary.find("full")) of_prompt += strip(*full, prompt);
    for (std::size_t r = 0; r < std::min<std::size_t>(ratios.size(), prompt == 0 ? 3 : 1); ++r) {
      of_prompt += "<h4>" + percent(ratios[r], 2) + " kept</h4>\n";
      for (const CellSummary& of : summary.cells)
        if (of.cell->ratio == ratios[r] && of.cell->variant.empty()) of_prompt += strip(of, prompt);
    }
    if (!of_prompt.empty()) out += "<h3>" + escaped(study.captions[static_cast<std::size_t>(prompt)]) + "</h3>\n" + of_prompt;
  }
  return out.empty() ? out : "<h2>Strips of frames</h2>\n" + out;
}

}  // namespace

std::string report_html(const Study& study, const std::filesystem::path& folder) {
  const Summary summary = summarise(study);
  std::string page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sparse attention: the claims in miniature</title>\n<style>" +
                     std::string(kStyle) + "</style></head><body>\n<h1>Sparse attention: the papers' claims in miniature</h1>\n" +
                     settings_section(study, summary);

  page += "<h2>Claims</h2>\n<table><tr><th>claim</th><th>PSNR difference, dB</th><th>prompts</th><th>verdict</th></tr>\n";
  for (const Verdict& v : summary.verdicts)
    page += "<tr><td>" + escaped(v.claim) + "</td><td>" + with_interval(v.difference, 2) + "</td><td>" + std::to_string(v.difference.count) +
            "</td><td class=\"" + (v.difference.count < kLeastPrompts ? "open" : v.verdict()) + "\">" + v.verdict() + "</td></tr>\n";
  page += std::string("</table>\n<p>By prompt: the first method's PSNR less the second's. <i>holds</i>: the interval lies above 0, <i>contradicted</i>: "
                      "below it, ") +
          "<i>open</i>: it holds 0; below " + std::to_string(kLeastPrompts) + " prompts nothing is said.</p>\n";

  page += "<h2>Quality against what is kept</h2>\n";
  Plot psnr = plot_of(summary, "PSNR against full attention", "psnr_db", "dB", false);
  if (const CellSummary* seed = summary.find("full/another seed")) psnr.levels.push_back({"full attention, another seed", seed->of("psnr_db").mean});
  page += svg(psnr) + svg(plot_of(summary, "SSIM against full attention", "ssim", "SSIM", false));
  Plot accuracy = plot_of(summary, "Prompt accuracy", "accuracy", "share right", false);
  if (const CellSummary* full = summary.find("full")) accuracy.levels.push_back({"full attention", full->of("accuracy").mean});
  Plot flicker = plot_of(summary, "Temporal flicker", "flicker", "levels of 255", false);
  if (const CellSummary* full = summary.find("full")) flicker.levels.push_back({"full attention", full->of("flicker").mean});
  page += svg(accuracy) + svg(flicker) + svg(plot_of(summary, "PSNR against all that was computed", "psnr_db", "dB", true));

  page += "<h2>Noise floor</h2>\n" + table_head(false);
  for (const CellSummary& of : summary.cells)
    if (of.cell->method == "full") page += row(of, false);
  page += "</table>\n<p>Full attention against full attention: what another seed, and another floating-point type, change by themselves.</p>\n";

  page += "<h2>All methods at matched ratios</h2>\n" + table_head(true);
  for (const CellSummary& of : summary.cells)
    if (of.cell->method != "full" && of.cell->variant.empty()) page += row(of, true);
  page += "</table>\n";
  std::string unreached;
  for (const MethodMatches& of : study.matches)
    for (const Match& m : of.matches)
      if (!m.reached) unreached += "<tr><td>" + escaped(of.method) + "</td><td>" + percent(m.target, 2) + "</td><td>" + percent(m.achieved, 2) + "</td></tr>\n";
  if (!unreached.empty())
    page += "<h3>Out of reach</h3>\n<table><tr><th>method</th><th>asked</th><th>nearest</th></tr>\n" + unreached + "</table>\n";

  page += "<h2>Ablations</h2>\n" + table_head(true);
  std::vector<std::string> shown;
  for (const CellSummary& of : summary.cells) {
    if (of.cell->variant.empty() || of.cell->method == "full") continue;
    const std::string base = cell_id(of.cell->method, of.cell->ratio);
    if (const CellSummary* whole = summary.find(base); whole && std::find(shown.begin(), shown.end(), base) == shown.end()) {
      page += row(*whole, true);
      shown.push_back(base);
    }
    page += row(of, true);
  }
  page += "</table>\n" + strips_section(study, summary, folder);
  return page + "</body></html>\n";
}

}  // namespace ditscope::study
