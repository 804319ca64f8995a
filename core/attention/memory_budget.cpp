#include "core/attention/memory_budget.h"

#include <algorithm>
#include <cstdio>

#include "core/attention/registry.h"
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

std::string lighter_residuals(const MethodChoice& choice, int steps, const MethodSizes& sizes, std::int64_t budget_bytes) {
  const auto& parameters = find_method(choice.key).parameters;
  const auto residual = std::find_if(parameters.begin(), parameters.end(), [](const Parameter& p) { return p.key == "residual"; });
  if (residual == parameters.end()) return "";
  const std::int64_t now = make_method(choice, steps)->estimate_bytes(sizes);
  std::string offers;
  for (const std::string& form : residual->choices) {
    MethodChoice lighter = choice;
    lighter.parameters["residual"] = form;
    const std::int64_t bytes = make_method(lighter, steps)->estimate_bytes(sizes);
    if (bytes < now && bytes <= budget_bytes) offers += (offers.empty() ? " With residual=" : ", with residual=") + form + " " + bytes_text(bytes);
  }
  return offers.empty() ? "" : offers + ".";
}

void require_memory_budget(const MethodChoice& choice, int steps, const MethodSizes& sizes, std::int64_t budget_bytes) {
  const std::int64_t bytes = make_method(choice, steps)->estimate_bytes(sizes);
  if (bytes <= budget_bytes) return;
  const std::string offers = lighter_residuals(choice, steps, sizes, budget_bytes);
  throw Error(ErrorKind::OutOfMemory, "Out of memory before the start: " + choice.key + " would hold " + bytes_text(bytes) +
                                          " between steps, its budget is " + bytes_text(budget_bytes) + "." +
                                          (offers.empty() ? " Choose a larger budget, a smaller size or another method." : offers));
}

}  // namespace ditscope
