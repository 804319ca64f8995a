#include "core/capture/capture_reader.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <list>
#include <nlohmann/json.hpp>

#include "core/capture/capture_schema.h"
#include "core/capture/capture_source.h"
#include "core/capture/encoding.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;
using sqlite::Statement;

constexpr const char* kRunColumns =
    "SELECT r.run_id, r.name, r.method, r.parameters, r.schedule, r.branches, r.request, r.dtype, r.level, r.selection, r.token_order, "
    "r.state, r.started_utc, r.ended_utc, r.total_ms, r.attention_ms, r.capture_ms, r.shadow_ms, r.kept_ratio_requested, "
    "r.kept_ratio_achieved, r.peak_bytes, r.metrics, q.prompt, q.negative_prompt, q.seed, q.noise_hash, q.steps, q.guidance_scale, "
    "q.scheduler, q.frames, q.height_px, q.width_px, q.fps, q.grid_frames, q.grid_rows, q.grid_columns, q.text_tokens, q.text_first, "
    "q.words, m.name, m.class, m.config, m.fingerprint, m.layers, m.heads, m.head_width, e.json "
    "FROM runs r JOIN requests q USING (request_id) JOIN models m USING (model_id) JOIN environments e USING (environment_id) ";

// Views hold arrays of these sizes; the largest models have 120,000 tokens and 100,000 heads of all layers and steps.
constexpr std::int64_t kMost_tokens = std::int64_t{1} << 20, kMost_branches = 16, kMost_heads = std::int64_t{1} << 22;
constexpr std::int64_t kLargestRead_bytes = std::int64_t{1} << 31;

[[noreturn]] void corrupt(const std::string& expected, const std::string& got) {
  throw Error(ErrorKind::Corrupt, "expected " + expected + ", got " + got + "; the capture is damaged, record it again");
}

std::int64_t ranged(std::int64_t value, std::int64_t low, std::int64_t high, const char* what) {
  if (value < low || value > high)
    corrupt(std::string(what) + " of " + std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
  return value;
}

int index(const Statement& row, int column, std::int64_t low, std::int64_t high, const char* what) {
  return static_cast<int>(ranged(row.integer(column), low, high, what));
}

CaptureRun run_of(const Statement& row) {
  CaptureRun r;
  int c = 0;
  const auto text = [&] { return row.text(c++); };
  const auto real = [&] { return row.optional_real(c++); };
  const auto count = [&](std::int64_t low, std::int64_t high, const char* what) { return index(row, c++, low, high, what); };
  r.run_id = count(1, 1 << 20, "a run");
  r.name = text(), r.method = text(), r.parameters = text(), r.schedule = text();
  const std::string branches = text();
  r.request = text(), r.dtype = text(), r.level = text(), r.selection = text(), r.token_order = text();
  r.state = text(), r.started_utc = text(), r.ended_utc = text();
  r.total_ms = real(), r.attention_ms = real(), r.capture_ms = real(), r.shadow_ms = real();
  r.kept_ratio_requested = real(), r.kept_ratio_achieved = real();
  r.peak_bytes = row.integer(c++);
  r.metrics = text(), r.prompt = text(), r.negative_prompt = text(), r.seed = text(), r.noise_hash = text();
  r.steps = count(0, 1 << 17, "steps");
  r.guidance_scale = row.real(c++);
  r.scheduler = text();
  r.frames = count(0, 1 << 20, "frames"), r.height_px = count(0, 1 << 16, "a height"), r.width_px = count(0, 1 << 16, "a width");
  r.fps = row.real(c++);
  r.grid_frames = count(1, 1 << 20, "grid frames"), r.grid_rows = count(1, 1 << 16, "grid rows");
  r.grid_columns = count(1, 1 << 16, "grid columns"), r.text_tokens = count(0, 1 << 24, "text tokens");
  r.text_first = row.integer(c++) != 0;
  r.words = text(), r.model.name = text(), r.model.class_name = text(), r.model.config = text(), r.model.fingerprint = text();
  r.model.layers = count(1, 1 << 16, "layers"), r.model.heads = count(1, 1 << 16, "heads");
  r.model.head_width = count(1, 1 << 16, "a head width");
  r.environment = text();
  ranged(r.tokens(), 1, kMost_tokens, "tokens");
  for (const auto& branch : parse_json(branches, "branches")) {
    if (!branch.is_string()) corrupt("names of branches", branches.substr(0, 80));
    r.branches.push_back(branch.get<std::string>());
  }
  ranged(static_cast<std::int64_t>(r.branches.size()), 1, kMost_branches, "branches");
  ranged(std::int64_t{r.model.layers} * r.model.heads * std::max(r.steps, 1), 1, kMost_heads, "heads of all layers and steps");
  return r;
}

CaptureArrayInfo array_of(const Statement& row) {
  CaptureArrayInfo a;
  CaptureTensor& h = a.header;
  a.tensor_id = ranged(row.integer(0), 1, (std::int64_t{1} << 40) - 1, "a tensor");
  a.data_id = ranged(row.integer(1), 1, a.tensor_id, "the owner of a tensor's data");
  a.run_id = index(row, 2, 0, 1 << 20, "a run");
  h.kind = row.text(3);
  h.step = index(row, 4, -1, 1 << 20, "a step");
  h.layer = index(row, 5, -1, 1 << 16, "a layer");
  h.branch = index(row, 6, -1, 1 << 16, "a branch");
  h.block_tokens = index(row, 7, 1, std::numeric_limits<int>::max(), "tokens a cell");
  h.source = row.text(8), h.dtype = row.text(9);
  for (const auto& size : parse_json(row.text(10), "a shape")) {
    if (!size.is_number_integer()) corrupt("a shape of whole numbers", row.text(10).substr(0, 80));
    h.shape.push_back(size.get<std::int64_t>());
  }
  const std::int64_t items = element_count(h.shape);
  a.chunk_items = row.integer(11);
  h.encoding = row.text(12);
  h.scale = row.real(13), h.offset = row.real(14);
  h.filter = row.text(15);
  const int width = std::max(element_bytes(h.dtype), 1);
  ranged(a.chunk_items, 1, static_cast<std::int64_t>(capture_file::kLargestChunk_bytes) / width, "elements a chunk");
  ranged((items + a.chunk_items - 1) / a.chunk_items, 1, capture_file::kChunksPerTensor, "chunks");
  if (h.filter == "up") {
    if (a.chunk_items < items && a.chunk_items % h.shape.back() != 0) corrupt("chunks of whole rows", std::to_string(a.chunk_items) + " elements");
  } else if (h.filter != "none" && h.filter != "shuffle") {
    throw Error(ErrorKind::Unsupported, "The filter \"" + h.filter.substr(0, 40) + "\" of this capture is not known here. Open it with the version that wrote it.");
  }
  return a;
}

/// A state as the file says it, or what became of a recording whose writer is gone. @param live  asked before the rows were read
void name_state(std::string& state, bool live, sqlite::Database& database, int run_id) {
  if (live || state != "recording") return;
  Statement last(database, "SELECT max(step) FROM steps WHERE run_id = ?");
  last.bind(run_id);
  const auto step = last.step() ? last.optional_real(0) : std::nullopt;
  state = step ? "interrupted: complete up to step " + std::to_string(static_cast<std::int64_t>(*step)) : "interrupted: before its first step was complete";
}

constexpr const char* kArrayColumns =
    "SELECT tensor_id, data_id, run_id, kind, step, layer, branch, block_tokens, source, dtype, shape, chunk_items, encoding, scale, "
    "offset, filter FROM tensors ";

}  // namespace

struct CaptureReader::Impl {
  explicit Impl(const std::filesystem::path& path) : source(path) {}

  /// Rows of a step, or of a run where step is -1.
  template <typename Bind>
  std::vector<CaptureArrayInfo> arrays(const std::string& where, const Bind& bind) {
    Statement rows(source.database(), kArrayColumns + where);
    bind(rows);
    std::vector<CaptureArrayInfo> found;
    while (rows.step()) found.push_back(array_of(rows));
    return found;
  }

  std::vector<std::uint8_t> read(const CaptureArrayInfo& a, std::int64_t first_item, std::int64_t count) {
    const auto width = static_cast<std::size_t>(element_bytes(a.header.dtype));
    if (width == 0) decode(a.header, {});  // throws
    if (count > kLargestRead_bytes / static_cast<std::int64_t>(width))
      throw Error(ErrorKind::InvalidArgument, "The " + a.header.kind + " is too large to be read at once; read some items along its first axis.");
    const std::int64_t items = element_count(a.header.shape), first_chunk = first_item / a.chunk_items;
    const std::int64_t last_chunk = (first_item + count - 1) / a.chunk_items;
    std::vector<std::uint8_t> bytes;
    Statement rows(source.database(), "SELECT chunk_id, codec, crc32, data FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id");
    const std::int64_t base = a.data_id * capture_file::kChunksPerTensor;
    rows.bind(base + first_chunk).bind(base + last_chunk);
    for (std::int64_t n = first_chunk; n <= last_chunk; ++n) {
      if (!rows.step() || rows.integer(0) != base + n) corrupt("chunk " + std::to_string(n) + " of the " + a.header.kind, "none");
      const StoredChunk chunk{static_cast<int>(ranged(rows.integer(1), 0, 1, "a codec")), rows.blob(3)};
      if (static_cast<std::int64_t>(crc32_of(chunk.data)) != rows.integer(2)) corrupt("the CRC of a chunk of the " + a.header.kind, "another");
      const std::int64_t begin = n * a.chunk_items, size = std::min(a.chunk_items, items - begin);
      const auto part = unpack_chunk(chunk, a.header.filter, static_cast<int>(width), a.header.shape.back(), static_cast<std::size_t>(size) * width);
      const std::int64_t from = std::max(first_item, begin), to = std::min(first_item + count, begin + size);
      bytes.insert(bytes.end(), part.begin() + (from - begin) * static_cast<std::int64_t>(width), part.begin() + (to - begin) * static_cast<std::int64_t>(width));
    }
    return bytes;
  }

  std::vector<std::uint8_t> whole(std::int64_t tensor_id, const char* kind, const char* dtype, std::int64_t items) {
    const auto found = arrays("WHERE tensor_id = ?", [&](Statement& rows) { rows.bind(tensor_id); });
    if (found.size() != 1 || found[0].header.kind != kind || found[0].header.dtype != dtype || element_count(found[0].header.shape) != items)
      corrupt(std::string("a ") + kind + " of " + std::to_string(items) + " elements", found.empty() ? "none" : "another array");
    return read(found[0], 0, items);
  }

  /// Slot -> token of a mask; nothing for id 0.
  std::vector<std::uint32_t> order(std::int64_t tensor_id, std::int64_t slots, std::int64_t tokens) {
    if (tensor_id == 0) return {};
    const auto bytes = whole(tensor_id, "order", "<u4", slots);
    std::vector<std::uint32_t> order(static_cast<std::size_t>(slots));
    std::memcpy(order.data(), bytes.data(), bytes.size());
    for (const std::uint32_t token : order) ranged(token, 0, tokens, "a token of a slot");
    return order;
  }

  CaptureSource source;
  std::map<std::int64_t, std::shared_ptr<const CapturePlan>> plans;
};

CaptureReader::CaptureReader(const std::filesystem::path& file) : impl_(std::make_unique<Impl>(file)) {}
CaptureReader::~CaptureReader() = default;

const std::filesystem::path& CaptureReader::file() const { return impl_->source.file(); }

CaptureMeta CaptureReader::meta() const {
  const bool live = impl_->source.live();
  return impl_->source.read([&](sqlite::Database& database) {
    CaptureMeta meta;
    Statement rows(database, "SELECT key, value FROM meta");
    while (rows.step()) meta.values[rows.text(0)] = rows.text(1);
    meta.version = impl_->source.version();
    meta.state = meta.values["state"];
    name_state(meta.state, live, database, static_cast<int>(database.integer("SELECT max(run_id) FROM runs")));
    std::error_code unknown;
    meta.file_bytes = static_cast<std::int64_t>(std::filesystem::file_size(file(), unknown));
    return meta;
  });
}

bool CaptureReader::live() const { return impl_->source.live(); }

std::int64_t CaptureReader::data_version() const {
  return impl_->source.read([](sqlite::Database& database) { return database.integer("PRAGMA data_version"); });
}

std::vector<CaptureRun> CaptureReader::runs() const {
  const bool live = impl_->source.live();
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, std::string(kRunColumns) + "ORDER BY r.run_id");
    std::vector<CaptureRun> runs;
    while (rows.step()) runs.push_back(run_of(rows));
    for (CaptureRun& run : runs) name_state(run.state, live, database, run.run_id);
    return runs;
  });
}

CaptureRun CaptureReader::run(int run_id) const {
  const bool live = impl_->source.live();
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, std::string(kRunColumns) + "WHERE r.run_id = ?");
    rows.bind(run_id);
    if (rows.step()) {
      CaptureRun run = run_of(rows);
      name_state(run.state, live, database, run_id);
      return run;
    }
    throw Error(ErrorKind::NotFound, "There is no run " + std::to_string(run_id) + " in " + file().string() + "; runs are numbered from 1 to " +
                                         std::to_string(database.integer("SELECT count(*) FROM runs")) + ".");
  });
}

std::vector<CaptureStep> CaptureReader::steps(int run_id) const {
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, "SELECT " + capture_file::column_names<CaptureStep>() + " FROM steps WHERE run_id = ? ORDER BY step");
    rows.bind(run_id);
    std::vector<CaptureStep> steps;
    while (rows.step()) {
      steps.emplace_back();
      capture_file::read_columns(rows, steps.back());
      ranged(steps.back().step, 0, 1 << 20, "a step");
      ranged(steps.back().replay_from, 0, steps.back().step, "the step from which a replay runs");
    }
    return steps;
  });
}

std::vector<CaptureCall> CaptureReader::calls(int run_id, int step, bool with_heads) const {
  return impl_->source.read([&](sqlite::Database& database) {
    const std::string where = step < 0 ? " WHERE c.run_id = ?1 AND ?2 < 0" : " WHERE c.run_id = ?1 AND c.step = ?2";
    // Only complete steps: the row of the step is written with its calls.
    Statement rows(database, "SELECT " + capture_file::column_names<CaptureCall>(impl_->source.version()) + " FROM calls c" + where + " ORDER BY step, layer, branch");
    rows.bind(run_id).bind(step);
    std::vector<CaptureCall> calls;
    std::map<std::int64_t, std::size_t> position;
    while (rows.step()) {
      CaptureCall& call = calls.emplace_back();
      capture_file::read_columns(rows, call);
      ranged(call.layer, 0, 1 << 16, "a layer");
      ranged(call.branch, 0, 1 << 16, "a branch");
      position[call.call_id] = calls.size() - 1;
    }
    if (!with_heads) return calls;
    Statement heads(database, "SELECT call_id, " + capture_file::column_names<CaptureHead>(impl_->source.version()) +
                                  " FROM heads WHERE call_id IN (SELECT c.call_id FROM calls c" + where + ") ORDER BY call_id, head");
    heads.bind(run_id).bind(step);
    while (heads.step()) {
      const auto found = position.find(heads.integer(0));
      if (found == position.end()) continue;
      CaptureHead& head = calls[found->second].heads.emplace_back();
      capture_file::read_columns(heads, head, 1);
      ranged(head.head, 0, 1 << 16, "a head");
    }
    return calls;
  });
}

std::optional<CaptureCall> CaptureReader::call(int run_id, int step, int layer, int branch) const {
  for (CaptureCall& call : calls(run_id, step))
    if (call.layer == layer && call.branch == branch) return std::move(call);
  return std::nullopt;
}

const std::vector<std::string>& CaptureReader::head_columns() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    CaptureHead head;
    capture_file::visit_columns(head, [&](const char* name, auto&) {
      if (std::string(name) != "head") names.emplace_back(name);
    });
    return names;
  }();
  return kNames;
}

std::vector<CaptureReader::HeadValue> CaptureReader::head_values(int run_id, const std::string& column, std::optional<int> step) const {
  const auto& names = head_columns();
  if (std::find(names.begin(), names.end(), column) == names.end())
    throw Error(ErrorKind::NotFound, "There is no quantity \"" + column + "\" of heads; there are " + Json(names).dump() + ".");
  const bool there = impl_->source.version() >= 1000 * capture_file::kMajor + capture_file::column_minor<CaptureHead>(column);
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, "SELECT c.step, c.layer, c.branch, h.head, " + (there ? "h." + column : "NULL") +
                                 " FROM calls c JOIN heads h USING (call_id) WHERE c.run_id = ?1 AND (?2 < 0 OR c.step = ?2) "
                                 "ORDER BY c.step, c.layer, c.branch, h.head");
    rows.bind(run_id).bind(step.value_or(-1));
    std::vector<HeadValue> values;
    while (rows.step()) {
      values.push_back({index(rows, 0, 0, 1 << 20, "a step"), index(rows, 1, 0, 1 << 16, "a layer"), index(rows, 2, 0, 1 << 16, "a branch"),
                        index(rows, 3, 0, 1 << 16, "a head"), rows.optional_real(4).value_or(std::nan(""))});
    }
    return values;
  });
}

std::vector<CaptureGap> CaptureReader::gaps() const {
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, "SELECT run_id, step, layer, branch, kind, bytes, reason FROM gaps ORDER BY gap_id");
    std::vector<CaptureGap> gaps;
    while (rows.step()) {
      gaps.push_back({static_cast<int>(rows.integer(0)), static_cast<int>(rows.integer(1)), static_cast<int>(rows.integer(2)),
                      static_cast<int>(rows.integer(3)), rows.text(4), rows.integer(5), rows.text(6)});
    }
    return gaps;
  });
}

std::vector<CaptureBookmark> CaptureReader::bookmarks(int run_id) const {
  return impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, "SELECT bookmark_id, title, note, colour, view, run_id, step, layer, head, branch FROM bookmarks WHERE run_id = ? "
                             "ORDER BY bookmark_id LIMIT 1000");
    rows.bind(run_id);
    std::vector<CaptureBookmark> marks;
    while (rows.step()) {
      marks.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), index(rows, 5, 0, 1 << 30, "a run"),
                       index(rows, 6, -1, 1 << 20, "a step"), index(rows, 7, -1, 1 << 16, "a layer"), index(rows, 8, -1, 1 << 16, "a head"),
                       index(rows, 9, -1, 1 << 16, "a branch")});
    }
    return marks;
  });
}

std::shared_ptr<const CapturePlan> CaptureReader::plan(std::int64_t plan_id, std::int64_t tokens) const {
  if (const auto found = impl_->plans.find(plan_id); found != impl_->plans.end() && found->second->tokens == tokens) return found->second;
  auto plan = impl_->source.read([&](sqlite::Database& database) {
    auto p = std::make_shared<CapturePlan>();
    p->plan_id = plan_id;
    p->tokens = p->queries = p->keys = tokens;
    p->q_blocks = p->k_blocks = static_cast<int>((tokens + 63) / 64);
    p->kind = "dense";
    if (plan_id == 0) return p;
    Statement row(database,
                  "SELECT kind, q_block_tokens, k_block_tokens, q_blocks, k_blocks, tokens, queries, keys, kept_blocks, kept_ratio, mask_id, "
                  "partial_blocks_id, partial_bits_id, q_order_id, k_order_id FROM plans WHERE plan_id = ?");
    row.bind(plan_id);
    if (!row.step()) throw Error(ErrorKind::NotFound, "There is no plan " + std::to_string(plan_id) + " in " + file().string() + ".");
    p->kind = row.text(0);
    p->q_block_tokens = index(row, 1, 64, 64, "tokens a query block");
    p->k_block_tokens = index(row, 2, 64, 64, "tokens a key block");
    ranged(row.integer(5), tokens, tokens, "tokens of a mask");
    const bool ordered = row.integer(13) != 0 || row.integer(14) != 0;
    p->queries = ranged(row.integer(6), tokens, ordered ? tokens * 64 : tokens, "query slots of a mask");
    p->keys = ranged(row.integer(7), ordered ? 1 : tokens, ordered ? tokens * 64 : tokens, "key slots of a mask");
    p->q_blocks = index(row, 3, (p->queries + 63) / 64, (p->queries + 63) / 64, "query blocks");
    p->k_blocks = index(row, 4, (p->keys + 63) / 64, (p->keys + 63) / 64, "key blocks");
    p->kept_blocks = row.integer(8);
    p->kept_ratio = row.real(9);
    const std::int64_t row_bytes = (p->k_blocks + 7) / 8;
    p->block_bits = impl_->whole(row.integer(10), "mask", "|u1", p->q_blocks * row_bytes);
    p->q_order = impl_->order(row.integer(13), p->queries, tokens);
    p->k_order = impl_->order(row.integer(14), p->keys, tokens);
    if (const std::int64_t blocks_id = row.integer(11); blocks_id != 0) {
      const auto info = impl_->arrays("WHERE tensor_id = ?", [&](Statement& rows) { rows.bind(blocks_id); });
      if (info.size() != 1) corrupt("the cut blocks of a mask", "none");
      const std::int64_t count = ranged(element_count(info[0].header.shape), 1, std::int64_t{p->q_blocks} * p->k_blocks, "cut blocks");
      const auto blocks = impl_->whole(blocks_id, "mask_partial_blocks", "<u4", count);
      const auto bits = impl_->whole(row.integer(12), "mask_partial_bits", "<u8", count * 64);
      p->partial_blocks.resize(static_cast<std::size_t>(count));
      p->partial_bits.resize(static_cast<std::size_t>(count) * 64);
      std::memcpy(p->partial_blocks.data(), blocks.data(), blocks.size());
      std::memcpy(p->partial_bits.data(), bits.data(), bits.size());
      if (!std::is_sorted(p->partial_blocks.begin(), p->partial_blocks.end())) corrupt("cut blocks in order", "another order");
    }
    const auto reasons = impl_->arrays("WHERE run_id = 0 AND kind = 'mask_reasons' AND step = ?", [&](Statement& rows) { rows.bind(plan_id); });
    if (!reasons.empty()) {
      p->reasons = impl_->whole(reasons[0].tensor_id, "mask_reasons", "|u1", std::int64_t{p->q_blocks} * p->k_blocks);
      for (std::uint8_t& reason : p->reasons) reason = std::min(reason, static_cast<std::uint8_t>(KeepReason::Other));
    }
    return p;
  });
  if (impl_->plans.size() >= 64) impl_->plans.clear();
  impl_->plans[plan_id] = plan;
  return plan;
}

std::vector<CaptureArrayInfo> CaptureReader::arrays(int run_id, const CaptureQuery& query) const {
  return impl_->source.read([&](sqlite::Database&) {
    std::string where = "WHERE run_id = ?";
    if (!query.kind.empty()) where += " AND kind = ?";
    if (query.step) where += " AND step = ?";
    if (query.layer) where += " AND layer = ?";
    if (query.branch) where += " AND branch = ?";
    return impl_->arrays(where + " ORDER BY kind, step, layer, branch, block_tokens, tensor_id", [&](Statement& rows) {
      rows.bind(run_id);
      if (!query.kind.empty()) rows.bind(query.kind);
      if (query.step) rows.bind(*query.step);
      if (query.layer) rows.bind(*query.layer);
      if (query.branch) rows.bind(*query.branch);
    });
  });
}

std::optional<CaptureArrayInfo> CaptureReader::find(int run_id, const CaptureQuery& query) const {
  std::vector<CaptureArrayInfo> found = arrays(run_id, query);
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

CaptureArrayInfo CaptureReader::get(int run_id, const CaptureQuery& query) const {
  if (auto found = find(run_id, query)) return *std::move(found);
  run(run_id);
  std::string there;
  impl_->source.read([&](sqlite::Database& database) {
    Statement rows(database, "SELECT kind, count(*), min(step), max(step) FROM tensors WHERE run_id = ? GROUP BY kind");
    rows.bind(run_id);
    while (rows.step())
      there += (there.empty() ? "" : ", ") + rows.text(0) + " (" + std::to_string(rows.integer(1)) + ", steps " + std::to_string(rows.integer(2)) +
               " to " + std::to_string(rows.integer(3)) + ")";
    return 0;
  });
  const auto said = [](const char* name, const std::optional<int>& value) { return value ? std::string(", ") + name + " " + std::to_string(*value) : ""; };
  throw Error(ErrorKind::NotFound, "Run " + std::to_string(run_id) + " holds no " + query.kind + said("step", query.step) + said("layer", query.layer) +
                                       said("branch", query.branch) + ". It holds: " + (there.empty() ? "nothing" : there) + ".");
}

std::vector<std::uint8_t> CaptureReader::bytes(const CaptureArrayInfo& array, std::int64_t first, std::int64_t count) const {
  return impl_->source.read([&](sqlite::Database&) {
    const std::int64_t along = array.header.shape.front(), each = element_count(array.header.shape) / along;
    if (count < 0) count = along - first;
    if (first < 0 || count < 1 || first + count > along)
      throw Error(ErrorKind::InvalidArgument, "expected items within 0 to " + std::to_string(along) + " of the " + array.header.kind + ", got " +
                                                  std::to_string(first) + " to " + std::to_string(first + count));
    return impl_->read(array, first * each, count * each);
  });
}

std::vector<float> CaptureReader::values(const CaptureArrayInfo& array, std::int64_t first, std::int64_t count) const {
  return decode(array.header, bytes(array, first, count));
}

std::vector<std::int64_t> CaptureReader::token_order(const CaptureRun& run) const {
  const std::int64_t tokens = run.tokens(), sites = std::int64_t{run.grid_rows} * run.grid_columns, visual = sites * run.grid_frames;
  const std::int64_t begin = run.text_first ? run.text_tokens : 0;
  std::vector<std::int64_t> order(static_cast<std::size_t>(tokens));
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t v = i - begin;
    const bool moved = run.token_order == "position_major" && v >= 0 && v < visual;
    order[static_cast<std::size_t>(i)] = moved ? begin + v % run.grid_frames * sites + v / run.grid_frames : i;
  }
  return order;
}

TokenPlace token_place(const CaptureRun& run, std::int64_t raster_token) {
  const std::int64_t sites = std::int64_t{run.grid_rows} * run.grid_columns, visual = sites * run.grid_frames;
  const std::int64_t v = raster_token - (run.text_first ? run.text_tokens : 0);
  if (v < 0 || v >= visual) return {-1, static_cast<int>(run.text_first ? raster_token : raster_token - visual), 0};
  return {static_cast<int>(v / sites), static_cast<int>(v % sites / run.grid_columns), static_cast<int>(v % run.grid_columns)};
}

}  // namespace ditscope
