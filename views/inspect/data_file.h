#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "views/inspect/view.h"

namespace ditscope::views {

/// The numbers behind a view, at least one array.
/// @throws Error{NotFound} saying why it has none: nothing locked, not captured, no model for a replay
std::vector<DataArray> numbers_of(InspectView& view, const ViewContext& context);

/// Writes the numbers behind a view as .csv, .npy, .npz or .safetensors, by the ending; the file is whole or not there. 64-bit floats.
/// A CSV has a column for each axis and one for the value; a table (an array with named columns) and curves of one length have their
/// own columns instead. NaN is `nan`, infinity `inf`.
/// @param about  of safetensors files: which capture, run, step ...
/// @throws Error{InvalidArgument} for another ending, for several arrays in an .npy and for none at all; Error{Device}
void write_data(const std::vector<DataArray>& arrays, const std::map<std::string, std::string>& about, const std::filesystem::path& file);

}  // namespace ditscope::views
