// What there is to choose from: methods, corrections and schedulers as plain descriptions. A new method adds its entry to
// entries_static.cpp or entries_dynamic.cpp.
#include "core/catalog/parameters.h"

namespace ditscope {

const std::vector<MethodEntry>& methods() {
  static const std::vector<MethodEntry> all = [] {
    std::vector<MethodEntry> list{
        MethodEntry{"full", "Full attention", "Every token attends to every token: the reference.", "", {}}};
    for (auto& part : {entries::static_methods(), entries::dynamic_methods()}) list.insert(list.end(), part.begin(), part.end());
    return list;
  }();
  return all;
}

const std::vector<CorrectionEntry>& corrections() {
  return entries::all_corrections();
}

const std::vector<SchedulerEntry>& schedulers() {
  static const std::vector<SchedulerEntry> entries{
      {"CogVideoXDDIMScheduler", "CogVideoX DDIM", false, "Deterministic: the noise of the seed decides everything."},
      {"CogVideoXDPMScheduler", "CogVideoX DPM", true, "Second order; draws fresh noise at every step after the first."}};
  return entries;
}

}  // namespace ditscope
