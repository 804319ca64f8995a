#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <deque>
#include <memory>
#include <numeric>

#include "core/bridge/accelerator.h"
#include "core/checkpoint/safetensors.h"
#include "core/schedulers/scheduler.h"
#include "core/text/tokenizer.h"
#include "core/training/bundled_model.h"
#include "core/training/component_files.h"
#include "core/training/gradient_threads.h"
#include "core/training/latent_pool.h"
#include "core/training/trainable_weights.h"
#include "core/training/training_run.h"

namespace ditscope {

namespace {

constexpr int kPieces = 4;                // of a step's batch on a CPU, at most
constexpr double kDroppedCaptions = 0.1;  // trained without a caption, for classifier-free guidance (Ho & Salimans 2022)

std::map<std::string, at::Tensor> below(const std::map<std::string, at::Tensor>& all, const std::string& prefix) {
  std::map<std::string, at::Tensor> part;
  for (const auto& [key, tensor] : all) {
    if (key.compare(0, prefix.size(), prefix) == 0) part[key.substr(prefix.size())] = tensor;
  }
  return part;
}

/// The transformer and the text encoder over one optimiser; keys carry the component in front.
struct Student {
  TrainableWeights transformer_weights, text_weights;
  CogVideoXTransformer transformer;
  T5Encoder text_encoder;
  DenseAttention attention;

  Student(const TransformerTrainingOptions& options, int vocabulary_size, at::Device device)
      : transformer_weights(options.seed, device,
                            component_weights(options.initial_model, "transformer", "diffusion_pytorch_model.safetensors")),
        text_weights(options.seed + 1, device, component_weights(options.initial_model, "text_encoder", "model.safetensors")),
        transformer(bundled_transformer_config(), transformer_weights),
        text_encoder(bundled_text_config(vocabulary_size), text_weights) {}
  /// A replica over the same weights.
  Student(const Student& original, int vocabulary_size)
      : transformer_weights(original.transformer_weights.replica()),
        text_weights(original.text_weights.replica()),
        transformer(bundled_transformer_config(), transformer_weights),
        text_encoder(bundled_text_config(vocabulary_size), text_weights) {}

  std::vector<std::string> keys() const {
    std::vector<std::string> all;
    for (const auto& key : transformer_weights.keys()) all.push_back("transformer/" + key);
    for (const auto& key : text_weights.keys()) all.push_back("text/" + key);
    return all;
  }
  std::vector<at::Tensor> tensors() const {
    auto all = transformer_weights.tensors();
    all.insert(all.end(), text_weights.tensors().begin(), text_weights.tensors().end());
    return all;
  }
};

at::Tensor caption_ids(const Tokenizer& tokenizer, const std::vector<world::Scene>& scenes, int length, world::SceneRandom& random) {
  std::vector<at::Tensor> rows;
  for (world::Scene scene : scenes) {
    scene.phrasing = random.below(world::kPhrasings);
    const bool dropped = random.uniform(0, 1) < kDroppedCaptions;
    const TokenIds ids = tokenizer.encode(dropped ? "" : world::caption(scene), length);
    rows.push_back(at::tensor(ids.ids, at::kLong));
  }
  return at::stack(rows);  // (B,T)
}

const TrainingPhase& phase_at(const std::vector<TrainingPhase>& phases, double fraction) {
  double total = 0, passed = 0;
  for (const auto& phase : phases) total += phase.share;
  for (const auto& phase : phases) {
    passed += phase.share / total;
    if (fraction < passed) return phase;
  }
  return phases.back();
}

/// Uniform timesteps, one in each of B equal strata.
at::Tensor stratified_timesteps(std::int64_t batch, std::int64_t count) {
  const auto strata = (at::arange(batch, at::kFloat) + at::rand({batch})) / static_cast<double>(batch);
  // The last stratum can round up to 1 in float32; clamped, it stays a timestep.
  return (strata * count).to(at::kLong).clamp_max(count - 1).index_select(0, at::randperm(batch, at::kLong));  // (B)
}

/// Mean squared error of the predicted velocity.
at::Tensor velocity_loss(Student& student, const Scheduler& scheduler, const at::Tensor& latents, const at::Tensor& timestep,
                         const at::Tensor& ids) {
  const auto noise = at::randn_like(latents);  // (B,F,C,Y,X)
  const auto noisy = scheduler.add_noise(latents, noise, timestep);
  const auto velocity = scheduler.get_velocity(latents, noise, timestep);
  DenoiserCall call;
  call.latents = noisy;
  call.timestep = timestep;
  call.text = student.text_encoder.forward(ids);  // (B,T,C)
  call.branches.assign(static_cast<std::size_t>(latents.size(0)), Branch::Conditional);
  const auto predicted = student.transformer.forward(call, student.attention);
  return (predicted.to(at::kFloat) - velocity).square().mean();
}

/// Images first, then clips at 128 px, then clips at 256 px.
std::vector<TrainingPhase> default_phases(bool cuda) {
  if (cuda) return {{1, 128, 256, 0.12, 0.5}, {33, 128, 64, 0.48, 0.2}, {33, 256, 32, 0.4, 0.2}};
  return {{1, 128, 48, 0.35, 0.34}, {33, 128, 6, 0.55, 0.16}, {33, 256, 2, 0.1, 0.25}};
}

}  // namespace

void train_transformer(const TransformerTrainingOptions& options, const TrainingReport& report, const TrainingStop& stop) {
  const at::Device device = usable_device(options.device);
  const int replica_number = replica_count(options.threads, device);
  if (device.is_cpu()) at::set_num_threads(1);  // the replicas share the cores
  at::manual_seed(options.seed);
  std::filesystem::create_directories(options.folder);
  const auto phases = options.phases.empty() ? default_phases(device.is_cuda()) : options.phases;

  const BundledModelFolder model(options.folder / "model");
  const auto tokenizer = model.prepare_tokenizer(options.initial_model);
  model.write_configs();
  const auto vae_config = model.write_vae(options.vae);
  TrainableWeights vae_weights(0, device, load_tensors(options.vae / "diffusion_pytorch_model.safetensors"));
  const CogVideoXVae vae(vae_config, vae_weights, true);
  model.write_latent_rgb(vae, device);

  const int vocabulary_size = static_cast<int>(tokenizer->size());
  std::deque<Student> students;
  students.emplace_back(options, vocabulary_size, device);
  while (static_cast<int>(students.size()) < replica_number) students.emplace_back(students.front(), vocabulary_size);
  std::vector<std::vector<at::Tensor>> leaves;
  for (const Student& student : students) leaves.push_back(student.tensors());
  GradientThreads threads(std::move(leaves));
  Optimizer optimizer(students.front().keys(), students.front().tensors(), {.ema_decay = device.is_cuda() ? 0.9995 : 0.998});
  TrainingRun run(options, report, stop);
  run.restore(optimizer);
  const auto scheduler = make_scheduler(bundled_scheduler_json());
  world::SceneRandom random(options.seed * 7919 + static_cast<std::uint64_t>(run.step()));

  const auto save = [&] {
    run.save(optimizer);
    const auto average = optimizer.average();
    model.write_transformer(below(average, "transformer/"));
    model.write_text_encoder(below(average, "text/"));
  };

  std::unique_ptr<LatentPool> pool;
  const TrainingPhase* pool_phase = nullptr;
  double owed = 0;  // fresh clips not yet drawn
  while (!run.finished()) {
    const TrainingPhase& phase = phase_at(phases, run.fraction());
    if (pool_phase != &phase) {
      pool.reset();
      const std::size_t capacity = phase.frames == 1 ? 60000 : device.is_cuda() ? 40000 : 6000;
      pool = std::make_unique<LatentPool>(vae, device, phase.frames, phase.size, options.render_threads, random.next(), capacity,
                                          options.bfloat16);
      pool_phase = &phase;
    }
    owed += phase.fresh_ratio * phase.batch;
    const int fresh = static_cast<int>(owed);
    owed -= fresh;
    const auto batch = pool->draw(phase.batch, fresh, random);
    const auto ids = caption_ids(*tokenizer, batch.scenes, bundled_transformer_config().max_text_seq_length, random).to(device);
    const auto timestep = stratified_timesteps(phase.batch, scheduler->train_timesteps()).to(device);
    // Equal pieces, so that their mean is the batch's.
    const int pieces = device.is_cuda() ? 1 : static_cast<int>(std::gcd(phase.batch, kPieces));
    const int share = phase.batch / pieces;
    const double loss = threads.run(pieces, [&](int replica, int piece) {
      const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, piece * share, share); };
      at::Tensor part_loss;
      {
        Bfloat16Scope bfloat16(options.bfloat16, device.is_cuda());
        part_loss = velocity_loss(students[static_cast<std::size_t>(replica)], *scheduler, part(batch.latents), part(timestep), part(ids));
      }
      part_loss.backward();
      return part_loss.item<double>();
    });
    const double rate = learning_rate_at(run.fraction(), options.learning_rate, 0.01, 0.02);
    const double norm = optimizer.step(rate);
    const std::string name = std::to_string(phase.frames) + " x " + std::to_string(phase.size) + " px, batch " + std::to_string(phase.batch);
    if (run.advance(loss, norm, rate, name)) save();
  }
  save();
}

}  // namespace ditscope
