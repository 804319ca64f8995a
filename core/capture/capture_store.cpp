#include "core/capture/capture_store.h"

#include <sqlite3.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/capture/capture_schema.h"
#include "core/capture/encoding.h"
#include "core/capture/sha256.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using sqlite::Database;

/// Free space that must stay beyond what a commit writes, so that the end of the capture can still be written.
constexpr std::uintmax_t kFreeSpace_bytes = std::uintmax_t{64} << 20;
/// A commit that does not fit while the file is so near its budget is the budget's doing.
constexpr std::int64_t kNearBudget_bytes = std::int64_t{64} << 20;
constexpr std::uintmax_t kCheckpoint_bytes = std::uintmax_t{64} << 20;
/// Plans whose address is remembered; methods that choose anew at every call make one after the other.
constexpr std::size_t kKnownPlans = 4096;

std::uintmax_t size_of(const fs::path& file) {
  std::error_code missing;
  const std::uintmax_t bytes = fs::file_size(file, missing);
  return missing ? 0 : bytes;
}

std::unique_ptr<CaptureLease> make_file(const fs::path& file, const CaptureOptions& options) {
  if (CaptureLease::held(file)) CaptureLease taken(file);  // throws: another run records into it
  const fs::path fresh = file.string() + ".new";
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(fresh.string() + suffix);
  {
    Database database(fresh, Database::Mode::ReadWrite);
    database.execute("PRAGMA page_size = " + std::to_string(capture_file::kPage_bytes));
    database.execute("PRAGMA auto_vacuum = NONE");
    database.text("PRAGMA journal_mode = WAL");
    sqlite::Transaction transaction(database);
    for (const std::string& table : capture_file::schema()) database.execute(table);
    database.execute("PRAGMA application_id = " + std::to_string(capture_file::kApplicationId));
    database.execute("PRAGMA user_version = " + std::to_string(1000 * capture_file::kMajor + capture_file::kMinor));
    const std::map<std::string, std::string> meta{{"format", "ditcap"},
                                                  {"writer", "ditscope " DITSCOPE_VERSION},
                                                  {"created_utc", utc_now()},
                                                  {"min_reader", std::to_string(1000 * capture_file::kMajor)},
                                                  {"budget_bytes", std::to_string(options.budget_bytes)},
                                                  {"state", "recording"}};
    for (const auto& [key, value] : meta) sqlite::Statement(database, "INSERT INTO meta VALUES (?, ?)").bind(key).bind(value).run();
    transaction.commit();
    database.integer("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  // A log that an older capture of this name left behind must not be taken for ours.
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(file.string() + suffix);
  auto lease = std::make_unique<CaptureLease>(file);
  fs::rename(fresh, file);
  return lease;
}

std::span<const std::uint8_t> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::uint8_t*>(data), size};
}

}  // namespace

CaptureStore::CaptureStore(const fs::path& file, const CaptureOptions& options) : file_(fs::absolute(file)), options_(options) {
  try {
    fs::create_directories(file_.parent_path());
    if (fs::is_directory(file_)) throw Error(ErrorKind::Device, file_.string() + " is a folder; give the capture another name");
    lease_ = make_file(file_, options_);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::Device, "cannot make the capture " + file_.string() + ": " + error.code().message() + "; choose another folder");
  }
  database_ = std::make_unique<Database>(file_, Database::Mode::ReadWrite);
  database_->execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192");
  if (options_.budget_bytes > 0) database_->integer("PRAGMA max_page_count = " + std::to_string(options_.budget_bytes / capture_file::kPage_bytes));
  totals_.bytes = used_bytes();
}

sqlite::Statement& CaptureStore::statement(const std::string& sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) found = statements_.try_emplace(sql, *database_, sql).first;
  return found->second;
}

std::int64_t CaptureStore::used_bytes() { return database_->integer("PRAGMA page_count") * capture_file::kPage_bytes; }

void CaptureStore::begin() {
  if (in_transaction_) return;
  std::error_code unknown;
  const fs::space_info space = fs::space(file_.parent_path(), unknown);
  if (!unknown && space.available < size_of(file_.string() + "-wal") + kFreeSpace_bytes)
    throw Error(ErrorKind::Device, "the disk is nearly full (" + std::to_string(space.available >> 20) + " MiB free)");
  database_->execute("BEGIN IMMEDIATE");
  in_transaction_ = true;
}

void CaptureStore::commit() {
  if (!in_transaction_) return;
  database_->execute("COMMIT");
  in_transaction_ = false;
  uncommitted_ids_.clear();
  if (size_of(file_.string() + "-wal") >= kCheckpoint_bytes) database_->integer("PRAGMA wal_checkpoint(PASSIVE)");
}

void CaptureStore::roll_back() {
  if (!in_transaction_) return;
  sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);  // some errors have rolled back by themselves
  in_transaction_ = false;
  for (const std::string& key : uncommitted_ids_) ids_.erase(key);
  uncommitted_ids_.clear();
  known_plans_.clear();
}

void CaptureStore::stop(const std::string& reason) {
  totals_.capturing = false;
  totals_.message = reason;
  statements_.clear();
  roll_back();
  try {  // rewrites rows in place: needs no new page
    sqlite::Statement(*database_, "UPDATE meta SET value = ? WHERE key = 'state'").bind("stopped: " + reason).run();
    sqlite::Statement(*database_, "UPDATE runs SET state = ? WHERE run_id = ?").bind("stopped: " + reason).bind(run_id_).run();
  } catch (const Error&) {  // the file says "recording" then, as after a crash
  }
}

void CaptureStore::guarded(const std::function<void()>& work) {
  if (!totals_.capturing) return;
  try {
    work();
    totals_.bytes = used_bytes();
  } catch (const std::exception& error) {
    // The budget is SQLite's own limit on pages; the disk is full without it.
    const bool full = options_.budget_bytes > 0 && (sqlite3_extended_errcode(database_->handle()) & 0xFF) == SQLITE_FULL &&
                      totals_.bytes + kNearBudget_bytes >= options_.budget_bytes;
    stop(full ? "the budget of " + std::to_string(options_.budget_bytes) + " bytes is used up" : error.what());
  }
}

std::int64_t CaptureStore::row_id(const std::string& table, const std::string& key, const std::function<void(std::int64_t)>& insert) {
  const auto [found, fresh] = ids_.try_emplace(table + "\n" + key, 0);
  if (!fresh) return found->second;
  uncommitted_ids_.push_back(found->first);
  found->second = database_->integer("SELECT count(*) FROM " + table) + 1;
  insert(found->second);
  return found->second;
}

void CaptureStore::begin_run(const CaptureRun& r, const CaptureEstimate& reserve) {
  begin();
  run_id_ = r.run_id;
  run_steps_ = r.steps;
  run_steps_done_ = 0;
  reserve_ = reserve;
  const CaptureModel& m = r.model;
  const std::int64_t model = row_id("models", m.name + "\n" + m.fingerprint + "\n" + m.config, [&](std::int64_t id) {
    sqlite::Statement(*database_, "INSERT INTO models VALUES (?,?,?,?,?,?,?,?)")
        .bind(id).bind(m.name).bind(m.class_name).bind(m.config).bind(m.fingerprint).bind(m.layers).bind(m.heads).bind(m.head_width).run();
  });
  const std::int64_t environment = row_id("environments", r.environment, [&](std::int64_t id) {
    sqlite::Statement(*database_, "INSERT INTO environments VALUES (?,?,?)")
        .bind(id).bind(Sha256::hex(Sha256().add(r.environment).finish())).bind(r.environment).run();
  });
  const Json asked{r.prompt, r.negative_prompt, r.seed, r.noise_hash, r.steps, r.guidance_scale, r.scheduler, r.frames, r.height_px, r.width_px, r.words};
  const std::int64_t request = row_id("requests", asked.dump(-1, ' ', false, Json::error_handler_t::replace), [&](std::int64_t id) {
    sqlite::Statement(*database_, "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
        .bind(id).bind(r.prompt).bind(r.negative_prompt).bind(r.seed).bind(r.noise_hash).bind(r.steps).bind(r.guidance_scale)
        .bind(r.scheduler).bind(r.frames).bind(r.height_px).bind(r.width_px).bind(r.fps).bind(r.grid_frames).bind(r.grid_rows)
        .bind(r.grid_columns).bind(r.text_tokens).bind(r.text_first ? 1 : 0).bind(r.words).run();
  });
  sqlite::Statement(*database_, "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,'recording',?,'',NULL,NULL,NULL,NULL,?,NULL,0,'{}')")
      .bind(r.run_id).bind(request).bind(model).bind(environment).bind(r.name).bind(r.method).bind(r.parameters).bind(r.schedule)
      .bind(Json(r.branches).dump()).bind(r.request).bind(r.dtype).bind(r.level).bind(r.selection).bind(r.token_order)
      .bind(r.started_utc).bind(r.kept_ratio_requested).run();
  commit();
}

void CaptureStore::end_run(const CaptureRun& r) {
  begin();
  sqlite::Statement(*database_,
                    "UPDATE runs SET state = ?, ended_utc = ?, total_ms = ?, attention_ms = ?, capture_ms = ?, shadow_ms = ?, "
                    "kept_ratio_requested = ?, kept_ratio_achieved = ?, peak_bytes = ?, metrics = ? WHERE run_id = ?")
      .bind(r.state).bind(utc_now()).bind(r.total_ms).bind(r.attention_ms).bind(r.capture_ms).bind(r.shadow_ms)
      .bind(r.kept_ratio_requested).bind(r.kept_ratio_achieved).bind(r.peak_bytes).bind(r.metrics).bind(run_id_).run();
  commit();
}

void CaptureStore::end_step(CaptureStep& step) {
  begin();
  step.run_id = run_id_;
  if (!step.latent_error_ratio) step.latent_error_ratio = step_latent_error_;
  step_latent_error_.reset();
  auto& insert = statement("INSERT INTO steps (" + capture_file::column_names<CaptureStep>() + ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  capture_file::bind_columns(insert, step);
  insert.run();
  commit();
  ++totals_.steps;
  ++run_steps_done_;
}

void CaptureStore::add(const CaptureGap& gap) {
  begin();
  statement("INSERT INTO gaps (run_id, step, layer, branch, kind, bytes, reason) VALUES (?,?,?,?,?,?,?)")
      .bind(gap.run_id).bind(gap.step).bind(gap.layer).bind(gap.branch).bind(gap.kind).bind(gap.bytes).bind(gap.reason).run();
  ++totals_.gaps;
  totals_.gap_bytes += gap.bytes;
}

bool CaptureStore::fits(const CaptureTensor& tensor) {
  if (options_.budget_bytes <= 0 || tensor.essential) return true;
  const std::int64_t left = std::max(run_steps_ - run_steps_done_, 0) * reserve_.essential_step_bytes + reserve_.essential_end_bytes;
  // Runs that come later are given their share.
  const std::int64_t share = options_.budget_bytes / std::max(options_.runs, 1) * std::min(run_id_, std::max(options_.runs, 1));
  return used_bytes() + static_cast<std::int64_t>(tensor.bytes.size()) + left <= share;
}

void CaptureStore::add(CaptureTensor& tensor, bool compress) {
  begin();
  encode(tensor);
  if (tensor.kind == "latents" && tensor.step > 0 && run_id_ > 1) step_latent_error_ = latent_error(tensor);
  if (fits(tensor))
    insert(tensor, run_id_, compress);
  else
    add(CaptureGap{run_id_, tensor.step, tensor.layer, tensor.branch, tensor.kind, static_cast<std::int64_t>(tensor.bytes.size()), "budget"});
}

std::int64_t CaptureStore::insert(const CaptureTensor& t, int run_id, bool compress) {
  const std::int64_t id = next_tensor_++;
  const std::string shape = Json(t.shape).dump();
  std::string hash;
  std::int64_t data_id = id;
  if (t.may_repeat) {
    hash = Sha256::hex(Sha256::of(t.bytes));
    const std::string key = "array\n" + hash + t.dtype + shape + t.encoding + t.filter + std::to_string(t.scale) + "/" + std::to_string(t.offset);
    const auto [found, fresh] = ids_.try_emplace(key, id);
    if (fresh) uncommitted_ids_.push_back(key);
    data_id = found->second;
  }
  statement("INSERT INTO tensors VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
      .bind(id).bind(data_id).bind(run_id).bind(t.kind).bind(t.step).bind(t.layer).bind(t.branch).bind(t.block_tokens).bind(t.source)
      .bind(t.dtype).bind(shape).bind(chunk_items(t)).bind(t.encoding).bind(t.scale).bind(t.offset).bind(t.filter).bind(hash).run();
  if (data_id == id) insert_chunks(t, id, compress);
  return id;
}

void CaptureStore::insert_chunks(const CaptureTensor& t, std::int64_t data_id, bool compress) {
  const int width = element_bytes(t.dtype);
  const auto step = static_cast<std::size_t>(chunk_items(t)) * static_cast<std::size_t>(width);
  // Mantissas of float latents are noise: deflating them costs time and saves little.
  const bool deflate = compress && !(t.dtype == "<f4" && t.encoding == "plain");
  const std::span<const std::uint8_t> all(t.bytes);
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < all.size(); begin += step, ++number) {
    const StoredChunk chunk = pack_chunk(all.subspan(begin, std::min(step, all.size() - begin)), t.filter, width, t.shape.back(), deflate);
    statement("INSERT INTO chunks VALUES (?,?,?,?)")
        .bind(data_id * capture_file::kChunksPerTensor + number).bind(chunk.codec).bind(std::int64_t{crc32_of(chunk.data)})
        .bind(std::span<const std::uint8_t>(chunk.data)).run();
  }
}

std::int64_t CaptureStore::plan_id(const std::shared_ptr<const CapturePlan>& plan) {
  if (!plan || plan->dense()) return 0;
  if (const auto found = known_plans_.find(plan.get()); found != known_plans_.end()) return found->second.id;
  Sha256 hash;
  hash.add(Json{plan->q_block_tokens, plan->k_block_tokens, plan->q_blocks, plan->k_blocks, plan->tokens, plan->queries, plan->keys}.dump());
  hash.add(bytes_of(plan->q_order.data(), plan->q_order.size() * 4)).add(bytes_of(plan->k_order.data(), plan->k_order.size() * 4));
  hash.add(plan->block_bits).add(bytes_of(plan->partial_blocks.data(), plan->partial_blocks.size() * 4));
  hash.add(bytes_of(plan->partial_bits.data(), plan->partial_bits.size() * 8)).add(plan->reasons);
  const std::string text = Sha256::hex(hash.finish());
  const auto [found, fresh] = ids_.try_emplace("plan\n" + text, next_plan_);
  if (fresh) {
    uncommitted_ids_.push_back(found->first);
    ++next_plan_;
    insert_plan(*plan, text);
  }
  if (known_plans_.size() >= kKnownPlans) known_plans_.clear();
  known_plans_[plan.get()] = {plan, found->second};
  return found->second;
}

std::int64_t CaptureStore::insert_plan(const CapturePlan& p, const std::string& hash) {
  const std::int64_t id = ids_.at("plan\n" + hash);
  CaptureTensor mask;
  mask.kind = "mask";
  mask.dtype = "|u1";
  mask.encoding = "bits";
  mask.may_repeat = mask.essential = true;
  mask.shape = {p.q_blocks, (p.k_blocks + 7) / 8};
  mask.bytes = p.block_bits;
  const std::int64_t mask_id = insert(mask, 0, true);
  const auto numbers = [&](const char* kind, const std::vector<std::uint32_t>& values) -> std::int64_t {
    if (values.empty()) return 0;
    CaptureTensor tensor;
    tensor.kind = kind;
    tensor.dtype = "<u4";
    tensor.may_repeat = tensor.essential = true;
    tensor.shape = {static_cast<std::int64_t>(values.size())};
    const auto bytes = bytes_of(values.data(), values.size() * 4);
    tensor.bytes.assign(bytes.begin(), bytes.end());
    return insert(tensor, 0, true);
  };
  const std::int64_t blocks_id = numbers("mask_partial_blocks", p.partial_blocks);
  std::int64_t bits_id = 0;
  if (blocks_id != 0) {
    CaptureTensor bits = mask;
    bits.kind = "mask_partial_bits";
    bits.dtype = "<u8";
    bits.shape = {static_cast<std::int64_t>(p.partial_blocks.size()), p.q_block_tokens};
    const auto words = bytes_of(p.partial_bits.data(), p.partial_bits.size() * 8);
    bits.bytes.assign(words.begin(), words.end());
    bits_id = insert(bits, 0, true);
  }
  const std::int64_t q_order_id = numbers("order", p.q_order), k_order_id = numbers("order", p.k_order);
  statement("INSERT INTO plans VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
      .bind(id).bind(hash).bind(p.kind).bind(p.q_block_tokens).bind(p.k_block_tokens).bind(p.q_blocks).bind(p.k_blocks).bind(p.tokens)
      .bind(p.queries).bind(p.keys).bind(p.kept_blocks).bind(p.kept_ratio).bind(mask_id).bind(blocks_id).bind(bits_id).bind(q_order_id)
      .bind(k_order_id).run();
  if (!p.reasons.empty() && (id <= kSummaryReasons || options_.level == CaptureOptions::Level::Full)) {
    CaptureTensor reasons = mask;
    reasons.essential = false;
    reasons.kind = "mask_reasons";
    reasons.encoding = "plain";
    reasons.filter = "up";
    reasons.step = static_cast<int>(id);
    reasons.shape = {p.q_blocks, p.k_blocks};
    reasons.bytes = p.reasons;
    if (fits(reasons)) insert(reasons, 0, true);
  }
  return id;
}

void CaptureStore::add(CaptureCall& call) {
  begin();
  call.run_id = run_id_;
  call.call_id = next_call_++;
  if (!call.rows_bytes.empty()) call.rows_sha256 = Sha256::hex(Sha256::of(call.rows_bytes));
  auto& insert_call =
      statement("INSERT INTO calls (" + capture_file::column_names<CaptureCall>() + ") VALUES (" + capture_file::column_places<CaptureCall>() + ")");
  capture_file::bind_columns(insert_call, call);
  insert_call.run();
  auto& insert_head = statement("INSERT INTO heads (call_id, " + capture_file::column_names<CaptureHead>() +
                                ") VALUES (?," + capture_file::column_places<CaptureHead>() + ")");
  for (CaptureHead& head : call.heads) {
    head.plan_id = plan_id(head.plan);
    insert_head.bind(call.call_id);
    capture_file::bind_columns(insert_head, head);
    insert_head.run();
  }
}

std::optional<double> CaptureStore::latent_error(const CaptureTensor& latents) {
  std::vector<std::uint8_t> reference;
  sqlite::Statement header(*database_,
                           "SELECT data_id, dtype, shape, encoding, filter, chunk_items FROM tensors "
                           "WHERE run_id = 1 AND kind = 'latents' AND step = ? AND layer = -1 AND branch = -1");
  header.bind(latents.step);
  if (!header.step() || header.text(1) != latents.dtype || header.text(2) != Json(latents.shape).dump()) return std::nullopt;
  const std::int64_t first = header.integer(0) * capture_file::kChunksPerTensor;
  const auto chunk_bytes = static_cast<std::size_t>(header.integer(5)) * static_cast<std::size_t>(element_bytes(latents.dtype));
  sqlite::Statement chunks(*database_, "SELECT codec, data FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id");
  chunks.bind(first).bind(first + capture_file::kChunksPerTensor - 1);
  while (chunks.step()) {
    const std::size_t expected = std::min(chunk_bytes, latents.bytes.size() - std::min(reference.size(), latents.bytes.size()));
    const auto part = unpack_chunk({static_cast<int>(chunks.integer(0)), chunks.blob(1)}, header.text(4), element_bytes(latents.dtype),
                                   latents.shape.back(), expected);
    reference.insert(reference.end(), part.begin(), part.end());
  }
  if (reference.size() != latents.bytes.size()) return std::nullopt;
  const std::vector<float> a = decode(latents, reference), b = decode(latents, latents.bytes);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double{b[i]} - a[i]) * (double{b[i]} - a[i]);
    size += double{a[i]} * a[i];
  }
  if (!(size > 0)) return std::nullopt;
  return std::sqrt(difference / size);
}

void CaptureStore::close(const std::string& state) noexcept {
  try {
    statements_.clear();
    roll_back();
    if (totals_.capturing && !state.empty())
      sqlite::Statement(*database_, "UPDATE meta SET value = ? WHERE key = 'state'").bind(state).run();
    database_->integer("PRAGMA wal_checkpoint(TRUNCATE)");
    totals_.bytes = used_bytes();
    // Leaves a single file where no reader has it open; else an empty log stays beside it.
    sqlite3_busy_timeout(database_->handle(), 0);
    sqlite3_exec(database_->handle(), "PRAGMA journal_mode = DELETE", nullptr, nullptr, nullptr);
  } catch (const std::exception& error) {
    if (totals_.message.empty()) totals_.message = error.what();
  }
  database_.reset();
  lease_.reset();
}

CaptureTotals CaptureStore::totals() const { return totals_; }

}  // namespace ditscope
