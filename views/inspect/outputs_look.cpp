#include "views/inspect/outputs_look.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/plot_bitmap.h"

namespace ditscope::views {
namespace {

constexpr double kDecades = 3;

}  // namespace

TokenLook look_of(std::vector<float> weight, const TokenGeometry& geometry, std::string source) {
  TokenLook look;
  look.source = std::move(source);
  for (std::int64_t token = 0; token < static_cast<std::int64_t>(weight.size()); ++token) {
    if (geometry.is_text(token)) {
      look.text_mass += weight[token];
    } else if (std::isfinite(weight[token])) {
      look.most_visual = std::max(look.most_visual, static_cast<double>(weight[token]));
    }
  }
  look.weight = std::move(weight);
  return look;
}

std::vector<float> spread_map_row(const Inspection::Map& map, const TokenGeometry& geometry, std::int64_t token) {
  const std::int64_t call = geometry.to_call(token);
  const auto row_of = std::upper_bound(map.edges.begin(), map.edges.end(), call);
  const auto row = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(row_of - map.edges.begin() - 1, 0, map.cells - 1));
  std::vector<float> weight(static_cast<std::size_t>(geometry.tokens()), 0);
  for (int cell = 0; cell < map.cells; ++cell) {
    const std::int64_t from = map.edges[cell], to = std::min<std::int64_t>(map.edges[cell + 1], geometry.tokens());
    const float each = map.values[row * map.cells + cell] / static_cast<float>(std::max<std::int64_t>(to - from, 1));
    for (std::int64_t key = from; key < to; ++key) weight[geometry.from_call(key)] = each;
  }
  return weight;
}

Datum<TokenLook> token_look(Inspection& inspection, const InspectCursor& at, std::int64_t token, bool all_heads) {
  const InspectedRun& run = inspection.run(at.run);
  const int heads = std::max(run.record.model.heads, 1);
  Datum<TokenLook> look;
  if (token < 0 || token >= run.geometry.tokens()) {
    look.problem = "The locked token is not one of this run.";
    return look;
  }
  std::vector<float> sum;
  bool loading = false;
  int found = 0;
  std::string problem;
  const int first = all_heads ? 0 : at.head, last = all_heads ? heads : at.head + 1;
  for (int head = first; head < last; ++head) {
    InspectCursor one = at;
    one.head = head;
    const auto row = inspection.exact_row(one, token);
    loading = loading || row.loading();
    if (!row) {
      if (!row.problem.empty()) problem = row.problem;
      if (!problem.empty()) break;
      continue;
    }
    sum.resize(row->probability.size(), 0);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += row->probability[i];
    ++found;
  }
  const std::string which = all_heads ? "mean of " + std::to_string(heads) + " heads" : "head " + std::to_string(at.head);
  if (found == last - first) {
    for (float& value : sum) value /= static_cast<float>(found);
    look.value = std::make_shared<const TokenLook>(look_of(std::move(sum), run.geometry, "exact, " + which));
    return look;
  }
  // Meanwhile, or where the model is not here: what the map knows.
  sum.assign(static_cast<std::size_t>(run.geometry.tokens()), 0);
  std::string blocks;
  for (int head = first; head < last; ++head) {
    InspectCursor one = at;
    one.head = head;
    const auto map = inspection.map(one);
    if (!map) {
      if (!map.loading()) look.problem = problem.empty() ? map.problem : problem;
      return look;
    }
    const std::vector<float> row = spread_map_row(*map, run.geometry, token);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += row[i] / static_cast<float>(last - first);
    blocks = std::to_string(map->block_tokens) + " x " + std::to_string(map->block_tokens);
  }
  look.value = std::make_shared<const TokenLook>(
      look_of(std::move(sum), run.geometry, "pooled " + blocks + ", " + which + (loading ? ", exact row is loading" : "")));
  return look;
}

std::shared_ptr<const Bitmap> look_bitmap(const TokenLook& look, const TokenGeometry& geometry, int grid_frame, const Theme& theme) {
  const ColourMap map("magma", theme);
  std::vector<std::uint8_t> rgba(std::size_t{4} * geometry.rows() * geometry.columns(), 0);
  for (int row = 0; row < geometry.rows(); ++row) {
    for (int column = 0; column < geometry.columns(); ++column) {
      const double weight = look.weight[geometry.token(grid_frame, row, column)];
      double position = look.most_visual > 0 ? 1 + std::log10(weight / look.most_visual) / kDecades : 0;
      if (weight <= 0) position = 0;
      const Rgb colour = std::isnan(weight) ? ColourMap::kNan : map.at(std::clamp(position, 0.0, 1.0));
      std::uint8_t* pixel = rgba.data() + std::size_t{4} * (std::size_t(row) * geometry.columns() + column);
      const float channels[3] = {colour.r, colour.g, colour.b};
      for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(channels[c] * 255 + 0.5F);
      pixel[3] = static_cast<std::uint8_t>(std::isnan(weight) ? 255 : 40 + 190 * std::clamp(position, 0.0, 1.0));
    }
  }
  return kept_bitmap(geometry.columns(), geometry.rows(), std::move(rgba));
}

std::vector<double> word_weights(const TokenLook& look, const std::vector<TokenGeometry::Word>& words) {
  std::vector<double> weights;
  for (const TokenGeometry::Word& word : words) {
    double sum = 0;
    for (const std::int64_t token : word.tokens) {
      if (token >= 0 && token < static_cast<std::int64_t>(look.weight.size())) sum += look.weight[token];
    }
    weights.push_back(sum);
  }
  return weights;
}

}  // namespace ditscope::views
