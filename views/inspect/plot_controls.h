#pragma once
#include <string>
#include <vector>

#include "views/inspect/view.h"

namespace ditscope::views {

/// A view whose toolbar is a list of controls with their values: checks what it is told.
class ControlledView : public InspectView {
 public:
  std::vector<Control> controls(const ViewContext&) const override { return controls_; }
  void set_control(const std::string& name, const std::string& value) override;

 protected:
  explicit ControlledView(std::vector<Control> controls) : controls_(std::move(controls)) {}
  const std::string& chosen(const std::string& name) const;
  bool on(const std::string& name) const { return chosen(name) == "on"; }
  double number(const std::string& name) const;

 private:
  const Control* find(const std::string& name) const;
  std::vector<Control> controls_;
};

Control choice_control(std::string name, std::string label, std::vector<std::string> choices, std::string tooltip);
Control switch_control(std::string name, std::string label, bool on, std::string tooltip);
Control number_control(std::string name, std::string label, double value, double least, double most, std::string tooltip);

}  // namespace ditscope::views
