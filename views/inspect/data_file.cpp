#include "views/inspect/data_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/files/array_file.h"
#include "core/files/atomic_file.h"
#include "kernels/error.h"

namespace ditscope::views {
namespace {

void append(std::string& text, double value) {
  if (!std::isfinite(value)) {
    text += std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  text.append(digits, end.ptr);
}

void table_csv(std::string& text, const DataArray& array) {
  for (std::size_t c = 0; c < array.columns.size(); ++c) text += (c ? "," : "") + array.columns[c];
  text += '\n';
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    append(text, array.values[i]);
    text += (i + 1) % array.columns.size() == 0 ? '\n' : ',';
  }
}

void curves_csv(std::string& text, const std::vector<DataArray>& arrays) {
  text += "index";
  for (const DataArray& array : arrays) text += "," + array.name;
  text += '\n';
  for (std::size_t i = 0; i < arrays[0].values.size(); ++i) {
    text += std::to_string(i);
    for (const DataArray& array : arrays) {
      text += ',';
      append(text, array.values[i]);
    }
    text += '\n';
  }
}

/// A line a value: array, its indices, the value. Axes that an array does not have stay empty.
void long_csv(std::string& text, const std::vector<DataArray>& arrays) {
  std::size_t axes = 0;
  for (const DataArray& array : arrays) axes = std::max(axes, array.shape.size());
  text += "array";
  for (std::size_t a = 0; a < axes; ++a) text += ",i" + std::to_string(a);
  text += ",value\n";
  for (const DataArray& array : arrays) {
    for (std::size_t i = 0; i < array.values.size(); ++i) {
      text += array.name;
      std::int64_t rest = static_cast<std::int64_t>(i), stride = static_cast<std::int64_t>(array.values.size());
      for (std::size_t a = 0; a < axes; ++a) {
        text += ',';
        if (a >= array.shape.size()) continue;
        stride /= std::max<std::int64_t>(array.shape[a], 1);
        const std::int64_t index = rest / stride;
        rest %= stride;
        const bool named = a + 1 == array.shape.size() && index < static_cast<std::int64_t>(array.columns.size());
        text += named ? array.columns[static_cast<std::size_t>(index)] : std::to_string(index);
      }
      text += ',';
      append(text, array.values[i]);
      text += '\n';
    }
  }
}

std::string csv(const std::vector<DataArray>& arrays) {
  std::string text;
  const bool curves = std::all_of(arrays.begin(), arrays.end(), [&](const DataArray& array) {
    return array.shape.size() == 1 && array.columns.empty() && array.values.size() == arrays[0].values.size();
  });
  if (arrays.size() == 1 && !arrays[0].columns.empty() && arrays[0].shape.size() <= 2) {
    table_csv(text, arrays[0]);
  } else if (curves) {
    curves_csv(text, arrays);
  } else {
    long_csv(text, arrays);
  }
  return text;
}

}  // namespace

std::vector<DataArray> numbers_of(InspectView& view, const ViewContext& context) {
  context.inspection.forget_problem();
  std::vector<DataArray> arrays = view.data(context);
  if (arrays.empty()) {
    const std::string& why = context.inspection.last_problem();
    throw Error(ErrorKind::NotFound, view.info().title + " has no numbers here: " + (why.empty() ? "what it would show was not captured, or is still on its way." : why));
  }
  return arrays;
}

void write_data(const std::vector<DataArray>& arrays, const std::map<std::string, std::string>& about, const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (arrays.empty()) throw Error(ErrorKind::InvalidArgument, "expected at least one array to write, got none");
  std::vector<FileArray> out;
  for (const DataArray& array : arrays) {
    out.push_back({array.name, array.shape, array.values.data(), true});
    if (out.back().count() != static_cast<std::int64_t>(array.values.size())) {
      throw Error(ErrorKind::InvalidArgument, "the array '" + array.name + "' has " + std::to_string(array.values.size()) +
                                                  " values, its shape says " + std::to_string(out.back().count()));
    }
  }
  if (ending == ".csv") return write_file(file, csv(arrays));
  if (ending == ".npz") return write_npz(file, out);
  if (ending == ".safetensors") return write_safetensors(file, out, about);
  if (ending != ".npy") {
    throw Error(ErrorKind::InvalidArgument, "expected a name that ends in .csv, .npy, .npz or .safetensors, got " + file.string());
  }
  if (out.size() > 1) {
    throw Error(ErrorKind::InvalidArgument, "an .npy file holds one array, this view has " + std::to_string(out.size()) + "; write an .npz file");
  }
  write_npy(file, out[0]);
}

}  // namespace ditscope::views
