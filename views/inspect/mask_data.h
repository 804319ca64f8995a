#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/map_data.h"

namespace ditscope::views {

inline constexpr int kReasons = 8;
/// "top-k", "text" ...; None: "reason not recorded".
const char* reason_name(KeepReason reason);
/// Token of the theme for a reason; the run's colour goes where it is not recorded.
const char* reason_token(KeepReason reason);

/// Slot of a token, first of several; -1: none.
std::int64_t slot_of(const std::vector<std::uint32_t>& order, std::int64_t call_token);

/// Whether a pair is kept, and why. Raster tokens.
struct PairState {
  bool kept = true;
  KeepReason reason = KeepReason::None;  ///< None: not recorded
};
PairState pair_state(const CapturePlan& plan, const TokenGeometry& geometry, std::int64_t query, std::int64_t key);

/// A mask by cells: which share of each is kept, and for what reason most of it.
struct MaskCells {
  std::vector<std::int64_t> edges;     ///< of call tokens, or of slots in kernel order
  std::vector<float> kept;             // (C,C) share of pairs
  std::vector<std::uint8_t> reasons;   // (C,C) KeepReason
  int cells() const { return static_cast<int>(edges.size()) - 1; }
};
/// In the order of the calls, by the cells of a map. Pairs with text are kept for being text where reasons are recorded.
MaskCells mask_cells(const CapturePlan& plan, const TokenGeometry& geometry, std::vector<std::int64_t> edges);
/// As the kernel walks it: one cell a 64 x 64 block of slots.
MaskCells kernel_cells(const CapturePlan& plan);

/// Share of all pairs that is kept for each reason; [0]: not recorded.
std::array<double, kReasons> reason_shares(const MaskCells& cells);

/// What a mask costs: cells that hold much of the softmax and are skipped, cells that hold nearly nothing and are kept.
struct Damage {
  std::vector<std::uint8_t> state;  // (C,C) 0 nothing, 1 skipped but heavy, 2 kept but empty
  std::int64_t heavy = 0, empty = 0;
  double heavy_mass = 0;            ///< mean share of a row that the skipped heavy cells hold
};
/// @param map  with the cells of the mask; shares count per 64 keys, so that cells of all sizes compare
/// @param heavy, empty  times uniform attention: density x number of tokens
Damage damage_of(const MaskCells& mask, const MapLevel& map, double heavy, double empty);

}  // namespace ditscope::views
