#include "core/study/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

namespace ditscope::study {
namespace {

constexpr std::array<std::string_view, 8> kLeading{"window", "ditfastattn", "re-ttention", "adaspa", "adaspa+re-ttention", "adaspa+rectified",
                                                   "rectified-spaattn", "ditscope-auto"};
constexpr int kFirstPrompts = 8;    ///< of the leading methods, before the others get theirs
constexpr double kSparse = 0.13;    ///< ratios up to here come first: that is where methods part

/// A change of a method: parameters that differ, or another correction.
struct Ablation {
  const char* method;
  double ratio;
  const char* variant;     ///< "key=value,..." or "+correction"
  bool own_schedule = false;
};

// Rectification is tested on AdaSpa's blocks: its own keep all neighbours, half of a small grid.
// AdaSpa's search steps are those of its paper, {10}, {10,30} and {10,20,30} of 50, as shares of the run.
constexpr Ablation kAblations[] = {
    {"re-ttention", 0.03125, "lambda=0"},
    {"re-ttention", 0.03125, "lambda=0.02"},
    {"re-ttention", 0.03125, "lambda=0.08"},
    {"re-ttention", 0.03125, "use_residual=off"},
    {"re-ttention", 0.03125, "use_rho=off"},
    {"re-ttention", 0.03125, "clamp=on"},
    {"adaspa", 0.125, "search_steps=20%", true},
    {"adaspa", 0.125, "search_steps=20%/60%", true},
    {"adaspa", 0.125, "search_steps=20%/40%/60%", true},
    {"adaspa", 0.125, "head_adaptive=off"},
    {"adaspa", 0.125, "selection=head"},
    {"rectified-spaattn", 0.5, "+none"},
    {"adaspa+rectified", 0.125, "gain=drop"},
    {"adaspa+rectified", 0.125, "gain=off"},
    {"adaspa+rectified", 0.125, "isolated_pooling=off"},
    {"ditscope-auto", 0.03125, "measured_mass=off"},
    {"ditscope-auto", 0.03125, "pooled_change=off"},
    {"ditscope-auto", 0.03125, "share_heads=off"},
    {"ditscope-auto", 0.03125, "share_layers=off"},
    {"ditscope-auto", 0.03125, "blocks_by=mass"},
    {"ditscope-auto", 0.03125, "group_tokens=64"},
    {"ditscope-auto", 0.03125, "+re-ttention"},
};

bool has_parameter(const MethodEntry& entry, std::string_view key) {
  return std::any_of(entry.parameters.begin(), entry.parameters.end(), [&](const Parameter& p) { return p.key == key; });
}

std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// The matched choice with the change of an ablation; nothing where this build has no such parameter.
std::optional<MethodChoice> changed(const MethodChoice& choice, const std::string& variant) {
  if (variant.front() == '+') {
    MethodChoice other{choice.key + variant, {}};
    const MethodEntry& entry = find_method(other.key);
    for (const auto& [key, value] : choice.parameters)
      if (has_parameter(entry, key)) other.parameters[key] = value;
    return other;
  }
  if (!has_parameter(find_method(choice.key), variant.substr(0, variant.find('=')))) return std::nullopt;
  MethodChoice other = choice;
  for (const auto& [key, value] : parse_method_choice(choice.key + ":" + variant).parameters) other.parameters[key] = value;
  return other;
}

}  // namespace

int common_warmup(int steps) {
  return static_cast<int>(std::lround(0.3 * steps));
}

MethodChoice common_schedule(const std::string& key, int steps) {
  const MethodEntry& entry = find_method(key);
  MethodChoice choice{entry.key, {}};
  const int warmup = common_warmup(steps);
  if (has_parameter(entry, "warmup_steps")) choice.parameters["warmup_steps"] = std::int64_t{warmup};
  if (has_parameter(entry, "block_tokens")) choice.parameters["block_tokens"] = std::string("64");
  if (has_parameter(entry, "search_steps")) {
    const int second = static_cast<int>(std::lround(0.6 * steps));
    choice.parameters["search_steps"] = std::to_string(warmup) + (second > warmup ? "/" + std::to_string(second) : "");
  }
  return choice;
}

bool leads(const std::string& key) {
  return std::find(kLeading.begin(), kLeading.end(), key) != kLeading.end();
}

std::vector<std::string> studied_methods() {
  std::vector<std::string> keys, others;
  for (const MethodEntry& entry : methods()) {
    if (entry.key != "full") (leads(entry.key) ? keys : others).push_back(entry.key);
  }
  keys.insert(keys.end(), {"adaspa+re-ttention", "adaspa+rectified"});
  keys.insert(keys.end(), others.begin(), others.end());
  return keys;
}

std::string cell_id(const std::string& method, double ratio, const std::string& variant) {
  return method + (ratio > 0 ? "@" + number(ratio) : "") + (variant.empty() ? "" : "/" + variant);
}

std::vector<Cell> cells_of(const Settings& settings, const std::vector<MethodMatches>& matches) {
  std::vector<Cell> cells;
  const auto add = [&](Cell cell) {
    cell.id = cell_id(cell.method, cell.ratio, cell.variant);
    cells.push_back(std::move(cell));
  };
  const int all = settings.prompts, few = std::min(all, settings.other_prompts);
  add({"", "full", "", 0, {"full", {}}, 1, false, all});
  add({"", "full", "another seed", 0, {"full", {}}, 1, true, all});
  add({"", "full", settings.dtype == "float32" ? "bfloat16" : "float32", 0, {"full", {}}, 1, true, std::min(all, kFirstPrompts)});
  for (const MethodMatches& of : matches) {
    const int prompts = leads(of.method) || !settings.methods.empty() ? all : few;
    if (of.matches.empty()) {
      add({"", of.method, "", 0, {of.method, {}}, 1, true, prompts});
      continue;
    }
    for (const Match& match : of.matches) {
      if (match.reached) add({"", of.method, "", match.target, match.choice, match.achieved, false, prompts});
    }
  }
  for (const Ablation& ablation : kAblations) {
    if (!settings.ablations) break;
    const std::string base = cell_id(ablation.method, ablation.ratio);
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& c) { return c.id == base; });
    if (found == cells.end()) continue;
    if (const auto choice = changed(found->choice, ablation.variant))
      add({"", ablation.method, ablation.variant, ablation.ratio, *choice, found->matched, ablation.own_schedule,
           std::min(all, settings.ablation_prompts)});
  }
  return cells;
}

std::vector<Task> order_of(const std::vector<Cell>& cells, const Settings& settings) {
  std::vector<Task> tasks;
  std::set<std::pair<int, const Cell*>> taken;
  const auto pass = [&](int from, int to, const auto& wanted) {
    for (int prompt = from; prompt < std::min(to, settings.prompts); ++prompt) {
      for (const Cell& cell : cells) {
        if (prompt < cell.prompts && wanted(cell) && taken.insert({prompt, &cell}).second) tasks.push_back({prompt, &cell});
      }
    }
  };
  const auto leading = [](const Cell& cell) { return leads(cell.method) || cell.method == "full"; };
  const auto sparse = [&](const Cell& cell) { return leading(cell) && cell.ratio <= kSparse; };
  pass(0, kFirstPrompts / 2, [&](const Cell& cell) { return sparse(cell) && (cell.variant.empty() || cell.method == "full"); });
  pass(0, kFirstPrompts / 2, sparse);
  pass(kFirstPrompts / 2, kFirstPrompts, sparse);
  pass(0, kFirstPrompts, leading);
  pass(0, settings.prompts, [&](const Cell& cell) { return !leading(cell); });
  pass(kFirstPrompts, settings.prompts, sparse);
  pass(kFirstPrompts, settings.prompts, [](const Cell&) { return true; });
  return tasks;
}

}  // namespace ditscope::study
