#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/study/folder.h"
#include "core/study/statistics.h"

namespace ditscope::study {

/// A cell over its prompts.
struct CellSummary {
  const Cell* cell = nullptr;
  std::map<std::string, Interval> values;  ///< of Record::values, and "accuracy_loss": full attention's less the cell's, by prompt
  Interval of(const std::string& name) const;
};

inline constexpr int kLeastPrompts = 6;

/// One comparison, by prompt, of two cells that a claim sets against each other.
struct Verdict {
  std::string claim;    ///< "Re-ttention holds where the residual alone does not (3.1 %)"
  std::string a, b;     ///< cells
  Interval difference;  ///< PSNR of a less PSNR of b, dB
  /// "holds" where the interval lies above 0, "contradicted" where below, else "open"; below kLeastPrompts "too few prompts": five
  /// that agree by chance are no rarity, and an interval of few values is too narrow.
  std::string verdict() const;
};

struct Summary {
  std::vector<CellSummary> cells;  ///< those with at least one run, in the order of the study
  std::vector<Verdict> verdicts;
  int prompts = 0;                 ///< that full attention was run for
  int runs = 0;
  const CellSummary* find(const std::string& id) const;
};

/// @param study  must outlive what is returned
Summary summarise(const Study& study);

}  // namespace ditscope::study
