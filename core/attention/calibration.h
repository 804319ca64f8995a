#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"

namespace ditscope {

/// What a calibration was made for. It means nothing for anything else.
struct CalibrationKey {
  std::string model;  ///< fingerprint of the model folder; empty: not known, and then not compared
  int layers = 0, steps = 0;
  std::int64_t heads = 0, head_dim = 0;
  std::int64_t frames = 0, rows = 0, columns = 0, text_tokens = 0;

  /// FNV-1a of all of it, 16 hex digits.
  std::string hash() const;
};

/// What a method found out about one model and grid before a run: tables of numbers, in a JSON file.
struct Calibration {
  /// Values of a table, last axis fastest. Axes are S steps, L layers, H heads.
  struct Table {
    std::vector<std::int64_t> shape;
    std::vector<double> values;
    double at(std::initializer_list<std::int64_t> index) const;
  };
  std::string method;
  CalibrationKey key;
  std::map<std::string, Table> tables;
  std::map<std::string, std::string> settings;  ///< how it was made, for people

  /// @throws Error{NotFound, Corrupt} also where the stored hash is not that of the stored key
  static Calibration read(const std::filesystem::path& file);
  /// @throws Error{Device} where the file cannot be written
  void write(const std::filesystem::path& file) const;
  /// A table by name. @throws Error{Corrupt} where it is missing or of another shape
  const Table& table(const std::string& name, const std::vector<std::int64_t>& shape) const;
};

/// Holds every calibration that a choice names against the run it is to serve.
/// @throws Error{InvalidArgument} naming the method or the first size that differs; what read() throws
void require_calibrations(const MethodChoice& choice, const CalibrationKey& run);
/// The choice with the paths of its calibrations absolute: so a saved request finds them from wherever it is run again.
MethodChoice with_absolute_calibrations(MethodChoice choice);
/// Whether a choice names any.
bool has_calibration(const MethodChoice& choice);

}  // namespace ditscope
