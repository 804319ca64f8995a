#pragma once
#include <cstdint>
#include <vector>

namespace ditscope::reference {

/// Numbers of the `count` largest of `scores`, equal ones by lower number, as a full sort gives them.
std::vector<int> largest(const std::vector<double>& scores, std::int64_t count);

/// How many leading scores of the sorted row have a running sum of at most mass_ratio of the total.
std::int64_t leading_within(const std::vector<double>& scores, double mass_ratio);

}  // namespace ditscope::reference
