#include "core/attention/memory_budget.h"

#include <algorithm>
#include <cstdio>

#include "core/attention/registry.h"
#include "core/attention/stored_residual.h"
#include "kernels/error.h"

namespace ditscope {

std::string bytes_text(std::int64_t bytes) {
  char text[32];
  const double value = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000)
    std::snprintf(text, sizeof text, "%.1f GB", value / 1e9);
  else if (bytes >= 1'000'000)
    std::snprintf(text, sizeof text, "%.1f MB", value / 1e6);
  else
    std::snprintf(text, sizeof text, "%.1f kB", value / 1e3);
  return text;
}

MethodMemory method_memory(const MethodChoice& choice, int steps, const MethodSizes& sizes) {
  const MethodChoice whole = resolve(choice, steps);
  const std::int64_t all = make_method(whole, steps)->estimate_bytes(sizes);
  const auto& set = whole.parameters;
  const auto unused = set.find("use_residual");
  if (set.count("residual") == 0 || all == 0 || (unused != set.end() && !std::get<bool>(unused->second))) return {all, 0};
  const std::int64_t host = ResidualStorage::of(set).estimate_host_bytes(sizes);
  return {all - host, host};
}

namespace {

bool fits(const MethodMemory& memory, const MemoryBudget& budget) {
  if (!budget.host_bytes) return memory.device_bytes + memory.host_bytes <= budget.device_bytes;
  return memory.device_bytes <= budget.device_bytes && memory.host_bytes <= *budget.host_bytes;
}

}  // namespace

std::string lighter_residuals(const MethodChoice& choice, int steps, const MethodSizes& sizes, const MemoryBudget& budget) {
  const auto& parameters = find_method(choice.key).parameters;
  const auto residual = std::find_if(parameters.begin(), parameters.end(), [](const Parameter& p) { return p.key == "residual"; });
  if (residual == parameters.end()) return "";
  const auto counted = [&](const MethodMemory& m) { return m.device_bytes + (budget.host_bytes ? 0 : m.host_bytes); };
  const std::int64_t now = counted(method_memory(choice, steps, sizes));
  std::string offers;
  for (const std::string& form : residual->choices) {
    MethodChoice lighter = choice;
    lighter.parameters["residual"] = form;
    const MethodMemory memory = method_memory(lighter, steps, sizes);
    if (counted(memory) >= now || !fits(memory, budget)) continue;
    offers += (offers.empty() ? " With residual=" : ", with residual=") + form + " " + bytes_text(counted(memory));
    if (memory.host_bytes > 0) offers += " and " + bytes_text(memory.host_bytes) + " of the host's memory";
  }
  return offers.empty() ? "" : offers + ".";
}

void require_memory_budget(const MethodChoice& choice, int steps, const MethodSizes& sizes, const MemoryBudget& budget) {
  const MethodMemory memory = method_memory(choice, steps, sizes);
  if (fits(memory, budget)) return;
  const bool device_short = !budget.host_bytes || memory.device_bytes > budget.device_bytes;
  const std::int64_t held = !budget.host_bytes ? memory.device_bytes + memory.host_bytes : device_short ? memory.device_bytes : memory.host_bytes;
  const std::string offers = lighter_residuals(choice, steps, sizes, budget);
  throw Error(ErrorKind::OutOfMemory, "Out of memory before the start: " + choice.key + " would hold " + bytes_text(held) +
                                          (device_short ? "" : " of the host's memory") + " between steps, its budget is " +
                                          bytes_text(device_short ? budget.device_bytes : *budget.host_bytes) + "." +
                                          (offers.empty() ? " Choose a larger budget, a smaller size or another method." : offers));
}

}  // namespace ditscope
