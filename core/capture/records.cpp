#include "core/capture/records.h"

#include <algorithm>
#include <bit>

namespace ditscope {

bool CapturePlan::keeps_block(int q_block, int k_block) const {
  if (dense()) return true;
  const std::size_t row_bytes = (static_cast<std::size_t>(k_blocks) + 7) / 8;
  return (block_bits[static_cast<std::size_t>(q_block) * row_bytes + static_cast<std::size_t>(k_block) / 8] >> (k_block % 8)) & 1;
}

bool CapturePlan::keeps_slots(std::int64_t query, std::int64_t key) const {
  if (dense()) return true;
  const auto q_block = static_cast<int>(query / q_block_tokens), k_block = static_cast<int>(key / k_block_tokens);
  if (!keeps_block(q_block, k_block)) return false;
  const auto number = static_cast<std::uint32_t>(q_block) * static_cast<std::uint32_t>(k_blocks) + static_cast<std::uint32_t>(k_block);
  const auto found = std::lower_bound(partial_blocks.begin(), partial_blocks.end(), number);
  if (found == partial_blocks.end() || *found != number) return true;
  const auto word = static_cast<std::size_t>(found - partial_blocks.begin()) * static_cast<std::size_t>(q_block_tokens) +
                    static_cast<std::size_t>(query % q_block_tokens);
  return (partial_bits[word] >> (key % k_block_tokens)) & 1;
}

std::vector<std::uint8_t> CapturePlan::row(std::int64_t query) const {
  std::vector<std::uint8_t> kept(static_cast<std::size_t>(tokens), dense() ? 1 : 0);
  if (dense()) return kept;
  std::int64_t slot = query;
  if (!q_order.empty()) slot = std::find(q_order.begin(), q_order.end(), static_cast<std::uint32_t>(query)) - q_order.begin();
  if (slot >= queries) return kept;
  for (int n = 0; n < k_blocks; ++n) {
    if (!keeps_block(static_cast<int>(slot / q_block_tokens), n)) continue;
    const std::int64_t end = std::min<std::int64_t>(std::int64_t{n + 1} * k_block_tokens, keys);
    for (std::int64_t key = std::int64_t{n} * k_block_tokens; key < end; ++key) {
      const std::int64_t token = k_order.empty() ? key : k_order[static_cast<std::size_t>(key)];
      if (token < tokens && keeps_slots(slot, key)) kept[static_cast<std::size_t>(token)] = 1;
    }
  }
  return kept;
}

template <typename CellOf>
void CapturePlan::add_ordered_pairs(const CellOf& cell_of, std::size_t cells, std::vector<double>& counts) const {
  const auto cells_of = [&](const std::vector<std::uint32_t>& order, std::int64_t slots) {  // cell of each slot, -1 where it is empty
    std::vector<std::int32_t> result;
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      const std::int64_t token = order.empty() ? slot : order[static_cast<std::size_t>(slot)];
      result.push_back(token < tokens ? static_cast<std::int32_t>(cell_of(token)) : -1);
    }
    return result;
  };
  const std::vector<std::int32_t> q_cells = cells_of(q_order, queries), k_cells = cells_of(k_order, keys);
  std::vector<double> whole(cells);  // keys of the whole blocks of a row of blocks, by cell
  std::size_t partial = 0;
  for (int m = 0; m < q_blocks; ++m) {
    std::fill(whole.begin(), whole.end(), 0.0);
    const std::int64_t first_row = std::int64_t{m} * q_block_tokens, last_row = std::min<std::int64_t>(first_row + q_block_tokens, queries);
    for (int n = 0; n < k_blocks; ++n) {
      if (!keeps_block(m, n)) continue;
      const std::int64_t first = std::int64_t{n} * k_block_tokens, last = std::min<std::int64_t>(first + k_block_tokens, keys);
      const auto number = static_cast<std::uint32_t>(m) * static_cast<std::uint32_t>(k_blocks) + static_cast<std::uint32_t>(n);
      while (partial < partial_blocks.size() && partial_blocks[partial] < number) ++partial;
      if (partial == partial_blocks.size() || partial_blocks[partial] != number) {
        for (std::int64_t key = first; key < last; ++key)
          if (const std::int32_t cell = k_cells[static_cast<std::size_t>(key)]; cell >= 0) ++whole[static_cast<std::size_t>(cell)];
        continue;
      }
      for (std::int64_t row = first_row; row < last_row; ++row) {
        const std::int32_t q_cell = q_cells[static_cast<std::size_t>(row)];
        std::uint64_t bits = partial_bits[partial * static_cast<std::size_t>(q_block_tokens) + static_cast<std::size_t>(row - first_row)];
        for (; q_cell >= 0 && bits != 0; bits &= bits - 1) {
          const std::int64_t key = first + std::countr_zero(bits);
          if (key >= last) break;
          if (const std::int32_t cell = k_cells[static_cast<std::size_t>(key)]; cell >= 0) ++counts[static_cast<std::size_t>(q_cell) * cells + static_cast<std::size_t>(cell)];
        }
      }
    }
    for (std::int64_t row = first_row; row < last_row; ++row) {
      const std::int32_t q_cell = q_cells[static_cast<std::size_t>(row)];
      if (q_cell < 0) continue;
      double* of_row = counts.data() + static_cast<std::size_t>(q_cell) * cells;
      for (std::size_t column = 0; column < cells; ++column) of_row[column] += whole[column];
    }
  }
}

std::vector<float> CapturePlan::kept_ratios(const std::vector<std::int64_t>& edges) const {
  const std::size_t cells = edges.size() - 1;
  std::vector<float> ratios(cells * cells, dense() ? 1.0F : 0.0F);
  if (dense()) return ratios;
  const auto cell_of = [&](std::int64_t token) {
    return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), token) - edges.begin()) - 1;
  };
  std::vector<double> counts(cells * cells, 0.0);
  if (!q_order.empty() || !k_order.empty()) add_ordered_pairs(cell_of, cells, counts);
  std::size_t partial = 0;
  for (int m = 0; m < q_blocks && q_order.empty() && k_order.empty(); ++m) {
    const std::int64_t first_row = std::int64_t{m} * q_block_tokens, last_row = std::min<std::int64_t>(first_row + q_block_tokens, queries);
    for (int n = 0; n < k_blocks; ++n) {
      if (!keeps_block(m, n)) continue;
      const std::int64_t first = std::int64_t{n} * k_block_tokens, last = std::min<std::int64_t>(first + k_block_tokens, keys);
      const auto number = static_cast<std::uint32_t>(m) * static_cast<std::uint32_t>(k_blocks) + static_cast<std::uint32_t>(n);
      while (partial < partial_blocks.size() && partial_blocks[partial] < number) ++partial;
      const bool cut = partial < partial_blocks.size() && partial_blocks[partial] == number;
      for (std::int64_t begin = first; begin < last;) {  // the columns of one cell
        const std::size_t column = cell_of(begin);
        const std::int64_t end = std::min(last, edges[column + 1]);
        const std::uint64_t window = (end - begin == 64 ? ~std::uint64_t{0} : ((std::uint64_t{1} << (end - begin)) - 1)) << (begin - first);
        for (std::int64_t row = first_row; row < last_row;) {  // the rows of one cell
          const std::size_t cell = cell_of(row);
          const std::int64_t row_end = std::min(last_row, edges[cell + 1]);
          double& count = counts[cell * cells + column];
          if (!cut) count += static_cast<double>((row_end - row) * (end - begin));
          for (; cut && row < row_end; ++row) {
            const std::size_t word = partial * static_cast<std::size_t>(q_block_tokens) + static_cast<std::size_t>(row - first_row);
            count += std::popcount(partial_bits[word] & window);
          }
          row = row_end;
        }
        begin = end;
      }
    }
  }
  for (std::size_t i = 0; i < cells; ++i) {
    for (std::size_t j = 0; j < cells; ++j) {
      const double pairs = static_cast<double>(edges[i + 1] - edges[i]) * static_cast<double>(edges[j + 1] - edges[j]);
      ratios[i * cells + j] = static_cast<float>(std::min(counts[i * cells + j] / pairs, 1.0));  // a key may lie in two slots
    }
  }
  return ratios;
}

double CapturePlan::block_iou(const CapturePlan& a, const CapturePlan& b) {
  if (a.dense() && b.dense()) return 1;
  if (a.dense() || b.dense()) {
    const CapturePlan& mask = a.dense() ? b : a;
    return static_cast<double>(mask.kept_blocks) / (static_cast<double>(mask.q_blocks) * mask.k_blocks);
  }
  if (a.block_bits.size() != b.block_bits.size()) return 0;
  std::int64_t both = 0, either = 0;
  for (std::size_t i = 0; i < a.block_bits.size(); ++i) {
    both += std::popcount(static_cast<unsigned>(a.block_bits[i] & b.block_bits[i]));
    either += std::popcount(static_cast<unsigned>(a.block_bits[i] | b.block_bits[i]));
  }
  return either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
}

std::vector<std::int64_t> map_edges(std::int64_t text_tokens, bool text_first, std::int64_t tokens, std::int64_t block_tokens) {
  const std::int64_t border = text_first ? text_tokens : tokens - text_tokens;
  std::vector<std::int64_t> edges;
  for (std::int64_t token = 0; token < border; token += block_tokens) edges.push_back(token);
  for (std::int64_t token = border; token < tokens; token += block_tokens) edges.push_back(token);
  edges.push_back(tokens);
  return edges;
}

std::int64_t map_block_tokens(std::int64_t text_tokens, bool text_first, std::int64_t tokens, std::int64_t cells) {
  std::int64_t block = 64;
  const auto count = [&] { return static_cast<std::int64_t>(map_edges(text_tokens, text_first, tokens, block).size()) - 1; };
  while (count() > std::max<std::int64_t>(cells, 2) && block < tokens) block *= 2;
  return block;
}

}  // namespace ditscope
