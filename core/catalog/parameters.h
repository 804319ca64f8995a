#pragma once
#include <string>
#include <vector>

#include "core/catalog/catalog.h"

// Makers of catalog entries, for the files that list them.
namespace ditscope::entries {

/// What every knob says of itself.
struct About {
  const char* key;
  const char* label;
  const char* help;
  const char* formula;
  const char* source;
};

Parameter ratio(const About& about, double value, double minimum, double maximum = 1);
Parameter real(const About& about, double value, double minimum, double maximum, double step);
Parameter integer(const About& about, const char* unit, std::int64_t value, std::int64_t minimum, std::int64_t maximum);
Parameter choice(const About& about, const char* value, std::vector<std::string> choices);
/// @param value  the choice that needs no file
Parameter artefact(const About& about, const char* value);
Parameter on_off(const About& about, bool value, const char* on = "on", const char* off = "off");

// Knobs that several methods share.
Parameter warmup_steps(const char* source, double default_per_step, std::int64_t of_50_steps);
Parameter refresh_period();
Parameter refresh_steps();
Parameter dense_layers(const char* source, std::int64_t value = 0);
Parameter kept_ratio(double value, const char* help, const char* formula, const char* source);
Parameter block_tokens(const char* value, const char* source);
Parameter qk();
Parameter residual();
Parameter residual_rank();
Parameter group_tokens();
Parameter isolated_pooling();
Parameter block_means();

/// A method whose parameters are those of its plan, those of its correction, and the precision of its sparse steps.
MethodEntry method(MethodEntry about, std::vector<Parameter> plan, const CorrectionEntry* correction = nullptr);

// The files of entries.
const std::vector<CorrectionEntry>& all_corrections();
std::vector<MethodEntry> static_methods();   ///< masks that are the same for every call
std::vector<MethodEntry> dynamic_methods();  ///< masks that follow q and k

}  // namespace ditscope::entries
