#pragma once
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "core/attention/layer_call.h"

namespace ditscope {

/// What a method remembers, one State per (layer, guidance branch, video of that branch): batched guidance and one call per
/// branch fill the same states.
template <typename State>
class BranchStates {
 public:
  /// One state per batch element of the call, made empty where there is none yet. Pointers stay valid.
  std::vector<State*> of(const LayerCall& call) {
    std::vector<State*> states;
    std::map<Branch, int> seen;
    for (std::int64_t b = 0; b < call.q.size(0); ++b) {
      const Branch branch = call.branches.empty() ? Branch::Conditional : call.branches[static_cast<std::size_t>(b)];
      states.push_back(&states_[{call.layer, branch, seen[branch]++}]);
    }
    return states;
  }
  /// Sum of `bytes(state)` over all states.
  template <typename Bytes>
  std::int64_t bytes(const Bytes& bytes_of) const {
    std::int64_t sum = 0;
    for (const auto& [key, state] : states_) sum += bytes_of(state);
    return sum;
  }

 private:
  std::map<std::tuple<int, Branch, int>, State> states_;
};

}  // namespace ditscope
