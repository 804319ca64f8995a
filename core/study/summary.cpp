#include "core/study/summary.h"

#include <algorithm>
#include <cstdio>
#include <set>

namespace ditscope::study {
namespace {

using ByPrompt = std::map<int, double>;
using Values = std::map<std::string, std::map<std::string, ByPrompt>>;  // cell, name, prompt

std::vector<double> paired(const Values& values, const std::string& a, const std::string& b, const std::string& name) {
  std::vector<double> differences;
  const auto in_a = values.find(a), in_b = values.find(b);
  if (in_a == values.end() || in_b == values.end()) return {};
  const auto of_a = in_a->second.find(name), of_b = in_b->second.find(name);
  if (of_a == in_a->second.end() || of_b == in_b->second.end()) return {};
  for (const auto& [prompt, value] : of_a->second) {
    if (const auto other = of_b->second.find(prompt); other != of_b->second.end()) differences.push_back(value - other->second);
  }
  return differences;
}

std::string percent(double ratio) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", ratio * 100);
  return text;
}

/// Claims of the papers about whole methods, tested at every ratio, and about their parts, tested where they are ablated.
struct Claim {
  const char* text;
  const char *a, *variant_a;
  const char *b, *variant_b;
};
constexpr Claim kGridClaims[] = {
    {"Re-ttention is closer to full attention than DiTFastAttn's residual", "re-ttention", "", "ditfastattn", ""},
    {"Re-ttention is closer than its window alone", "re-ttention", "", "window", ""},
    {"AdaSpa's searched blocks are closer than a static window", "adaspa", "", "window", ""},
    {"Rectified SpaAttn is closer than AdaSpa", "rectified-spaattn", "", "adaspa", ""},
    {"Pooled rectification of AdaSpa's blocks pays", "adaspa+rectified", "", "adaspa", ""},
    {"Re-ttention over AdaSpa's blocks is closer than over the window", "adaspa+re-ttention", "", "re-ttention", ""},
};
constexpr Claim kPartClaims[] = {
    {"Re-ttention: the ramp lambda = 0.04 is closer than none", "re-ttention", "", "re-ttention", "lambda=0"},
    {"Re-ttention: the residual pays", "re-ttention", "", "re-ttention", "use_residual=off"},
    {"Re-ttention: rho pays", "re-ttention", "", "re-ttention", "use_rho=off"},
    {"AdaSpa: a second search (20 %, 60 %) pays", "adaspa", "search_steps=20%/60%", "adaspa", "search_steps=20%"},
    {"AdaSpa: a third search (20 %, 40 %, 60 %) adds to it", "adaspa", "search_steps=20%/40%/60%", "adaspa", "search_steps=20%/60%"},
    {"AdaSpa: levels by head pay", "adaspa", "", "adaspa", "head_adaptive=off"},
    {"Rectified SpaAttn: rectification of its own blocks pays", "rectified-spaattn", "", "rectified-spaattn", "+none"},
    {"Rectification: isolated pooling of text pays", "adaspa+rectified", "", "adaspa+rectified", "isolated_pooling=off"},
    {"Rectification: the gain gate pays (fold against none)", "adaspa+rectified", "", "adaspa+rectified", "gain=off"},
    {"Rectification: fold is closer than drop", "adaspa+rectified", "", "adaspa+rectified", "gain=drop"},
    {"ditscope-auto: following the change of means pays", "ditscope-auto", "", "ditscope-auto", "pooled_change=off"},
    {"ditscope-auto: measuring what kept pairs weigh pays", "ditscope-auto", "", "ditscope-auto", "measured_mass=off"},
    {"ditscope-auto: blocks shared among heads pay", "ditscope-auto", "", "ditscope-auto", "share_heads=off"},
    {"ditscope-auto: blocks shared among layers pay", "ditscope-auto", "", "ditscope-auto", "share_layers=off"},
    {"ditscope-auto: blocks by what means miss are closer than by attention alone", "ditscope-auto", "", "ditscope-auto", "blocks_by=mass"},
    {"ditscope-auto: groups of 16 are closer than of 64", "ditscope-auto", "", "ditscope-auto", "group_tokens=64"},
    {"ditscope-auto: its correction is closer than Re-ttention's on the same blocks", "ditscope-auto", "", "ditscope-auto", "+re-ttention"},
};

}  // namespace

Interval CellSummary::of(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? Interval{} : found->second;
}

std::string Verdict::verdict() const {
  if (difference.count < kLeastPrompts) return "too few prompts";
  return difference.low > 0 ? "holds" : difference.high < 0 ? "contradicted" : "open";
}

const CellSummary* Summary::find(const std::string& id) const {
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const CellSummary& c) { return c.cell->id == id; });
  return found == cells.end() ? nullptr : &*found;
}

Summary summarise(const Study& study) {
  Values values;
  Summary summary;
  for (const Record& record : study.records) {
    for (const auto& [name, value] : record.values) values[record.cell][name][record.prompt] = value;
    ++summary.runs;
  }
  summary.prompts = static_cast<int>(values["full"]["accuracy"].size());
  std::vector<double> ratios;
  for (const Cell& cell : study.cells) {
    const auto found = values.find(cell.id);
    if (found == values.end() || found->second.empty()) continue;
    CellSummary of{&cell, {}};
    for (const auto& [name, by_prompt] : found->second) {
      std::vector<double> list;
      for (const auto& [prompt, value] : by_prompt) list.push_back(value);
      of.values[name] = bootstrap_mean(list);
    }
    if (const auto loss = paired(values, "full", cell.id, "accuracy"); !loss.empty()) of.values["accuracy_loss"] = bootstrap_mean(loss);
    summary.cells.push_back(std::move(of));
    if (cell.ratio > 0 && std::find(ratios.begin(), ratios.end(), cell.ratio) == ratios.end()) ratios.push_back(cell.ratio);
  }
  std::sort(ratios.rbegin(), ratios.rend());

  const auto judge = [&](const std::string& text, const std::string& a, const std::string& b) {
    const auto differences = paired(values, a, b, "psnr_db");
    if (!differences.empty()) summary.verdicts.push_back({text, a, b, bootstrap_mean(differences)});
  };
  for (const Claim& claim : kGridClaims)
    for (const double ratio : ratios)
      judge(std::string(claim.text) + ", " + percent(ratio), cell_id(claim.a, ratio), cell_id(claim.b, ratio));
  for (const Claim& claim : kPartClaims)
    for (const double ratio : ratios) {
      const std::string a = cell_id(claim.a, ratio, claim.variant_a), b = cell_id(claim.b, ratio, claim.variant_b);
      judge(std::string(claim.text) + ", " + percent(ratio), a, b);
    }
  for (const double ratio : ratios) {  // our own method against the best of the others
    const CellSummary *own = summary.find(cell_id("ditscope-auto", ratio)), *best = nullptr;
    if (!own) continue;
    for (const CellSummary& of : summary.cells) {
      const Cell& cell = *of.cell;
      const bool rival = cell.ratio == ratio && cell.variant.empty() && cell.method != "ditscope-auto" && of.of("psnr_db").count > 1;
      if (rival && (!best || of.of("psnr_db").mean > best->of("psnr_db").mean)) best = &of;
    }
    if (best) judge("ditscope-auto is closer than the best other, " + best->cell->method + ", " + percent(ratio), own->cell->id, best->cell->id);
  }
  return summary;
}

}  // namespace ditscope::study
