#include "core/catalog/catalog.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <deque>
#include <mutex>

#include "core/catalog/step_caches.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

template <typename Entry>
const Entry& find_entry(const std::vector<Entry>& entries, std::string_view key, const char* what) {
  std::vector<std::string> keys;
  for (const Entry& entry : entries) {
    if (entry.key == key) return entry;
    keys.push_back(entry.key);
  }
  std::string all;
  for (const std::string& k : keys) all += (all.empty() ? "" : ", ") + k;
  const auto nearest = nearest_name(key, keys);
  throw Error(ErrorKind::NotFound, std::string("expected a ") + what + " (" + all + "), got \"" + std::string(key) + "\"" +
                                       (nearest ? "; did you mean " + *nearest + "?" : "; choose one of these"));
}

const Parameter& find_parameter(const MethodEntry& method, const std::string& key) {
  std::vector<std::string> keys;
  for (const Parameter& parameter : method.parameters) {
    if (parameter.key == key) return parameter;
    keys.push_back(parameter.key);
  }
  if (keys.empty()) {
    throw Error(ErrorKind::NotFound, "expected no parameters for " + method.key + ", got \"" + key + "\"; leave it out");
  }
  std::string all;
  for (const std::string& k : keys) all += (all.empty() ? "" : ", ") + k;
  const auto nearest = nearest_name(key, keys);
  throw Error(ErrorKind::NotFound, "expected a parameter of " + method.key + " (" + all + "), got \"" + key + "\"" +
                                       (nearest ? "; did you mean " + *nearest + "?" : "; choose one of these"));
}

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

std::string value_text(const ParameterValue& value) {
  if (const bool* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<std::int64_t>(&value)) return std::to_string(*i);
  if (const double* d = std::get_if<double>(&value)) return number_text(*d);
  return std::get<std::string>(value);
}

[[noreturn]] void wrong_value(const Parameter& p, const std::string& expected, const std::string& got) {
  throw Error(ErrorKind::InvalidArgument, "expected " + expected + " for " + p.key + ", got \"" + got + "\"; change it");
}

std::string range_text(const Parameter& p) {
  return number_text(p.minimum) + " to " + number_text(p.maximum);
}

/// The value in the type of its parameter: JSON and controls may give an integer where a real is meant.
ParameterValue checked(const Parameter& p, const ParameterValue& value) {
  const std::string text = value_text(value);
  if (p.kind == ParameterKind::Switch) {
    if (!std::holds_alternative<bool>(value)) wrong_value(p, "true or false", text);
    return value;
  }
  if (p.kind == ParameterKind::Choice && p.step_list) {
    if (!std::holds_alternative<std::string>(value)) wrong_value(p, "steps such as 10/30 or 20%/60%", text);
    if (std::find(p.choices.begin(), p.choices.end(), text) == p.choices.end()) steps_of(text, 100);
    return value;
  }
  if (p.kind == ParameterKind::Choice && p.artefact) {
    if (!std::holds_alternative<std::string>(value) || text.empty()) wrong_value(p, p.choices.front() + " or the path of a calibration", text);
    return value;
  }
  if (p.kind == ParameterKind::Choice) {
    if (!std::holds_alternative<std::string>(value) || std::find(p.choices.begin(), p.choices.end(), text) == p.choices.end()) {
      std::string all;
      for (const std::string& c : p.choices) all += (all.empty() ? "" : ", ") + c;
      const auto nearest = nearest_name(text, p.choices);
      wrong_value(p, "one of " + all + (nearest ? " (perhaps " + *nearest + ")" : ""), text);
    }
    return value;
  }
  double number = 0;
  if (const auto* i = std::get_if<std::int64_t>(&value))
    number = static_cast<double>(*i);
  else if (const double* d = std::get_if<double>(&value))
    number = *d;
  else
    wrong_value(p, "a number from " + range_text(p), text);
  if (!(number >= p.minimum && number <= p.maximum)) wrong_value(p, "a number from " + range_text(p), text);
  if (p.kind != ParameterKind::Integer) return number;
  if (number != std::floor(number)) wrong_value(p, "a whole number from " + range_text(p), text);
  return static_cast<std::int64_t>(number);
}

std::optional<double> parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// "0.03125", "3.125%" or "1/32".
std::optional<double> parse_number(std::string_view text) {
  if (!text.empty() && text.back() == '%') {
    const auto percent = parse_double(text.substr(0, text.size() - 1));
    return percent ? std::optional(*percent / 100) : std::nullopt;
  }
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return parse_double(text);
  const auto over = parse_double(text.substr(0, slash)), under = parse_double(text.substr(slash + 1));
  if (!over || !under || *under == 0) return std::nullopt;
  return *over / *under;
}

ParameterValue parse_value(const Parameter& p, const std::string& text) {
  if (p.kind == ParameterKind::Choice) return checked(p, text);
  if (p.kind == ParameterKind::Switch) {
    if (text == "on" || text == "true" || text == "yes" || text == "1" || (!text.empty() && text == p.on_label)) return true;
    if (text == "off" || text == "false" || text == "no" || text == "0" || (!text.empty() && text == p.off_label)) return false;
    wrong_value(p, "on or off", text);
  }
  const auto number = parse_number(text);
  if (!number) wrong_value(p, "a number from " + range_text(p), text);
  return checked(p, *number);
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

/// A list of papers, each once.
std::string papers_of(const std::string& first, const std::string& second) {
  return second.empty() || second == first ? first : first.empty() ? second : first + "; " + second;
}

void add_parameters(MethodEntry& entry, const std::vector<Parameter>& parameters) {
  for (const Parameter& parameter : parameters) {
    const bool known = std::any_of(entry.parameters.begin(), entry.parameters.end(),
                                   [&](const Parameter& p) { return p.key == parameter.key; });
    if (!known) entry.parameters.push_back(parameter);
  }
}

/// The plan of a method with another correction.
MethodEntry corrected(const MethodEntry& method, std::string_view key) {
  std::vector<std::string> names;
  for (const CorrectionEntry& known : corrections()) names.push_back(known.key);
  for (const StepCacheEntry& known : step_caches()) names.push_back(known.key);
  if (std::find(names.begin(), names.end(), key) == names.end()) {
    const auto nearest = nearest_name(key, names);
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::NotFound, "expected a correction or a step cache after the plus (" + all + "), got \"" + std::string(key) + "\"" +
                                         (nearest ? "; did you mean " + *nearest + "?" : "; choose one of these, the step cache last"));
  }
  const CorrectionEntry& correction = find_correction(key);
  if (method.plan.empty()) {
    throw Error(ErrorKind::InvalidArgument,
                "expected a method that skips something before the plus, got \"" + method.key + "\"; it needs no correction");
  }
  MethodEntry entry = method;
  entry.name += " + " + correction.name;
  entry.summary += " " + correction.summary;
  entry.paper = papers_of(method.paper, correction.paper);
  entry.parameters = method.plan_parameters;
  entry.correction = correction.key;
  add_parameters(entry, correction.parameters);
  return entry;
}

/// A method with a step cache.
MethodEntry cached(const MethodEntry& method, const StepCacheEntry& cache) {
  MethodEntry entry = method;
  entry.name += " + " + cache.name;
  entry.summary += " " + cache.summary;
  entry.paper = papers_of(method.paper, cache.paper);
  entry.step_cache = cache.key;
  add_parameters(entry, cache.parameters);
  return entry;
}

}  // namespace

const CorrectionEntry& find_correction(std::string_view key) {
  return find_entry(corrections(), key, "correction");
}

const MethodEntry& find_method(std::string_view key) {
  const auto plus = key.find('+');
  if (plus == std::string_view::npos) return find_entry(methods(), key, "method");
  static std::mutex mutex;
  static std::deque<MethodEntry> composed;  // grows by at most one entry a combination; references stay valid
  const std::lock_guard lock(mutex);
  for (const MethodEntry& entry : composed) {
    if (entry.key == key) return entry;
  }
  MethodEntry entry = find_entry(methods(), key.substr(0, plus), "method");
  const auto last = key.rfind('+');
  const StepCacheEntry* cache = step_cache_named(key.substr(last + 1));
  if (!cache || last > plus) entry = corrected(entry, key.substr(plus + 1, cache ? last - plus - 1 : key.size()));
  if (cache) entry = cached(entry, *cache);
  entry.key = key;
  composed.push_back(std::move(entry));
  return composed.back();
}
const SchedulerEntry& find_scheduler(std::string_view key) {
  return find_entry(schedulers(), key, "scheduler");
}

ParameterValue default_value(const Parameter& parameter, int steps) {
  if (parameter.default_per_step <= 0) return parameter.default_value;
  const double value = std::clamp(std::round(parameter.default_per_step * steps), parameter.minimum, parameter.maximum);
  if (parameter.kind == ParameterKind::Integer) return static_cast<std::int64_t>(value);
  return value;
}

MethodChoice resolve(const MethodChoice& choice) {
  const MethodEntry& method = find_method(choice.key);
  MethodChoice resolved{method.key, {}};
  for (const auto& [key, value] : choice.parameters) resolved.parameters[key] = checked(find_parameter(method, key), value);
  for (const Parameter& parameter : method.parameters) {
    if (parameter.default_per_step <= 0) resolved.parameters.try_emplace(parameter.key, parameter.default_value);
  }
  return resolved;
}

MethodChoice resolve(const MethodChoice& choice, int steps) {
  MethodChoice resolved = resolve(choice);
  for (const Parameter& parameter : find_method(choice.key).parameters) {
    resolved.parameters.try_emplace(parameter.key, default_value(parameter, steps));
  }
  return resolved;
}

std::vector<int> steps_of(std::string_view text, int steps) {
  std::vector<int> list;
  std::string_view rest = trimmed(text);
  const auto refuse = [&] {
    throw Error(ErrorKind::InvalidArgument, "expected ascending steps such as 10/30 or 20%/60%, got \"" + std::string(text) +
                                                "\"; separate them by slashes");
  };
  double previous = -1;
  bool percent = false;
  if (rest.empty()) refuse();
  for (bool first = true; !rest.empty() || first; first = false) {
    const auto slash = rest.find('/');
    std::string_view item = trimmed(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    const bool share = !item.empty() && item.back() == '%';
    if (share) item.remove_suffix(1);
    const auto number = parse_double(item);
    if (!number || *number <= previous || *number > (share ? 100 : 1e6) || (!share && *number != std::floor(*number)) ||
        (!first && share != percent) || (slash != std::string_view::npos && trimmed(rest).empty()))
      refuse();
    percent = share;
    previous = *number;
    const int step = static_cast<int>(share ? std::round(*number / 100 * steps) : *number);
    if (list.empty() || step > list.back()) list.push_back(step);  // two shares may fall on one step of a short run
  }
  return list;
}

namespace {

const PublishedValue* published_for(const Parameter& parameter, std::string_view model) {
  for (const PublishedValue& p : parameter.published)
    if (p.model == model) return &p;
  return nullptr;
}

/// A count, or a list of counts, of steps of a run of `of_steps` as that of a run of `steps`.
ParameterValue in_run_of(const PublishedValue& p, int steps) {
  if (p.of_steps == 0 || p.of_steps == steps) return p.value;
  if (const auto* count = std::get_if<std::int64_t>(&p.value))
    return static_cast<std::int64_t>(std::lround(static_cast<double>(*count) * steps / p.of_steps));
  std::string shares;
  for (const int step : steps_of(std::get<std::string>(p.value), p.of_steps))
    shares += (shares.empty() ? "" : "/") + number_text(100.0 * step / p.of_steps) + "%";
  return shares;
}

}  // namespace

MethodChoice with_published(const MethodChoice& choice, std::string_view model, int steps) {
  MethodChoice filled = choice;
  for (const Parameter& parameter : find_method(choice.key).parameters) {
    if (const PublishedValue* p = published_for(parameter, model)) filled.parameters.try_emplace(parameter.key, in_run_of(*p, steps));
  }
  return filled;
}

std::string defaults_note(const MethodChoice& choice, std::string_view model, std::string_view name) {
  std::string published;
  bool open = false;
  for (const Parameter& parameter : find_method(choice.key).parameters) {
    if (choice.parameters.contains(parameter.key)) continue;
    open = true;
    if (published_for(parameter, model)) published += (published.empty() ? "" : ", ") + parameter.key;
  }
  if (!open) return "";
  if (!published.empty()) return "Defaults: " + published + " as published for " + std::string(model) + ".";
  return "Defaults derived from other models: nothing is published for " + std::string(name) + ".";
}

MethodChoice parse_method_choice(std::string_view text) {
  const auto colon = text.find(':');
  const MethodEntry& method = find_method(trimmed(text.substr(0, colon)));
  MethodChoice choice{method.key, {}};
  if (colon == std::string_view::npos) return choice;
  std::string_view rest = text.substr(colon + 1);
  while (!trimmed(rest).empty()) {
    const auto comma = rest.find(',');
    const std::string_view item = trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) {
      throw Error(ErrorKind::InvalidArgument,
                  "expected name:key=value,key=value, got \"" + std::string(item) + "\" without a value; write key=value");
    }
    const std::string key(trimmed(item.substr(0, equals)));
    const Parameter& parameter = find_parameter(method, key);
    if (choice.parameters.count(key) != 0)
      throw Error(ErrorKind::InvalidArgument, "expected " + key + " once, got it twice; leave one out");
    choice.parameters[key] = parse_value(parameter, std::string(trimmed(item.substr(equals + 1))));
  }
  return choice;
}

std::string to_string(const MethodChoice& choice) {
  std::string text = choice.key;
  char separator = ':';
  for (const auto& [key, value] : choice.parameters) {
    text += separator + key + "=" + value_text(value);
    separator = ',';
  }
  return text;
}

std::optional<std::string> nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::optional<std::string> best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);  // Levenshtein, one row at a time
    for (std::size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t replace = diagonal + (lower(word[i - 1]) != lower(candidate[j - 1]));
        diagonal = row[j];
        row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (!best || row.back() < best_distance) {
      best = candidate;
      best_distance = row.back();
    }
  }
  const std::size_t longest = best ? std::max(word.size(), best->size()) : 0;
  if (!best || word.empty() || best_distance * 2 > longest) return std::nullopt;  // more than half is different: no help
  return best;
}

}  // namespace ditscope
