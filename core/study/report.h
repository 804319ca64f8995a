#pragma once
#include <filesystem>
#include <string>

#include "core/study/folder.h"

namespace ditscope::study {

/// Every cell with its means and intervals, every claim with its verdict.
std::string summary_json(const Study& study);
/// The same for a terminal: the verdicts, and one line a cell.
std::string summary_text(const Study& study);
/// One line a run, a header first.
std::string results_csv(const Study& study);
/// One page that needs no other file: plots as SVG, strips of frames as JPEG within. @param folder  where strips/ lies
std::string report_html(const Study& study, const std::filesystem::path& folder);

/// report.html, summary.json and results.csv, each whole or not at all. @throws Error{Device}
void write_report(const Study& study, const std::filesystem::path& folder, const std::filesystem::path& target);

}  // namespace ditscope::study
