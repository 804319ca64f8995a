#pragma once
#include <cstdint>
#include <string>

namespace ditscope::views {

// Numbers as the window writes them. Every one is ASCII apart from the multiplication sign, so both fonts have it.

std::string clock_text(double seconds);             ///< "0:15" "1:14" "1:02:05"
std::string seconds_text(double seconds);           ///< "41.8 s" "148 ms" "2:05 min"
std::string percent_text(double ratio);             ///< 0.031 -> "3.1 %"; 1 -> "100 %"
std::string factor_text(double factor);             ///< "1.29 ×"
std::string gigabytes_text(std::int64_t bytes);     ///< "1.9"
std::string size_text(std::int64_t bytes);          ///< "12 MB" "1.9 GB"
std::string decibel_text(double db);                ///< "28.4 dB"; 100 dB, the floor of the recipe: "identical"
std::string number_text(double value, int digits);  ///< fixed digits

/// "kept 3.1 %" and "skipped 96.9 %": always together, so that nobody guesses which reading is meant.
std::string kept_text(double kept_ratio);
std::string skipped_text(double kept_ratio);

}  // namespace ditscope::views
