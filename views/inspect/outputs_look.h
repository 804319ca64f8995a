#pragma once
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/bitmap.h"
#include "views/inspect/colour_map.h"
#include "views/inspect/inspection.h"

namespace ditscope::views {

/// What is asked: where tokens look (their rows of the softmax), or who looks at them (their columns).
struct LookWish {
  std::vector<std::int64_t> tokens;  ///< raster order; several are pooled
  bool to = false;                   ///< who looks at them
  bool all_heads = false;            ///< mean over the heads
  std::string key() const;
};

/// A weight for each token. Rows: the mean of p(token -> key) over the tokens, sums to 1. Columns: p(query -> tokens), the share of each
/// query's softmax that the tokens get together.
struct TokenLook {
  enum class Heat { Attention, Rho, Drift };
  Heat heat = Heat::Attention;
  std::vector<float> weight;  // (T) raster order; of rho and drift NaN where a row was not measured
  std::string source;         ///< "exact, head 3", "exact, mean of 8 heads", "pooled 64 x 64, head 3"
  double text_mass = 0;       ///< sum over text
  double sum = 0;             ///< of all weights; of columns per token: how many times what uniform attention gives it
  double most_visual = 0;     ///< largest weight of a visual token
  bool settled = true;        ///< nothing better is on its way
};

/// From q and k; where they are not to be had, or the work would take many seconds, from the block map, each cell's share spread evenly
/// over its tokens. `problem` where there is neither.
Datum<TokenLook> token_look(Inspection& inspection, const InspectCursor& at, const LookWish& wish);

/// rho true of every token's row, or rho used over true, where they were captured: the denominators over the frames.
/// @param heat  Rho or Drift   @see Re-ttention, arXiv:2505.22918, Eq. 8
Datum<TokenLook> row_heat(Inspection& inspection, const InspectCursor& at, TokenLook::Heat heat);

/// p(query -> tokens) of every query of a head, in the order of the calls. Without `log_sum_exp` of every row these are computed, too.
std::vector<float> attention_columns(const AttentionOperands& operands, std::int64_t head, const std::vector<std::int64_t>& keys,
                                     const std::vector<float>& log_sum_exp);  // (T)

/// Text mass and largest visual weight of a row. @param weight  (T) raster order
TokenLook look_of(std::vector<float> weight, const TokenGeometry& geometry, std::string source);
/// The rows of a map that tokens lie in (their mean), or the columns (their sum), spread over tokens. @param geometry  of the run that the
/// map is of
std::vector<float> spread_map(const Inspection::Map& map, const TokenGeometry& geometry, const std::vector<std::int64_t>& tokens, bool to);

/// One frame of the grid, a pixel a token: colour and opacity of attention grow over three decades up to its largest weight; rho from 0
/// to 1; drift diverges from 1, 0.5 to 2. Rows that were not measured are clear.
std::shared_ptr<const Bitmap> look_bitmap(const TokenLook& look, const TokenGeometry& geometry, int grid_frame, const Theme& theme);

/// Weight of each word of the prompt: the sum over its tokens; or the mean of what was measured.
std::vector<double> word_weights(const TokenLook& look, const std::vector<TokenGeometry::Word>& words, bool mean = false);

}  // namespace ditscope::views
