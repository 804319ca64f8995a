#pragma once
#include <string>
#include <vector>

#include "views/inspect/inspection.h"

namespace ditscope::views {

/// The finest map of a call, an exact one rather than a sampled one. @throws Error{NotFound} saying what is there instead
CaptureArrayInfo best_map(const CaptureReader& reader, int run_id, int step, int layer, int branch);

/// A map as it is drawn: the mean probability of a pair of each cell, so that cells of all sizes compare.
struct MapLevel {
  std::vector<std::int64_t> edges;  ///< first call token of each cell and, at the end, the number of tokens
  std::vector<float> density;       // (C,C)
  std::int64_t block_tokens = 64;
  std::string source;               ///< exact, shadow, sampled
  int maps = 1;                     ///< how many were pooled
  int cells() const { return static_cast<int>(edges.size()) - 1; }
  int cell_of(std::int64_t call_token) const;
};
/// From shares of the softmax per key cell. @param shares (C,C)
MapLevel map_level(std::vector<std::int64_t> edges, const std::vector<float>& shares, std::int64_t block_tokens, std::string source);
/// Each two cells become one, weighed by their tokens; text and video stay apart. NaN and infinity spread to what they are part of.
/// @param border  the place where text meets video
MapLevel coarser(const MapLevel& level, std::int64_t border);
/// Share of the softmax of the query tokens of text and of video that goes to text and to video; NaN where a group has no tokens.
struct QuadrantShares {
  double text_to_text = 0, text_to_video = 0, video_to_text = 0, video_to_video = 0;
};
/// @param text_begin, text_end  call tokens
QuadrantShares quadrant_shares(const MapLevel& level, std::int64_t text_begin, std::int64_t text_end);
/// b - a. @throws Error{InvalidArgument} where they have other cells
MapLevel difference(const MapLevel& a, const MapLevel& b);

/// How many maps become one.
struct MapPooling {
  enum class Over { None, Heads, Layers, Branches, Steps };
  enum class By { Mean, Max, Min };
  Over over = Over::None;
  By by = By::Mean;
  bool operator==(const MapPooling&) const = default;
};
/// The map of a call, or pooled over the heads, layers, branches or steps that have one with the same cells.
Datum<MapLevel> map_level(Inspection& inspection, const InspectCursor& at, const MapPooling& pooling);

/// Part of the exact map: means over `pool` x `pool` pairs of places, in the order of the calls or in raster order.
struct TileArea {
  std::int64_t query_begin = 0, query_end = 0, key_begin = 0, key_end = 0, pool = 1;
  bool raster = false;
  std::string key() const;
  int rows() const { return static_cast<int>((query_end - query_begin + pool - 1) / pool); }
  int columns() const { return static_cast<int>((key_end - key_begin + pool - 1) / pool); }
};
/// Computed from q and k, some rows at a time. @return (rows, columns) of the tile
std::vector<float> exact_tile(const AttentionOperands& operands, std::int64_t head, const TokenGeometry& geometry, const TileArea& area);
Datum<std::vector<float>> exact_tile(Inspection& inspection, const InspectCursor& at, const TileArea& area);

/// Tiles of kTile x kTile cells that cover a part of both axes. Tiles of text and of video are apart.
inline constexpr std::int64_t kTile = 256;
std::vector<TileArea> tiles_over(const TokenGeometry& geometry, bool raster, std::int64_t pool, std::int64_t query_begin, std::int64_t query_end,
                                 std::int64_t key_begin, std::int64_t key_end);
/// The pool with which a cell takes at least a device px; 0 where that is no finer than `block_tokens`, or a tile would take more
/// than about a second.
std::int64_t tile_pool(double token_px, std::int64_t block_tokens, std::int64_t tokens, std::int64_t head_width);

}  // namespace ditscope::views
