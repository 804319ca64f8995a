#include "views/inspect/inspection.h"

#include <algorithm>

#include "kernels/error.h"
#include "views/inspect/loader.h"
#include "views/inspect/map_data.h"

namespace ditscope::views {
namespace {

std::string call_key(const InspectCursor& at) {
  return std::to_string(at.step) + " " + std::to_string(at.layer) + " " + std::to_string(at.branch);
}

/// Of a head: what was measured on every row rather than on the sampled ones; empty where neither is there.
std::vector<float> optional_row(const CaptureReader& reader, int run_id, const char* kind, const InspectCursor& at) {
  const std::vector<CaptureArrayInfo> arrays = reader.arrays(run_id, {kind, at.step, at.layer, at.branch});
  const auto most = std::max_element(arrays.begin(), arrays.end(), [](const CaptureArrayInfo& a, const CaptureArrayInfo& b) {
    return a.header.shape.back() < b.header.shape.back();
  });
  if (most == arrays.end() || at.head >= most->header.shape.at(0)) return {};
  return reader.values(*most, at.head, 1);
}

}  // namespace

int InspectedRun::branch_of(const std::string& name) const {
  const auto it = std::find(record.branches.begin(), record.branches.end(), name);
  return it == record.branches.end() ? -1 : static_cast<int>(it - record.branches.begin());
}

const CaptureStep* InspectedRun::step(int step) const {
  const auto it = std::lower_bound(steps.begin(), steps.end(), step, [](const CaptureStep& s, int n) { return s.step < n; });
  return it != steps.end() && it->step == step ? &*it : nullptr;
}

std::optional<double> InspectedRun::whole_run_kept_ratio() const {
  double sum = 0;
  int count = 0;
  for (const CaptureStep& step : steps) {
    if (!step.kept_ratio) continue;
    sum += *step.kept_ratio;
    ++count;
  }
  return count > 0 ? std::optional(sum / count) : std::nullopt;
}

Inspection::Inspection(Loading loading) : loader_(std::make_unique<Loader>(loading)) {}
Inspection::~Inspection() = default;

int Inspection::open(const std::filesystem::path& file) {
  if (captures_.size() == 2) {
    throw Error{ErrorKind::InvalidArgument, "two captures are open already; close them before opening " + file.string()};
  }
  auto reader = std::make_unique<CaptureReader>(file);
  if (reader->runs().empty()) {
    const std::string state = reader->meta().state;
    throw Error{ErrorKind::InvalidArgument, file.string() + (state == "recording" ? " holds no run yet; wait for its first step, or open another capture"
                                                                                    : " holds no run (" + state + "); open another capture")};
  }
  captures_.push_back(file);
  readers_.push_back(std::move(reader));
  versions_.push_back(-1);
  reload(static_cast<int>(captures_.size()) - 1);
  set_cursor(cursor_);
  return static_cast<int>(captures_.size()) - 1;
}

void Inspection::close_all() {
  captures_.clear();
  readers_.clear();
  versions_.clear();
  runs_.clear();
  cursor_ = {};
  locked_.clear();
  hover_ = {};
  loader_->clear();
  changed();
}

void Inspection::reload(int capture) {
  const auto at = static_cast<std::size_t>(capture);
  const CaptureReader& reader = *readers_[at];
  versions_[at] = reader.data_version();  // before the rows: what is written meanwhile is found the next time
  std::vector<InspectedRun> runs;
  for (CaptureRun& record : reader.runs()) {
    InspectedRun run;
    run.capture = capture;
    run.steps = reader.steps(record.run_id);
    run.geometry = TokenGeometry(record);
    if (!run.steps.empty()) {
      const auto calls = reader.calls(record.run_id, run.steps.front().step, false);
      if (!calls.empty()) run.first_layer = calls.front().layer;
    }
    run.record = std::move(record);
    runs.push_back(std::move(run));
  }
  std::erase_if(runs_, [&](const InspectedRun& run) { return run.capture == capture; });
  const auto after = std::find_if(runs_.begin(), runs_.end(), [&](const InspectedRun& run) { return run.capture > capture; });
  runs_.insert(after, std::make_move_iterator(runs.begin()), std::make_move_iterator(runs.end()));
  for (std::size_t i = 0; i < runs_.size(); ++i) runs_[i].letter = static_cast<char>('A' + std::min<std::size_t>(i, 25));
}

bool Inspection::refresh() {
  bool news = false;
  for (int capture = 0; capture < static_cast<int>(captures_.size()); ++capture) {
    const bool live = std::any_of(runs_.begin(), runs_.end(), [&](const InspectedRun& run) {
      return run.capture == capture && run.record.state == "recording";
    });
    const auto at = static_cast<std::size_t>(capture);
    // A writer that died leaves the version as it was.
    if (!live || (readers_[at]->data_version() == versions_[at] && readers_[at]->live())) continue;
    const std::size_t steps_before = steps_of(capture), runs_before = runs_.size();
    reload(capture);
    const bool still = std::any_of(runs_.begin(), runs_.end(), [&](const InspectedRun& run) {
      return run.capture == capture && run.record.state == "recording";
    });
    if (steps_of(capture) == steps_before && runs_.size() == runs_before && still) continue;
    news = true;
    loader_->forget_problems();
    loader_->forget(captures_[capture].string() + "\nrun ");
  }
  if (news) changed();
  return news;
}

void Inspection::reread() {
  for (const std::filesystem::path& capture : captures_) loader_->forget(capture.string() + "\nrun ");
  changed();
}

std::size_t Inspection::steps_of(int capture) const {
  std::size_t steps = 0;
  for (const InspectedRun& run : runs_) steps += run.capture == capture ? run.steps.size() : 0;
  return steps;
}

const InspectedRun& Inspection::run(int index) const {
  if (index < 0 || index >= static_cast<int>(runs_.size())) {
    throw Error{ErrorKind::InvalidArgument, "expected a run of 0.." + std::to_string(static_cast<int>(runs_.size()) - 1) + ", got " + std::to_string(index)};
  }
  return runs_[index];
}

void Inspection::set_cursor(InspectCursor cursor) {
  if (runs_.empty()) {
    cursor = {};
  } else {
    cursor.run = std::clamp(cursor.run, 0, static_cast<int>(runs_.size()) - 1);
    const CaptureRun& record = runs_[cursor.run].record;
    cursor.step = std::clamp(cursor.step, 0, std::max(record.steps - 1, 0));
    cursor.layer = std::clamp(cursor.layer, 0, std::max(record.model.layers - 1, 0));
    cursor.head = std::clamp(cursor.head, 0, std::max(record.model.heads - 1, 0));
    cursor.branch = std::clamp(cursor.branch, 0, std::max(static_cast<int>(record.branches.size()) - 1, 0));
    std::erase_if(locked_, [&](std::int64_t token) { return token >= record.tokens(); });
  }
  cursor_ = cursor;
  changed();
}

void Inspection::lock(std::int64_t token, bool add) {
  const auto it = std::find(locked_.begin(), locked_.end(), token);
  const bool was = it != locked_.end();
  if (!add) {
    const bool alone = was && locked_.size() == 1;
    locked_.clear();
    if (!alone) locked_.push_back(token);
  } else if (was) {
    locked_.erase(it);
  } else {
    locked_.push_back(token);
  }
  changed();
}

void Inspection::set_locked(std::vector<std::int64_t> tokens) {
  locked_ = std::move(tokens);
  changed();
}

void Inspection::unlock_all() { set_locked({}); }

void Inspection::set_hover(const InspectHover& hover) {
  if (hover.query == hover_.query && hover.key == hover_.key && hover.view == hover_.view) return;
  hover_ = hover;
  changed();
}

void Inspection::on_change(std::function<void()> told) {
  const std::lock_guard lock(loader_->mutex);
  loader_->on_change = std::move(told);
}

void Inspection::changed() {
  std::function<void()> tell;
  {
    const std::lock_guard lock(loader_->mutex);
    tell = loader_->on_change;
  }
  if (tell) tell();
}

void Inspection::set_operands_source(OperandsSource source) {
  {
    const std::lock_guard lock(loader_->mutex);
    loader_->operands_source = std::move(source);
  }
  ++sources_;
  loader_->forget_problems();
  changed();
}

bool Inspection::loading() const { return loader_->pending(); }

std::string Inspection::key_of(int run, const std::string& key) const {
  const InspectedRun& of = this->run(run);
  return captures_[of.capture].string() + "\n" + (key.rfind("run ", 0) == 0 ? "run " : "") + std::to_string(of.record.run_id) + "\n" + key;
}

std::shared_ptr<const void> Inspection::fetch_any(int run, const std::string& key, Load load, std::int64_t bytes, std::string* problem) {
  auto value = loader_->fetch(captures_[this->run(run).capture], key_of(run, key), std::move(load), bytes, "", problem);
  return noted(std::move(value), *problem);
}

std::shared_ptr<const void> Inspection::noted(std::shared_ptr<const void> value, const std::string& problem) {
  if (!problem.empty()) last_problem_ = problem;
  return value;
}

Datum<CaptureCall> Inspection::call(const InspectCursor& at) {
  const int id = run(at.run).record.run_id;
  return fetch<CaptureCall>(at.run, "call " + call_key(at), [id, at](CaptureReader& reader) {
    std::optional<CaptureCall> call = reader.call(id, at.step, at.layer, at.branch);
    if (!call) {
      throw Error{ErrorKind::NotFound, "Step " + std::to_string(at.step) + ", layer " + std::to_string(at.layer) + " was not captured."};
    }
    return *std::move(call);
  });
}

Datum<std::vector<CaptureReader::HeadValue>> Inspection::head_values(int index, const std::string& column) {
  const CaptureRun& record = run(index).record;
  const std::int64_t bytes = std::int64_t{24} * record.steps * std::max(record.model.layers * record.model.heads, 1) * 2;
  return fetch<std::vector<CaptureReader::HeadValue>>(
      index, "run heads " + column, [id = record.run_id, column](CaptureReader& reader) { return reader.head_values(id, column); }, bytes);
}

Datum<Inspection::Map> Inspection::map(const InspectCursor& at) {
  const CaptureRun& record = run(at.run).record;
  const std::int64_t tokens = record.tokens();
  return fetch<Map>(
      at.run, "map " + call_key(at) + " " + std::to_string(at.head),
      [at, id = record.run_id, text = record.text_tokens, first = record.text_first, tokens](CaptureReader& reader) {
        const CaptureArrayInfo info = best_map(reader, id, at.step, at.layer, at.branch);
        if (at.head >= info.header.shape.at(0)) {
          throw Error{ErrorKind::Corrupt, "the map of step " + std::to_string(at.step) + " has no head " + std::to_string(at.head)};
        }
        Map map;
        map.edges = map_edges(text, first, tokens, info.header.block_tokens);
        map.cells = static_cast<int>(map.edges.size()) - 1;
        map.values = reader.values(info, at.head, 1);
        map.block_tokens = info.header.block_tokens;
        map.source = info.header.source;
        if (map.values.size() != std::size_t(map.cells) * map.cells) {
          throw Error{ErrorKind::Corrupt, "the map of step " + std::to_string(at.step) + " has " + std::to_string(map.values.size()) +
                                              " values, expected " + std::to_string(map.cells) + " x " + std::to_string(map.cells)};
        }
        return map;
      },
      4 * 512 * 512);
}

Datum<CapturePlan> Inspection::plan(const InspectCursor& at) {
  const CaptureRun& record = run(at.run).record;
  Datum<CapturePlan> datum;
  const Load load = [at, id = record.run_id, tokens = record.tokens()](CaptureReader& reader) -> std::shared_ptr<const void> {
    const std::optional<CaptureCall> call = reader.call(id, at.step, at.layer, at.branch);
    if (call) {
      for (const CaptureHead& head : call->heads) {
        if (head.head == at.head) return reader.plan(head.plan_id, tokens);
      }
    }
    throw Error{ErrorKind::NotFound, "No mask was captured for step " + std::to_string(at.step) + ", layer " + std::to_string(at.layer) +
                                         ", head " + std::to_string(at.head) + "."};
  };
  datum.value = std::static_pointer_cast<const CapturePlan>(
      fetch_any(at.run, "plan " + call_key(at) + " " + std::to_string(at.head), load, 1 << 16, &datum.problem));
  return datum;
}

Datum<Inspection::Rows> Inspection::rows(const InspectCursor& at) {
  const InspectedRun& of = run(at.run);
  return fetch<Rows>(
      at.run, "rows " + call_key(at) + " " + std::to_string(at.head),
      [at, id = of.record.run_id, geometry = of.geometry](CaptureReader& reader) {
        Rows rows;
        rows.lse_full = optional_row(reader, id, "lse_full", at);
        rows.log_rho = optional_row(reader, id, "log_rho", at);
        rows.log_rho_used = optional_row(reader, id, "log_rho_used", at);
        const std::size_t count = rows.log_rho.empty() ? rows.lse_full.size() : rows.log_rho.size();
        // Measured on other rows than rho: not of these.
        for (std::vector<float>* other : {&rows.lse_full, &rows.log_rho_used}) {
          if (other->size() != count) other->clear();
        }
        if (count == 0) {
          throw Error{ErrorKind::NotFound, "No rows were captured for step " + std::to_string(at.step) + ", layer " + std::to_string(at.layer) + "."};
        }
        if (static_cast<std::int64_t>(count) == geometry.tokens()) {
          for (std::int64_t token = 0; token < geometry.tokens(); ++token) rows.tokens.push_back(geometry.from_call(token));
        } else {
          for (const float token : reader.values(reader.get(id, {"row_ids", {}, {}, {}}))) {
            rows.tokens.push_back(geometry.from_call(static_cast<std::int64_t>(token)));
          }
        }
        return rows;
      },
      1 << 16);
}

namespace {

Frames frames_of(const CaptureReader& reader, const CaptureArrayInfo& info, double fps) {
  const std::vector<std::int64_t>& shape = info.header.shape;
  if (shape.size() != 4 || shape[1] != 3) throw Error{ErrorKind::Corrupt, "expected frames of shape (F,3,Y,X) in the capture"};
  const std::vector<std::uint8_t> bytes = reader.bytes(info);
  Frames frames{static_cast<int>(shape[0]), static_cast<int>(shape[2]), static_cast<int>(shape[3]), fps, {}};
  frames.rgb.resize(frames.frame_size() * frames.count);
  if (bytes.size() != frames.rgb.size()) throw Error{ErrorKind::Corrupt, "the frames of the capture are not as long as their shape says"};
  const std::size_t plane = static_cast<std::size_t>(frames.height) * frames.width;
  for (int f = 0; f < frames.count; ++f) {
    for (std::size_t i = 0; i < plane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) frames.frame(f)[3 * i + c] = static_cast<float>(bytes[(3 * f + c) * plane + i]) / 255.0F;
    }
  }
  return frames;
}

}  // namespace

Datum<Frames> Inspection::preview(int index, int step) {
  const CaptureRun& record = run(index).record;
  return fetch<Frames>(
      index, "preview " + std::to_string(step),
      [id = record.run_id, step, fps = record.fps](CaptureReader& reader) { return frames_of(reader, reader.get(id, {"preview", step, {}, {}}), fps); },
      std::int64_t{12} * record.grid_frames * record.grid_rows * record.grid_columns * 4);
}

Datum<Frames> Inspection::frames(int index) {
  const CaptureRun& record = run(index).record;
  return fetch<Frames>(
      index, "frames",
      [id = record.run_id, fps = record.fps](CaptureReader& reader) { return frames_of(reader, reader.get(id, {"frames", {}, {}, {}}), fps); },
      std::int64_t{12} * record.frames * record.height_px * record.width_px);
}

Datum<AttentionOperands> Inspection::operands(const InspectCursor& at) {
  const CaptureRun& record = run(at.run).record;
  Datum<AttentionOperands> datum;
  datum.value = std::static_pointer_cast<const AttentionOperands>(
      loader_->fetch(captures_[run(at.run).capture], key_of(at.run, "operands " + call_key(at)), load_operands(at),
                     operand_bytes(record), key_of(at.run, call_key(at)), &datum.problem));
  noted(datum.value, datum.problem);
  return datum;
}

std::int64_t Inspection::operand_bytes(const CaptureRun& record) {
  return std::int64_t{16} * record.tokens() * record.model.heads * record.model.head_width;
}

Inspection::Load Inspection::load_operands(const InspectCursor& at) {
  const InspectedRun& of = run(at.run);
  const std::string prefix = key_of(at.run, "operands "), group = key_of(at.run, call_key(at));
  return [this, at, id = of.record.run_id, prefix, group](CaptureReader& reader) -> std::shared_ptr<const void> {
    OperandsSource source;
    const std::uint64_t generation = loader_->generation();
    {
      const std::lock_guard lock(loader_->mutex);
      source = loader_->operands_source;
    }
    loader_->forget(prefix);  // one call at a time: q, k and v of a long video are large
    try {
      return std::make_shared<const AttentionOperands>(stored_operands(reader, id, at.step, at.layer, at.branch));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::NotFound) throw;
    }
    if (!source) {
      throw Error{ErrorKind::NotFound, "Replay is off: this machine does not have the model of this capture. Maps, masks and curves come from the file."};
    }
    return std::make_shared<const AttentionOperands>(
        source(reader.file(), id, at.step, at.layer, at.branch, [this, generation, group] { return loader_->stale(generation, group); }));
  };
}

Datum<Inspection::ExactRow> Inspection::exact_row(const InspectCursor& at, std::int64_t query) {
  const InspectedRun& of = run(at.run);
  const std::int64_t tokens = of.geometry.tokens();
  if (query < 0 || query >= tokens) {
    Datum<ExactRow> datum;
    datum.problem = "No token is locked. Click one on an output, a map or a word.";
    noted(nullptr, datum.problem);
    return datum;
  }
  return fetch_exact<ExactRow>(
      at, "row " + std::to_string(at.head) + " " + std::to_string(query),
      [at, query, id = of.record.run_id, geometry = of.geometry](const AttentionOperands& operands, CaptureReader& reader) {
        ExactRow row;
        std::vector<float> log_sum_exp;
        const std::vector<float> probability = attention_rows(operands, at.head, {geometry.to_call(query)}, &log_sum_exp);
        if (static_cast<std::int64_t>(probability.size()) != geometry.tokens()) {
          throw Error{ErrorKind::Corrupt, "q and k have " + std::to_string(probability.size()) + " tokens, the run has " + std::to_string(geometry.tokens())};
        }
        row.log_sum_exp = log_sum_exp.at(0);
        std::vector<std::uint8_t> kept(probability.size(), 1);
        if (const auto call = reader.call(id, at.step, at.layer, at.branch)) {
          for (const CaptureHead& head : call->heads) {
            if (head.head == at.head && head.plan_id > 0) kept = reader.plan(head.plan_id, geometry.tokens())->row(geometry.to_call(query));
          }
        }
        row.probability.resize(probability.size());
        row.kept.resize(probability.size());
        for (std::size_t call = 0; call < probability.size(); ++call) {
          const auto token = static_cast<std::size_t>(geometry.from_call(static_cast<std::int64_t>(call)));
          row.probability[token] = probability[call];
          row.kept[token] = kept[call];
        }
        return row;
      },
      5 * tokens);
}

std::shared_ptr<const void> Inspection::fetch_exact_any(const InspectCursor& at, const std::string& key, Make make, std::int64_t bytes,
                                                        std::string* problem) {
  const InspectedRun& of = run(at.run);
  const Load load = [this, all = load_operands(at), operands_key = key_of(at.run, "operands " + call_key(at)),
                     operands_bytes = operand_bytes(of.record), make = std::move(make)](CaptureReader& reader) {
    const auto operands = std::static_pointer_cast<const AttentionOperands>(loader_->now(reader, operands_key, all, operands_bytes));
    return make(*operands, reader);
  };
  auto value = loader_->fetch(captures_[of.capture], key_of(at.run, "exact " + call_key(at) + " " + key), load, bytes, key_of(at.run, call_key(at)), problem);
  return noted(std::move(value), *problem);
}

}  // namespace ditscope::views
