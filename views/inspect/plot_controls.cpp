#include "views/inspect/plot_controls.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/error.h"
#include "views/inspect/plot_axis.h"

namespace ditscope::views {

const Control* ControlledView::find(const std::string& name) const {
  const auto it = std::find_if(controls_.begin(), controls_.end(), [&](const Control& control) { return control.name == name; });
  return it == controls_.end() ? nullptr : &*it;
}

const std::string& ControlledView::chosen(const std::string& name) const {
  return find(name)->value;
}

double ControlledView::number(const std::string& name) const { return std::strtod(chosen(name).c_str(), nullptr); }

void ControlledView::set_control(const std::string& name, const std::string& value) {
  const Control* control = find(name);
  if (!control) {
    std::string known;
    for (const Control& each : controls_) known += (known.empty() ? "" : ", ") + each.name;
    throw Error{ErrorKind::InvalidArgument, "the view '" + info().id + "' has no control '" + name + "'; it has: " + known};
  }
  std::string expected;
  if (control->kind == Control::Kind::Number) {
    char* end = nullptr;
    const double given = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(given >= control->least && given <= control->most)) {
      expected = "a number of " + plot_number(control->least) + " to " + plot_number(control->most);
    }
  } else {
    const std::vector<std::string> both = {"on", "off"};
    const std::vector<std::string>& may = control->kind == Control::Kind::Switch ? both : control->choices;
    if (std::find(may.begin(), may.end(), value) == may.end()) {
      for (const std::string& each : may) expected += (expected.empty() ? "one of " : ", ") + each;
    }
  }
  if (!expected.empty()) {
    throw Error{ErrorKind::InvalidArgument, "expected '" + name + "' of the view '" + info().id + "' to be " + expected + ", got '" + value + "'"};
  }
  controls_[static_cast<std::size_t>(control - controls_.data())].value = value;
}

Control choice_control(std::string name, std::string label, std::vector<std::string> choices, std::string tooltip) {
  Control control;
  control.value = choices.front();
  control.name = std::move(name);
  control.label = std::move(label);
  control.choices = std::move(choices);
  control.tooltip = std::move(tooltip);
  return control;
}

Control switch_control(std::string name, std::string label, bool on, std::string tooltip) {
  Control control;
  control.kind = Control::Kind::Switch;
  control.name = std::move(name);
  control.label = std::move(label);
  control.value = on ? "on" : "off";
  control.tooltip = std::move(tooltip);
  return control;
}

Control number_control(std::string name, std::string label, double value, double least, double most, std::string tooltip) {
  Control control;
  control.kind = Control::Kind::Number;
  control.name = std::move(name);
  control.label = std::move(label);
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  control.value = text;
  control.least = least;
  control.most = most;
  control.tooltip = std::move(tooltip);
  return control;
}

}  // namespace ditscope::views
