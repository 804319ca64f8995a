#include "views/inspect/outputs_look.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "views/inspect/drift_series.h"
#include "views/inspect/plot_bitmap.h"

namespace ditscope::views {
namespace {

constexpr double kDecades = 3;

}  // namespace

std::string LookWish::key() const {
  std::string text = std::string(to ? "to" : "from") + (all_heads ? " all" : " one");
  for (const std::int64_t token : tokens) text += " " + std::to_string(token);
  return text;
}

TokenLook look_of(std::vector<float> weight, const TokenGeometry& geometry, std::string source) {
  TokenLook look;
  look.source = std::move(source);
  for (std::int64_t token = 0; token < static_cast<std::int64_t>(weight.size()); ++token) {
    look.sum += weight[token];
    if (geometry.is_text(token)) {
      look.text_mass += weight[token];
    } else if (std::isfinite(weight[token])) {
      look.most_visual = std::max(look.most_visual, static_cast<double>(weight[token]));
    }
  }
  look.weight = std::move(weight);
  return look;
}

std::vector<float> spread_map(const Inspection::Map& map, const TokenGeometry& geometry, const std::vector<std::int64_t>& tokens, bool to) {
  std::vector<double> cells(static_cast<std::size_t>(map.cells), 0.0);
  const auto size = [&](int cell) { return static_cast<double>(std::max<std::int64_t>(map.edges[cell + 1] - map.edges[cell], 1)); };
  for (const std::int64_t token : tokens) {
    const auto found = std::upper_bound(map.edges.begin(), map.edges.end(), geometry.to_call(token));
    const int own = static_cast<int>(std::clamp<std::ptrdiff_t>(found - map.edges.begin() - 1, 0, map.cells - 1));
    for (int cell = 0; cell < map.cells; ++cell) {
      cells[cell] += to ? map.values[static_cast<std::size_t>(cell) * map.cells + own] / size(own)
                        : map.values[static_cast<std::size_t>(own) * map.cells + cell] / size(cell) / static_cast<double>(tokens.size());
    }
  }
  std::vector<float> weight(static_cast<std::size_t>(geometry.tokens()), 0);
  for (int cell = 0; cell < map.cells; ++cell) {
    const std::int64_t last = std::min<std::int64_t>(map.edges[cell + 1], geometry.tokens());
    for (std::int64_t call = map.edges[cell]; call < last; ++call) weight[geometry.from_call(call)] = static_cast<float>(cells[cell]);
  }
  return weight;
}

std::vector<float> attention_columns(const AttentionOperands& operands, std::int64_t head, const std::vector<std::int64_t>& keys,
                                     const std::vector<float>& log_sum_exp) {
  std::vector<float> column(static_cast<std::size_t>(operands.tokens), 0.0F);
  if (static_cast<std::int64_t>(log_sum_exp.size()) == operands.tokens) {
    const float* q = operands.q.data() + head * operands.tokens * operands.width;
    const float* k = operands.k.data() + head * operands.tokens * operands.width;
    for (std::int64_t query = 0; query < operands.tokens; ++query) {
      for (const std::int64_t key : keys) {
        double logit = 0;
        for (std::int64_t d = 0; d < operands.width; ++d) logit += static_cast<double>(q[query * operands.width + d]) * k[key * operands.width + d];
        column[query] += static_cast<float>(std::exp(operands.scale * logit - log_sum_exp[query]));
      }
    }
    return column;
  }
  constexpr std::int64_t kRows = 32;
  for (std::int64_t begin = 0; begin < operands.tokens; begin += kRows) {
    std::vector<std::int64_t> queries;
    for (std::int64_t query = begin; query < std::min(begin + kRows, operands.tokens); ++query) queries.push_back(query);
    const std::vector<float> rows = attention_rows(operands, head, queries);  // (R,T)
    for (std::size_t r = 0; r < queries.size(); ++r) {
      for (const std::int64_t key : keys) column[queries[r]] += rows[r * static_cast<std::size_t>(operands.tokens) + static_cast<std::size_t>(key)];
    }
  }
  return column;
}

namespace {

constexpr std::size_t kMostTokens = 64;  ///< of a lasso that are pooled, evenly taken
constexpr double kMostWork = 8e9;        ///< multiplications: about a second or two

std::vector<std::int64_t> thinned(const std::vector<std::int64_t>& tokens, std::size_t most) {
  std::vector<std::int64_t> taken;
  const std::size_t count = std::min(tokens.size(), std::max<std::size_t>(most, 1));
  for (std::size_t i = 0; i < count; ++i) taken.push_back(tokens[i * tokens.size() / count]);
  return taken;
}

/// The log-sum-exp of every row of a call, one head after the other; empty where only some rows were captured.
std::vector<float> stored_log_sum_exp(const CaptureReader& reader, int run_id, const InspectCursor& at, std::int64_t heads, std::int64_t tokens) {
  for (const CaptureArrayInfo& info : reader.arrays(run_id, {"lse_full", at.step, at.layer, at.branch})) {
    if (info.header.shape == std::vector<std::int64_t>{heads, tokens}) return reader.values(info);
  }
  return {};
}

std::vector<float> exact_look(const AttentionOperands& operands, const CaptureReader& reader, const InspectedRun& run, const InspectCursor& at,
                              const LookWish& wish) {
  const auto tokens = static_cast<std::size_t>(operands.tokens);
  if (operands.tokens != run.geometry.tokens()) throw Error{ErrorKind::Corrupt, "q and k have another number of tokens than their run"};
  const std::int64_t first = wish.all_heads ? 0 : at.head, last = wish.all_heads ? operands.heads : at.head + 1;
  std::vector<std::int64_t> own;
  for (const std::int64_t token : wish.tokens) own.push_back(run.geometry.to_call(token));
  std::vector<float> log_sum_exp;
  const double pairs = static_cast<double>(tokens) * static_cast<double>(operands.width) * static_cast<double>(last - first);
  if (wish.to && pairs * static_cast<double>(tokens) > kMostWork) {
    log_sum_exp = stored_log_sum_exp(reader, run.record.run_id, at, operands.heads, operands.tokens);
    if (log_sum_exp.empty()) throw Error{ErrorKind::Unsupported, "Who looks at a token of so long a video needs the LSE of every row; record it with shadow passes (--shadow all)."};
  }
  std::vector<double> sum(tokens, 0.0);
  for (std::int64_t head = first; head < last; ++head) {
    if (wish.to) {
      std::vector<float> lse;
      if (!log_sum_exp.empty()) lse.assign(log_sum_exp.begin() + head * operands.tokens, log_sum_exp.begin() + (head + 1) * operands.tokens);
      const std::vector<float> column = attention_columns(operands, head, own, lse);
      for (std::size_t i = 0; i < tokens; ++i) sum[i] += column[i];
      continue;
    }
    for (std::size_t begin = 0; begin < own.size(); begin += 16) {  // few whole rows at a time
      const std::size_t end = std::min(begin + 16, own.size());
      const std::vector<float> rows = attention_rows(operands, head, {own.begin() + static_cast<std::ptrdiff_t>(begin), own.begin() + static_cast<std::ptrdiff_t>(end)});
      for (std::size_t i = 0; i < rows.size(); ++i) sum[i % tokens] += rows[i] / static_cast<double>(own.size());
    }
  }
  std::vector<float> weight(tokens);
  for (std::size_t call = 0; call < tokens; ++call) weight[run.geometry.from_call(static_cast<std::int64_t>(call))] = static_cast<float>(sum[call] / static_cast<double>(last - first));
  return weight;
}

TokenLook finished(std::vector<float> weight, const TokenGeometry& geometry, const LookWish& wish, std::string source) {
  TokenLook look = look_of(std::move(weight), geometry, std::move(source));
  if (wish.to) look.sum /= static_cast<double>(wish.tokens.size());
  return look;
}

/// What the map knows of the same.
Datum<TokenLook> pooled_look(Inspection& inspection, const InspectCursor& at, const LookWish& wish, const std::string& which) {
  const InspectedRun& run = inspection.run(at.run);
  Datum<TokenLook> look;
  std::vector<float> sum(static_cast<std::size_t>(run.geometry.tokens()), 0.0F);
  const int first = wish.all_heads ? 0 : at.head, last = wish.all_heads ? std::max(run.record.model.heads, 1) : at.head + 1;
  std::string blocks;
  for (int head = first; head < last; ++head) {
    InspectCursor one = at;
    one.head = head;
    const auto map = inspection.map(one);
    if (!map) {
      look.problem = map.problem;
      return look;
    }
    const std::vector<float> part = spread_map(*map, run.geometry, wish.tokens, wish.to);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i] / static_cast<float>(last - first);
    blocks = std::to_string(map->block_tokens) + " x " + std::to_string(map->block_tokens);
  }
  look.value = std::make_shared<const TokenLook>(finished(std::move(sum), run.geometry, wish, "pooled " + blocks + ", " + which));
  return look;
}

}  // namespace

Datum<TokenLook> token_look(Inspection& inspection, const InspectCursor& at, const LookWish& asked) {
  const InspectedRun run = inspection.run(at.run);
  const int heads = std::max(run.record.model.heads, 1);
  Datum<TokenLook> look;
  LookWish wish = asked;
  std::erase_if(wish.tokens, [&](std::int64_t token) { return token < 0 || token >= run.geometry.tokens(); });
  if (wish.tokens.empty()) {
    look.problem = "The locked token is not one of this run.";
    return look;
  }
  const double row = static_cast<double>(run.geometry.tokens()) * run.record.model.head_width * (wish.all_heads ? heads : 1);
  wish.tokens = thinned(wish.tokens, std::min(kMostTokens, static_cast<std::size_t>(std::max(kMostWork / std::max(row, 1.0), 1.0))));
  std::string which = wish.all_heads ? "mean of " + std::to_string(heads) + " heads" : "head " + std::to_string(at.head);
  if (wish.tokens.size() < asked.tokens.size()) which += ", " + std::to_string(wish.tokens.size()) + " of " + std::to_string(asked.tokens.size()) + " tokens";
  const auto exact = inspection.fetch_exact<TokenLook>(
      at, "look " + wish.key() + " " + std::to_string(wish.all_heads ? -1 : at.head),
      [run, at, wish, which](const AttentionOperands& operands, CaptureReader& reader) {
        return finished(exact_look(operands, reader, run, at, wish), run.geometry, wish, "exact, " + which);
      },
      4 * run.geometry.tokens());
  if (exact) return exact;
  // Meanwhile, or where the model is not here.
  look = pooled_look(inspection, at, wish, which + (exact.loading() ? ", exact is loading" : ""));
  if (!look && !look.loading() && !exact.problem.empty()) look.problem = exact.problem;
  if (look && exact.loading()) {
    TokenLook now = *look;
    now.settled = false;
    look.value = std::make_shared<const TokenLook>(std::move(now));
  }
  return look;
}

Datum<TokenLook> row_heat(Inspection& inspection, const InspectCursor& at, TokenLook::Heat heat) {
  const TokenGeometry& geometry = inspection.run(at.run).geometry;
  Datum<TokenLook> found;
  TokenLook look;
  look.heat = heat;
  look.weight.assign(static_cast<std::size_t>(geometry.tokens()), std::nanf(""));
  std::size_t measured = 0;
  if (heat == TokenLook::Heat::Rho) {
    const Datum<Inspection::Rows> rows = inspection.rows(at);
    found.problem = rows.problem;
    if (!rows) return found;
    measured = rows->log_rho.size() == rows->tokens.size() ? rows->tokens.size() : 0;
    for (std::size_t i = 0; i < measured; ++i) look.weight[static_cast<std::size_t>(rows->tokens[i])] = std::exp(rows->log_rho[i]);
  } else {
    const Datum<RowSeries> rows = row_series(inspection, at, false);
    found.problem = rows.problem;
    if (!rows || at.step >= static_cast<int>(rows->steps.size())) return found;
    const RowSeries::Step& step = rows->steps[static_cast<std::size_t>(at.step)];
    measured = step.ratio.size();
    for (std::size_t i = 0; i < measured; ++i) look.weight[static_cast<std::size_t>(step.ratio_tokens[i])] = step.ratio[i];
  }
  if (measured == 0) {
    found.problem = heat == TokenLook::Heat::Rho ? "Rho was not measured at this step. Record it with shadow passes (--shadow all)."
                                                 : "No row has both rho used and rho true at this step: only sparse steps of Re-ttention do.";
    return found;
  }
  look.source = std::to_string(measured) + " of " + std::to_string(geometry.tokens()) + " rows, head " + std::to_string(at.head);
  found.value = std::make_shared<const TokenLook>(std::move(look));
  return found;
}

std::shared_ptr<const Bitmap> look_bitmap(const TokenLook& look, const TokenGeometry& geometry, int grid_frame, const Theme& theme) {
  const ColourMap map("magma", theme), signs("diverging", theme);
  std::vector<std::uint8_t> rgba(std::size_t{4} * geometry.rows() * geometry.columns(), 0);
  for (int row = 0; row < geometry.rows(); ++row) {
    for (int column = 0; column < geometry.columns(); ++column) {
      const double weight = look.weight[geometry.token(grid_frame, row, column)];
      if (look.heat != TokenLook::Heat::Attention) {
        if (std::isnan(weight)) continue;
        const bool drift = look.heat == TokenLook::Heat::Drift;
        const Rgb colour = drift ? signs.of(weight, {ValueScale::Kind::Log2, 1.0 / 1024}, {-1, 1}) : map.at(weight);
        std::uint8_t* pixel = rgba.data() + std::size_t{4} * (std::size_t(row) * geometry.columns() + column);
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>((c == 0 ? colour.r : c == 1 ? colour.g : colour.b) * 255 + 0.5F);
        pixel[3] = 230;
        continue;
      }
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

std::vector<double> word_weights(const TokenLook& look, const std::vector<TokenGeometry::Word>& words, bool mean) {
  std::vector<double> weights;
  for (const TokenGeometry::Word& word : words) {
    double sum = 0, count = 0;
    for (const std::int64_t token : word.tokens) {
      if (token < 0 || token >= static_cast<std::int64_t>(look.weight.size()) || std::isnan(look.weight[token])) continue;
      sum += look.weight[token];
      ++count;
    }
    weights.push_back(mean && count > 0 ? sum / count : sum);
  }
  return weights;
}

}  // namespace ditscope::views
