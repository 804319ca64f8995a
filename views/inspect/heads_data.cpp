#include "views/inspect/heads_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "kernels/error.h"

namespace ditscope::views {

double HeadTable::mean_of_layer(int layer) const {
  double sum = 0;
  int count = 0;
  for (int head = 0; head < heads; ++head) {
    if (std::isnan(at(layer, head))) continue;
    sum += at(layer, head);
    ++count;
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

HeadTable head_table(const std::vector<CaptureReader::HeadValue>& values, int layers, int heads, int step, int branch) {
  HeadTable table{layers, heads, std::vector<double>(static_cast<std::size_t>(layers) * heads, std::numeric_limits<double>::quiet_NaN())};
  for (const CaptureReader::HeadValue& value : values) {
    if (value.step != step || value.branch != branch || value.layer < 0 || value.layer >= layers || value.head < 0 || value.head >= heads) continue;
    table.values[static_cast<std::size_t>(value.layer) * heads + value.head] = value.value;
  }
  return table;
}

int CellLayout::pick(Point at) const {
  if (cell <= 0 || at.x < x || at.y < y) return -1;
  const int column = static_cast<int>((at.x - x) / cell), row = static_cast<int>((at.y - y) / cell);
  return column < columns && row < rows ? row * columns + column : -1;
}

CellLayout cell_layout(const Rect& area, int rows, int columns, double most, double unit) {
  CellLayout layout;
  layout.rows = rows;
  layout.columns = columns;
  layout.x = area.x;
  layout.y = area.y;
  if (rows < 1 || columns < 1) return layout;
  layout.cell = std::max(std::min({area.width / columns, area.height / rows, most}), 0.0);
  layout.gap = layout.cell >= 12 * unit ? std::min(2 * unit, layout.cell * 0.1) : 0;
  return layout;
}

std::vector<int> sorted_cells(const std::vector<double>& values, bool lowest_first) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const bool a_known = !std::isnan(values[a]), b_known = !std::isnan(values[b]);
    return a_known != b_known ? a_known : a_known && (lowest_first ? values[a] < values[b] : values[a] > values[b]);
  });
  return order;
}

namespace {

/// n x n samples of a matrix of cells: the mean over the cells that a sample covers, by places.
void resample(const std::vector<std::int64_t>& edges, const float* values, int side, float* to) {
  const auto cells = static_cast<int>(edges.size()) - 1;
  const double tokens = static_cast<double>(edges.back());
  std::vector<std::pair<int, int>> covered;  // first cell and one beyond the last
  for (int i = 0; i < side; ++i) {
    const double from = tokens * i / side, to_place = tokens * (i + 1) / side;
    const auto cell = [&](double place) {
      return std::clamp(static_cast<int>(std::upper_bound(edges.begin(), edges.end(), static_cast<std::int64_t>(place)) - edges.begin()) - 1, 0, cells - 1);
    };
    const int first = cell(from);
    covered.emplace_back(first, std::max(cell(std::max(to_place - 1, from)) + 1, first + 1));
  }
  for (int i = 0; i < side; ++i) {
    for (int j = 0; j < side; ++j) {
      double sum = 0;
      for (int m = covered[i].first; m < covered[i].second; ++m) {
        for (int n = covered[j].first; n < covered[j].second; ++n) sum += values[static_cast<std::size_t>(m) * cells + n];
      }
      to[i * side + j] = static_cast<float>(sum / ((covered[i].second - covered[i].first) * (covered[j].second - covered[j].first)));
    }
  }
}

}  // namespace

Thumbnails map_thumbnails(const std::vector<std::int64_t>& edges, const std::vector<float>& shares, int heads, int side) {
  const auto cells = edges.size() - 1;
  Thumbnails result{side, std::vector<float>(static_cast<std::size_t>(heads) * side * side)};
  std::vector<float> density(cells * cells);
  for (int head = 0; head < heads; ++head) {
    const float* of = shares.data() + static_cast<std::size_t>(head) * cells * cells;
    for (std::size_t i = 0; i < cells; ++i) {
      for (std::size_t j = 0; j < cells; ++j) density[i * cells + j] = of[i * cells + j] / static_cast<float>(edges[j + 1] - edges[j]);
    }
    resample(edges, density.data(), side, result.values.data() + static_cast<std::size_t>(head) * side * side);
  }
  return result;
}

Datum<std::vector<double>> layer_row_recall(Inspection& inspection, const InspectCursor& at, std::int64_t token) {
  const InspectedRun& run = inspection.run(at.run);
  const std::string key = "row recall " + std::to_string(at.step) + " " + std::to_string(at.layer) + " " + std::to_string(at.branch) + " " + std::to_string(token);
  const auto load = [at, record = run.record, token = run.geometry.to_call(token)](CaptureReader& reader) {
    const CaptureArrayInfo info = best_map(reader, record.run_id, at.step, at.layer, at.branch);
    const auto edges = map_edges(record.text_tokens, record.text_first, record.tokens(), info.header.block_tokens);
    const auto cells = edges.size() - 1;
    const auto row = static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), token) - edges.begin()) - 1;
    std::vector<double> recall(static_cast<std::size_t>(record.model.heads), std::numeric_limits<double>::quiet_NaN());
    const std::optional<CaptureCall> call = reader.call(record.run_id, at.step, at.layer, at.branch);
    std::map<std::int64_t, std::vector<std::uint8_t>> rows;  // of each mask
    for (const CaptureHead& head : call ? call->heads : std::vector<CaptureHead>{}) {
      if (head.head >= record.model.heads || head.head >= info.header.shape.at(0)) continue;
      const std::vector<float> shares = reader.values(info, head.head, 1);
      if (shares.size() != cells * cells) throw Error{ErrorKind::Corrupt, "a map of this capture has another size than its run"};
      std::vector<std::uint8_t>& kept = rows[head.plan_id];
      if (kept.empty()) kept = reader.plan(head.plan_id, record.tokens())->row(token);
      double all = 0, mass = 0;
      for (std::size_t cell = 0; cell < cells; ++cell) {
        const float share = shares[row * cells + cell];
        const auto count = std::count(kept.begin() + edges[cell], kept.begin() + edges[cell + 1], std::uint8_t{1});
        all += share;
        mass += share * static_cast<double>(count) / static_cast<double>(edges[cell + 1] - edges[cell]);
      }
      recall[static_cast<std::size_t>(head.head)] = all > 0 ? mass / all : std::numeric_limits<double>::quiet_NaN();
    }
    return recall;
  };
  return inspection.fetch<std::vector<double>>(at.run, key, load, std::int64_t{8} * run.record.model.heads);
}

Datum<Thumbnails> layer_thumbnails(Inspection& inspection, const InspectCursor& at, bool masks) {
  const CaptureRun& record = inspection.run(at.run).record;
  const std::string key = std::string(masks ? "mask" : "map") + " thumbnails " + std::to_string(at.step) + " " + std::to_string(at.layer) + " " + std::to_string(at.branch);
  const auto load = [at, masks, record](CaptureReader& reader) {
    const int heads = record.model.heads;
    if (!masks) {
      const CaptureArrayInfo info = best_map(reader, record.run_id, at.step, at.layer, at.branch);
      const auto edges = map_edges(record.text_tokens, record.text_first, record.tokens(), info.header.block_tokens);
      const std::vector<float> shares = reader.values(info);
      const auto cells = edges.size() - 1;
      if (shares.size() != static_cast<std::size_t>(heads) * cells * cells) throw Error{ErrorKind::Corrupt, "a map of this capture has another size than its run"};
      return map_thumbnails(edges, shares, heads, kThumbnail);
    }
    Thumbnails result{kThumbnail, std::vector<float>(static_cast<std::size_t>(heads) * kThumbnail * kThumbnail, std::numeric_limits<float>::quiet_NaN())};
    const std::optional<CaptureCall> call = reader.call(record.run_id, at.step, at.layer, at.branch);
    if (!call) throw Error{ErrorKind::NotFound, "No masks were captured for step " + std::to_string(at.step) + ", layer " + std::to_string(at.layer) + "."};
    std::vector<std::int64_t> edges;  // equal parts
    const std::int64_t side = std::min<std::int64_t>(kThumbnail, record.tokens());
    for (std::int64_t i = 0; i <= side; ++i) edges.push_back(record.tokens() * i / side);
    std::map<std::int64_t, std::vector<float>> known;
    for (const CaptureHead& head : call->heads) {
      if (head.head >= heads) continue;
      std::vector<float>& ratios = known[head.plan_id];
      if (ratios.empty()) {
        ratios.resize(kThumbnail * kThumbnail);
        resample(edges, reader.plan(head.plan_id, record.tokens())->kept_ratios(edges).data(), kThumbnail, ratios.data());
      }
      std::copy(ratios.begin(), ratios.end(), result.values.begin() + static_cast<std::ptrdiff_t>(head.head) * kThumbnail * kThumbnail);
    }
    return result;
  };
  return inspection.fetch<Thumbnails>(at.run, key, load, std::int64_t{4} * record.model.heads * kThumbnail * kThumbnail);
}

}  // namespace ditscope::views
