#pragma once
#include <vector>

#include "views/inspect/token_geometry.h"
#include "views/inspect/view.h"

namespace ditscope::views {

/// Words of the prompt in lines, each with a bar under it: as long as its share of the largest weight, in the colours of attention.
/// Words that hold a locked token stand in brush colour, those with the hovered one in a dashed frame.
/// @param weights  one a word; empty: no bars   @return where each word was painted; without width: no room
std::vector<Rect> paint_words(Canvas& canvas, const ViewContext& context, const Rect& area, const std::vector<TokenGeometry::Word>& words,
                              const std::vector<double>& weights);

}  // namespace ditscope::views
