#pragma once
#include <memory>
#include <vector>

#include "core/catalog/catalog.h"

namespace ditscope {

class LoadedModel;
struct PartialRun;
struct Watch;

/// Queries, keys and values of every layer at some steps of a run. Opaque; frees itself.
struct SampledCalls;

/// Goes on from where a stopped run stands, in full attention, and keeps the calls of `steps` (ascending).
std::shared_ptr<const SampledCalls> sample_attention(LoadedModel& model, const PartialRun& from, const std::vector<int>& steps,
                                                     Watch& watch);

/// Share of all pairs of tokens, text included, that sparse steps of the method compute of these calls, means that a correction
/// multiplies counted too: the mean over those that it plans sparsely, each met by a method that has seen none before the first of them; 1 where there is none.
/// @throws Error{NotFound, InvalidArgument} of the choice
double kept_ratio(const SampledCalls& calls, const MethodChoice& method);

}  // namespace ditscope
