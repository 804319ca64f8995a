#include "views/inspect/map_data.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ditscope::views {

CaptureArrayInfo best_map(const CaptureReader& reader, int run_id, int step, int layer, int branch) {
  const std::vector<CaptureArrayInfo> maps = reader.arrays(run_id, {"map", step, layer, branch});
  if (maps.empty()) return reader.get(run_id, {"map", step, layer, branch});  // says what is there instead
  return *std::min_element(maps.begin(), maps.end(), [](const CaptureArrayInfo& a, const CaptureArrayInfo& b) {
    const bool a_sampled = a.header.source == "sampled", b_sampled = b.header.source == "sampled";
    return a_sampled != b_sampled ? b_sampled : a.header.block_tokens < b.header.block_tokens;
  });
}

int MapLevel::cell_of(std::int64_t call_token) const {
  return static_cast<int>(std::upper_bound(edges.begin(), edges.end(), call_token) - edges.begin()) - 1;
}

MapLevel map_level(std::vector<std::int64_t> edges, const std::vector<float>& shares, std::int64_t block_tokens, std::string source) {
  MapLevel level;
  level.edges = std::move(edges);
  level.block_tokens = block_tokens;
  level.source = std::move(source);
  const auto cells = static_cast<std::size_t>(level.cells());
  if (shares.size() != cells * cells) {
    throw Error{ErrorKind::Corrupt, "a map of this capture has " + std::to_string(shares.size()) + " values, expected " + std::to_string(cells) + " x " +
                                        std::to_string(cells) + "; record it again"};
  }
  level.density.resize(shares.size());
  for (std::size_t j = 0; j < cells; ++j) {
    const float per_key = 1.0F / static_cast<float>(level.edges[j + 1] - level.edges[j]);
    for (std::size_t i = 0; i < cells; ++i) level.density[i * cells + j] = shares[i * cells + j] * per_key;
  }
  return level;
}

MapLevel coarser(const MapLevel& level, std::int64_t border) {
  MapLevel result;
  result.block_tokens = level.block_tokens * 2;
  result.source = level.source;
  result.maps = level.maps;
  std::vector<std::size_t> first;  // fine cell at which each coarse one begins
  for (std::size_t cell = 0; cell + 1 < level.edges.size();) {
    first.push_back(cell);
    result.edges.push_back(level.edges[cell]);
    cell += cell + 2 < level.edges.size() && level.edges[cell + 1] != border ? 2 : 1;
  }
  const auto fine = static_cast<std::size_t>(level.cells());
  first.push_back(fine);
  result.edges.push_back(level.edges.back());
  const auto cells = static_cast<std::size_t>(result.cells());
  result.density.resize(cells * cells);
  for (std::size_t i = 0; i < cells; ++i) {
    for (std::size_t j = 0; j < cells; ++j) {
      double sum = 0, pairs = 0;
      for (std::size_t m = first[i]; m < first[i + 1]; ++m) {
        for (std::size_t n = first[j]; n < first[j + 1]; ++n) {
          const double weight = static_cast<double>(level.edges[m + 1] - level.edges[m]) * static_cast<double>(level.edges[n + 1] - level.edges[n]);
          sum += weight * level.density[m * fine + n];
          pairs += weight;
        }
      }
      result.density[i * cells + j] = static_cast<float>(sum / pairs);
    }
  }
  return result;
}

QuadrantShares quadrant_shares(const MapLevel& level, std::int64_t text_begin, std::int64_t text_end) {
  const auto cells = static_cast<std::size_t>(level.cells());
  double sums[2][2] = {{0, 0}, {0, 0}}, tokens[2] = {0, 0};  // [query is text][key is text]
  const auto size = [&](std::size_t cell) { return static_cast<double>(level.edges[cell + 1] - level.edges[cell]); };
  const auto is_text = [&](std::size_t cell) { return level.edges[cell] >= text_begin && level.edges[cell] < text_end ? 1 : 0; };
  for (std::size_t i = 0; i < cells; ++i) {
    tokens[is_text(i)] += size(i);
    for (std::size_t j = 0; j < cells; ++j) sums[is_text(i)][is_text(j)] += size(i) * size(j) * level.density[i * cells + j];
  }
  return {sums[1][1] / tokens[1], sums[1][0] / tokens[1], sums[0][1] / tokens[0], sums[0][0] / tokens[0]};
}

MapLevel difference(const MapLevel& a, const MapLevel& b) {
  if (a.edges != b.edges) {
    throw Error{ErrorKind::InvalidArgument, "The maps of the two runs have other cells (" + std::to_string(a.cells()) + " and " + std::to_string(b.cells()) +
                                                "); compare runs of one size, captured at one level."};
  }
  MapLevel result = b;
  if (a.source != b.source) result.source = b.source + " and " + a.source;
  for (std::size_t i = 0; i < result.density.size(); ++i) result.density[i] -= a.density[i];
  return result;
}

namespace {

void pool_into(std::vector<float>& into, const std::vector<float>& values, MapPooling::By by) {
  for (std::size_t i = 0; i < into.size(); ++i) {
    if (by == MapPooling::By::Mean) into[i] += values[i];
    // Written so that NaN stays.
    if (by == MapPooling::By::Max && !(into[i] >= values[i]) && !std::isnan(into[i])) into[i] = values[i];
    if (by == MapPooling::By::Min && !(into[i] <= values[i]) && !std::isnan(into[i])) into[i] = values[i];
  }
}

MapLevel load_pooled(CaptureReader& reader, const InspectedRun& run, const InspectCursor& at, const MapPooling& pooling) {
  const int id = run.record.run_id;
  const CaptureArrayInfo info = best_map(reader, id, at.step, at.layer, at.branch);
  const CaptureTensor& header = info.header;
  const auto heads = header.shape.at(0);
  if (at.head >= heads) throw Error{ErrorKind::NotFound, "the map of step " + std::to_string(at.step) + " has no head " + std::to_string(at.head)};
  std::vector<float> sum;
  int maps = 0;
  const auto add = [&](const std::vector<float>& values) {
    if (sum.empty()) {
      sum = values;
    } else if (sum.size() == values.size()) {
      pool_into(sum, values, pooling.by);
    } else {
      return;
    }
    ++maps;
  };
  const auto add_call = [&](int step, int layer, int branch) {
    for (const CaptureArrayInfo& other : reader.arrays(id, {"map", step, layer, branch})) {
      if (other.header.shape != header.shape || other.header.block_tokens != header.block_tokens) continue;
      return add(reader.values(other, at.head, 1));
    }
  };
  using Over = MapPooling::Over;
  switch (pooling.over) {
    case Over::None: add(reader.values(info, at.head, 1)); break;
    case Over::Heads:
      for (std::int64_t head = 0; head < heads; ++head) add(reader.values(info, head, 1));
      break;
    case Over::Layers:
      for (int layer = 0; layer < run.record.model.layers; ++layer) add_call(at.step, layer, at.branch);
      break;
    case Over::Branches:
      for (int branch = 0; branch < static_cast<int>(run.record.branches.size()); ++branch) add_call(at.step, at.layer, branch);
      break;
    case Over::Steps:
      for (const CaptureStep& step : run.steps) add_call(step.step, at.layer, at.branch);
      break;
  }
  if (pooling.over != Over::None && pooling.by == MapPooling::By::Mean && maps > 1) {
    for (float& value : sum) value /= static_cast<float>(maps);
  }
  MapLevel level = map_level(map_edges(run.record.text_tokens, run.record.text_first, run.record.tokens(), header.block_tokens), sum, header.block_tokens, header.source);
  level.maps = maps;
  return level;
}

}  // namespace

Datum<MapLevel> map_level(Inspection& inspection, const InspectCursor& at, const MapPooling& pooling) {
  const InspectedRun run = inspection.run(at.run);
  const std::string key = "level " + std::to_string(at.step) + " " + std::to_string(at.layer) + " " + std::to_string(at.branch) + " " + std::to_string(at.head) +
                          " " + std::to_string(static_cast<int>(pooling.over)) + " " + std::to_string(static_cast<int>(pooling.by));
  return inspection.fetch<MapLevel>(
      at.run, pooling.over == MapPooling::Over::Steps ? "run " + key : key,
      [run, at, pooling](CaptureReader& reader) { return load_pooled(reader, run, at, pooling); }, 4 * 512 * 512);
}

std::string TileArea::key() const {
  std::string text = raster ? "raster" : "call";
  for (const std::int64_t n : {query_begin, query_end, key_begin, key_end, pool}) text += " " + std::to_string(n);
  return text;
}

std::vector<float> exact_tile(const AttentionOperands& operands, std::int64_t head, const TokenGeometry& geometry, const TileArea& area) {
  const auto rows = static_cast<std::size_t>(area.rows()), columns = static_cast<std::size_t>(area.columns()), pool = static_cast<std::size_t>(area.pool);
  const auto call_token = [&](std::int64_t place) { return area.raster ? geometry.to_call(place) : place; };
  std::vector<std::int64_t> keys;
  for (std::int64_t place = area.key_begin; place < area.key_end; ++place) keys.push_back(call_token(place));
  std::vector<double> sums(rows * columns, 0.0);
  // Whole rows, as many at a time as share what is made of k once, and no more than 32 MB of them.
  const std::int64_t together = std::clamp<std::int64_t>((std::int64_t{1} << 23) / std::max<std::int64_t>(operands.tokens, 1), 16, 256);
  for (std::int64_t begin = area.query_begin; begin < area.query_end; begin += together) {
    std::vector<std::int64_t> queries;
    for (std::int64_t place = begin; place < std::min(begin + together, area.query_end); ++place) queries.push_back(call_token(place));
    const std::vector<float> probability = attention_rows(operands, head, queries);  // (R,T)
    for (std::size_t r = 0; r < queries.size(); ++r) {
      const float* row = probability.data() + r * static_cast<std::size_t>(operands.tokens);
      double* into = sums.data() + (static_cast<std::size_t>(begin - area.query_begin) + r) / pool * columns;
      for (std::size_t k = 0; k < keys.size(); ++k) into[k / pool] += row[keys[k]];
    }
  }
  std::vector<float> tile(sums.size());
  for (std::size_t r = 0; r < rows; ++r) {
    const std::int64_t height = std::min(area.pool, area.query_end - area.query_begin - static_cast<std::int64_t>(r) * area.pool);
    for (std::size_t c = 0; c < columns; ++c) {
      const std::int64_t width = std::min(area.pool, area.key_end - area.key_begin - static_cast<std::int64_t>(c) * area.pool);
      tile[r * columns + c] = static_cast<float>(sums[r * columns + c] / static_cast<double>(width * height));
    }
  }
  return tile;
}

Datum<std::vector<float>> exact_tile(Inspection& inspection, const InspectCursor& at, const TileArea& area) {
  return inspection.fetch_exact<std::vector<float>>(
      at, "tile " + std::to_string(at.head) + " " + area.key(),
      [head = at.head, geometry = inspection.run(at.run).geometry, area](const AttentionOperands& operands, CaptureReader&) {
        return exact_tile(operands, head, geometry, area);
      },
      std::int64_t{4} * area.rows() * area.columns());
}

std::vector<TileArea> tiles_over(const TokenGeometry& geometry, bool raster, std::int64_t pool, std::int64_t query_begin, std::int64_t query_end,
                                 std::int64_t key_begin, std::int64_t key_end) {
  struct Span {
    std::int64_t begin, end;
  };
  const std::int64_t video = geometry.visual_begin(), video_end = video + geometry.visual_tokens(), text = geometry.text_first() ? 0 : video_end;
  const auto spans = [&](std::int64_t from, std::int64_t to) {
    std::vector<Span> result;
    for (const Span part : {Span{text, text + geometry.text_tokens()}, Span{video, video_end}}) {
      for (std::int64_t begin = part.begin; begin < part.end; begin += kTile * pool) {
        const Span tile{begin, std::min(begin + kTile * pool, part.end)};
        if (tile.end > from && tile.begin < to) result.push_back(tile);
      }
    }
    return result;
  };
  std::vector<TileArea> tiles;
  for (const Span& q : spans(query_begin, query_end)) {
    for (const Span& k : spans(key_begin, key_end)) tiles.push_back({q.begin, q.end, k.begin, k.end, pool, raster});
  }
  return tiles;
}

std::int64_t tile_pool(double token_px, std::int64_t block_tokens, std::int64_t tokens, std::int64_t head_width) {
  std::int64_t pool = 1;
  while (static_cast<double>(pool) * token_px < 1 && pool < block_tokens) pool *= 2;
  if (pool >= block_tokens) return 0;
  const double multiplications = static_cast<double>(std::min(kTile * pool, tokens)) * static_cast<double>(tokens) * static_cast<double>(head_width);
  return multiplications > 8e9 ? 0 : pool;
}

}  // namespace ditscope::views
