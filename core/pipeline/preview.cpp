#include "core/pipeline/preview.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::int64_t kStills = 24, kPatches = 2, kPatch_latents = 3;  // each still: 2x2 patches of 3x3 equal latents

at::Tensor matrix_from(const nlohmann::json& json, const std::filesystem::path& file, std::int64_t columns) {
  const auto fail = [&]() -> at::Tensor {
    throw Error(ErrorKind::Corrupt, file.string() + ": expected \"weight\" 3 x " + std::to_string(columns) +
                                        " and \"bias\" 3, numbers all. Delete the file to have the map fitted anew.");
  };
  if (!json.is_object() || !json.contains("weight") || !json.contains("bias")) return fail();
  at::Tensor out = at::zeros({3, columns + 1});
  auto cells = out.accessor<float, 2>();
  const auto& weight = json["weight"];
  const auto& bias = json["bias"];
  if (!weight.is_array() || weight.size() != 3 || !bias.is_array() || bias.size() != 3) return fail();
  for (std::size_t row = 0; row < 3; ++row) {
    if (!weight[row].is_array() || static_cast<std::int64_t>(weight[row].size()) != columns || !bias[row].is_number())
      return fail();
    for (std::int64_t column = 0; column < columns; ++column) {
      if (!weight[row][column].is_number()) return fail();
      cells[row][column] = weight[row][column].get<float>();
    }
    cells[row][columns] = bias[row].get<float>();
  }
  return out;
}

}  // namespace

std::optional<LatentToRgb> LatentToRgb::read(const std::filesystem::path& folder, std::int64_t channels) {
  const auto file = folder / "latent_rgb.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  const at::Tensor matrix = matrix_from(load_json(file), file, channels);  // (3,C+1)
  return LatentToRgb{matrix.narrow(1, 0, channels).contiguous(), matrix.select(1, channels).contiguous()};
}

LatentToRgb LatentToRgb::fit(const std::function<at::Tensor(const at::Tensor&)>& decode, std::int64_t channels) {
  at::Generator generator = at::detail::createCPUGenerator(0x0c0103);
  const at::Tensor colours = at::randn({kStills, channels, 1, kPatches, kPatches}, generator, at::kFloat);
  const at::Tensor stills = colours.repeat_interleave(kPatch_latents, 3).repeat_interleave(kPatch_latents, 4);  // (B,C,1,Y,X)
  const at::Tensor pixels = decode(stills).to(at::kCPU, at::kFloat).select(2, 0).mul(0.5).add(0.5);             // (B,3,sY,sX)
  const at::Tensor means = at::adaptive_avg_pool2d(pixels, {kPatches, kPatches});                               // (B,3,2,2)

  // Normal equations with a small ridge: latents beyond what the stills span must not blow up.
  const at::Tensor z = colours.squeeze(2).permute({0, 2, 3, 1}).reshape({-1, channels}).to(at::kDouble);  // (N,C)
  const at::Tensor a = at::cat({z, at::ones({z.size(0), 1}, z.options())}, 1);                            // (N,C+1)
  const at::Tensor b = means.permute({0, 2, 3, 1}).reshape({-1, 3}).to(at::kDouble);                      // (N,3)
  const at::Tensor ridge = at::eye(channels + 1, a.options()).mul(1e-2 * static_cast<double>(z.size(0)) / (channels + 1));
  const at::Tensor solved = at::linalg_solve(a.t().mm(a) + ridge, a.t().mm(b)).to(at::kFloat);  // (C+1,3)
  return {solved.narrow(0, 0, channels).t().contiguous(), solved.select(0, channels).contiguous()};
}

Frames LatentToRgb::operator()(const at::Tensor& latents, double fps) const {
  const at::Tensor z = latents.select(0, 0).to(at::kCPU, at::kFloat).permute({0, 2, 3, 1});             // (F,Y,X,C)
  const at::Tensor rgb = at::matmul(z, weight.t()).add(bias).nan_to_num(0.0).clamp(0, 1).contiguous();  // (F,Y,X,3)
  Frames frames;
  frames.count = static_cast<int>(rgb.size(0));
  frames.height = static_cast<int>(rgb.size(1));
  frames.width = static_cast<int>(rgb.size(2));
  frames.fps = fps;
  frames.rgb.assign(rgb.data_ptr<float>(), rgb.data_ptr<float>() + rgb.numel());
  return frames;
}

}  // namespace ditscope
