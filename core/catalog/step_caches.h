#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"

namespace ditscope {

/// What reuses the work of earlier steps: whole transformer calls or some of their blocks. Any method takes one, as the last part of
/// its name: "re-ttention+teacache", "full+fbcache". The code that runs it is found in core/step_cache/registry.h.
struct StepCacheEntry {
  std::string key;      ///< "teacache"
  std::string name;     ///< "TeaCache"
  std::string summary;  ///< one sentence
  std::string paper;
  std::vector<Parameter> parameters;  ///< their keys all begin with "cache_"
};

const std::vector<StepCacheEntry>& step_caches();
/// @throws Error{NotFound} with the nearest name
const StepCacheEntry& find_step_cache(std::string_view key);
/// Null where there is none of that name.
const StepCacheEntry* step_cache_named(std::string_view key);

/// What a cache may look at to tell how far a step has moved from the one before.
enum class StepSignal { Time, Projected, Modulated };

/// How much a model's output changes with a signal, as its authors, or those who use TeaCache, fitted it; chosen by the shape of a
/// model or by name. Of several for one shape the first is the one that a shape finds.
struct TeaCachePolynomial {
  std::string key;  ///< "cogvideox-5b"
  std::string family;
  int layers = 0, heads = 0, frame_patch = 1;
  StepSignal signal = StepSignal::Time;
  std::vector<double> coefficients;  ///< highest power first
  std::string source;
};
const std::vector<TeaCachePolynomial>& teacache_polynomials();
/// Of a model of this shape; null where none is known.
const TeaCachePolynomial* teacache_polynomial(const std::string& family, int layers, int heads, int frame_patch);
/// @throws Error{NotFound}
const TeaCachePolynomial& teacache_polynomial(std::string_view key);

/// One step of AdaCache's codebook: up to this distance, the next so many steps follow the last computed one.
struct CodebookRow {
  double distance = 0;
  int interval_steps = 1;
};
/// The codebook of that name. "scaled": the one made for 100 steps, its intervals scaled to `steps`.
/// @throws Error{NotFound}
std::vector<CodebookRow> adacache_codebook(std::string_view key, int steps);

/// A method with a step cache as typed: "teacache:threshold=0.1"; the prefix cache_ of its keys may be left out.
/// @throws Error{NotFound, InvalidArgument} also where the method has one already
MethodChoice with_step_cache(const MethodChoice& choice, std::string_view text);

}  // namespace ditscope
