#pragma once
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/bitmap.h"
#include "views/inspect/colour_map.h"
#include "views/inspect/inspection.h"

namespace ditscope::views {

/// Where a token looks: its row of the softmax over all keys.
struct TokenLook {
  std::vector<float> weight;  // (T) raster order, sums to 1
  std::string source;         ///< "exact, head 3", "mean of 8 heads, exact", "pooled 64 x 64, head 3"
  double text_mass = 0;
  double most_visual = 0;     ///< largest weight of a visual token
};

/// The exact row of a token, or the mean over heads; where q and k are not to be had, the row of the block map, each cell's share
/// spread evenly over its tokens. `problem` where there is neither.
Datum<TokenLook> token_look(Inspection& inspection, const InspectCursor& at, std::int64_t token, bool all_heads);

/// Text mass and largest visual weight of a row. @param weight  (T) raster order
TokenLook look_of(std::vector<float> weight, const TokenGeometry& geometry, std::string source);
/// The row of a map that a token lies in, spread over tokens. @param geometry  of the run that the map is of
std::vector<float> spread_map_row(const Inspection::Map& map, const TokenGeometry& geometry, std::int64_t token);

/// One frame of the grid, a pixel a token: colour and opacity grow over three decades up to `most`.
std::shared_ptr<const Bitmap> look_bitmap(const TokenLook& look, const TokenGeometry& geometry, int grid_frame, const Theme& theme);

/// Weight of each word of the prompt: the sum over its tokens.
std::vector<double> word_weights(const TokenLook& look, const std::vector<TokenGeometry::Word>& words);

}  // namespace ditscope::views
