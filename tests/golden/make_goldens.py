#!/usr/bin/env python3
"""Makes the CogVideoX goldens with diffusers and transformers, and compares DiTScope with diffusers on any model folder.

  make_goldens.py OUT                          writes OUT/cogx_<case>/ and OUT/keys_<model>.txt
  make_goldens.py --live DIR --cli DITSCOPE    runs diffusers and ditscope-cli on DIR and prints how far apart they are
  make_goldens.py --live DIR --frames F --latents L --embeds E
                                               the same against safetensors that DiTScope wrote before

Each case is a tiny pipeline with random weights in diffusers' format (norms, biases and tables perturbed, so that a swapped
pair shows), with what diffusers makes of it, from the folder as loaded again:
  golden.json          the arguments of the call
  goldens.safetensors  token_ids, negative_token_ids, prompt_embeds, negative_prompt_embeds, initial_latents,
                       first_noise_prediction, timesteps, latents_per_step (S,B,F,C,Y,X), frames (F,3,Y,X) in 0..1;
                       given.latents: the last latents of a run that was given initial_latents, so that its generator begins
                       with the scheduler's first draw;
                       module.*: the transformer alone on inputs of another size
cogx_modules/ holds a transformer with every unusual switch and its gradients, and walks of the two schedulers.

Needs torch 2.11, diffusers 0.42.1, transformers 5.23, sentencepiece, safetensors.
"""
import os

os.environ.update(TRANSFORMERS_VERBOSITY="error", DIFFUSERS_VERBOSITY="error", TQDM_DISABLE="1", HF_HUB_OFFLINE="1")
import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
import sentencepiece
import torch
import transformers
from diffusers import (AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXDPMScheduler, CogVideoXPipeline,
                       CogVideoXTransformer3DModel)
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel, T5Tokenizer

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SCHEDULE = dict(clip_sample=False, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
TEXT_TOKENS = 16


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def perturbed(module, seed, amount=0.15):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * amount)
    return module.eval()


# ---------------------------------------------------------------- the parts of a tiny pipeline


def make_tokenizer(folder):
    """A unigram SentencePiece model over a hundred pieces, trained on made-up captions."""
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(0)
    words = ("a an the small large red green blue cat dog ship horse cactus monkey dance riding happy face moves left right over "
             "under river mountain snow rain at night with in of and camera pans slowly bright dark").split()
    captions = [" ".join(rng.choice(words) for _ in range(rng.randint(3, 14))) for _ in range(4000)]
    with open(os.path.join(folder, "spiece.model"), "wb") as file:  # through a writer: the model would remember file names
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(captions), model_writer=file, vocab_size=120, hard_vocab_limit=False, model_type="unigram",
            normalization_rule_name="identity", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=2)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
                   "extra_ids": 100, "model_max_length": 226}, file)


def make_text_encoder():
    torch.manual_seed(0)
    config = T5Config(vocab_size=256, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu")
    return perturbed(T5EncoderModel(config).eval(), 3, 0.1)


def make_vae():
    torch.manual_seed(0)
    vae = AutoencoderKLCogVideoX(block_out_channels=(4, 4, 4, 4), latent_channels=4, layers_per_block=1,
                                 norm_num_groups=2, scaling_factor=0.7)
    return perturbed(vae, 5, 0.03)


def make_transformer(**changes):
    torch.manual_seed(0)
    config = dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=24,
                  text_embed_dim=16, num_layers=2, sample_width=6, sample_height=4, sample_frames=5,
                  max_text_seq_length=TEXT_TOKENS)
    return perturbed(CogVideoXTransformer3DModel(**{**config, **changes}), 7)


ROTARY = dict(use_rotary_positional_embeddings=True)
TIME_PATCHES = dict(use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False, sample_width=16, sample_height=16)
DDIM = CogVideoXDDIMScheduler(snr_shift_scale=3.0, **SCHEDULE)
DPM = CogVideoXDPMScheduler(snr_shift_scale=1.0, **SCHEDULE)

# name, transformer, scheduler, tokenizer, what the call is given. The published 2B and 5B have a SentencePiece model
# ("spiece"), newer folders a tokenizer.json ("json"). make_text_goldens.py covers T5's own normalization.
CASES = [
    ("2b_ddim", dict(num_layers=1), DDIM, "spiece",
     dict(prompt="a small red cat moves left over the river", negative_prompt="", num_inference_steps=4, guidance_scale=6.0,
          height=48, width=32, num_frames=9)),
    ("2b_default_size", {}, DDIM, "spiece",
     dict(prompt="dance monkey", num_inference_steps=3, guidance_scale=1.0, height=32, width=48, num_frames=5)),
    ("2b_dpm", dict(num_layers=1, sample_width=4, sample_height=6, sample_frames=13), DPM, "spiece",
     dict(prompt="two yellow ducks swim right", negative_prompt="dark", num_inference_steps=5, guidance_scale=5.0,
          height=48, width=32, num_frames=13)),
    ("5b_dpm_dynamic_cfg", ROTARY, DPM, "spiece",
     dict(prompt="a happy horse with a blue face, riding slowly", negative_prompt="dark ship", num_inference_steps=5,
          guidance_scale=6.0, use_dynamic_cfg=True, height=32, width=48, num_frames=17)),
    ("5b_ddim", dict(attention_head_dim=32, num_attention_heads=1, num_layers=1, **ROTARY), DDIM, "spiece",
     dict(prompt="the camera pans right", negative_prompt="", num_inference_steps=4, guidance_scale=4.0, height=48, width=32,
          num_frames=9)),
    ("5b_no_cfg", dict(num_layers=1, **ROTARY), DPM, "json",
     dict(prompt="blue  face\u2026 at n\u00efght", num_inference_steps=3, guidance_scale=1.0, height=64, width=64,
          num_frames=1)),
    ("15_padded", TIME_PATCHES, DPM, "json",
     dict(prompt="a large green cactus in the rain", negative_prompt="snow", num_inference_steps=4, guidance_scale=6.0,
          height=32, width=48, num_frames=9)),
    ("15_even", dict(num_layers=1, **TIME_PATCHES), DDIM, "json",
     dict(prompt="bright mountain", num_inference_steps=3, guidance_scale=1.0, height=48, width=32, num_frames=5)),
]


# ---------------------------------------------------------------- running a pipeline


def load_pipeline(folder):
    pipe = CogVideoXPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.text_encoder.eval()  # a text encoder in training mode would drop out
    return pipe


def run_pipeline(pipe, call, seed):
    """What diffusers makes of a call, with everything on the way."""
    out, steps = {}, []

    def on_step(_, index, timestep, values):
        steps.append(values["latents"].clone())
        return {}

    def on_transformer(module, args, kwargs, output):
        if "first_noise_prediction" not in out:
            branches = 2 if call["guidance_scale"] > 1 else 1
            out["first_noise_prediction"] = output[0].clone()
            out["initial_latents"] = kwargs["hidden_states"].chunk(branches)[0].clone()
            texts = kwargs["encoder_hidden_states"].chunk(branches)
            out["prompt_embeds"] = texts[-1].clone()
            if branches == 2:
                out["negative_prompt_embeds"] = texts[0].clone()

    hook = pipe.transformer.register_forward_hook(on_transformer, with_kwargs=True)
    begin = time.time()
    frames = pipe(generator=torch.Generator().manual_seed(seed), output_type="pt", callback_on_step_end=on_step, **call).frames
    seconds = time.time() - begin
    hook.remove()
    out["frames"] = frames[0].float()
    out["latents_per_step"] = torch.stack(steps)
    out["timesteps"] = pipe.scheduler.timesteps.clone()
    for key, text in (("token_ids", call["prompt"]), ("negative_token_ids", call.get("negative_prompt"))):
        if text is not None:
            out[key] = pipe.tokenizer(text, padding="max_length", max_length=call["max_sequence_length"], truncation=True,
                                      add_special_tokens=True, return_tensors="pt").input_ids
    return {key: value.contiguous() for key, value in out.items()}, seconds


def rotary_of(pipe, transformer, frames, rows, columns):
    if not transformer.config.use_rotary_positional_embeddings:
        return None
    scale = pipe.vae_scale_factor_spatial
    return pipe._prepare_rotary_positional_embeddings(rows * scale, columns * scale, frames, torch.device("cpu"))


def run_transformer(pipe, frames=4, rows=6, columns=10):
    """The transformer alone: two unlike samples at two timesteps, on a grid that is not the pipeline's."""
    transformer = pipe.transformer
    latents, text = noise(2, frames, 4, rows, columns, seed=11), noise(2, TEXT_TOKENS, 16, seed=12)
    timestep = torch.tensor([999, 19])
    with torch.no_grad():
        output = transformer(latents, text, timestep, image_rotary_emb=rotary_of(pipe, transformer, frames, rows, columns),
                             return_dict=False)[0]
    return {"module.latents": latents, "module.text": text, "module.timestep": timestep, "module.output": output.contiguous()}


def make_case(out, name, transformer, scheduler, tokenizer_kind, call):
    folder = os.path.join(out, "cogx_" + name)
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as tokenizer:
        make_tokenizer(tokenizer)
        pipe = CogVideoXPipeline(T5Tokenizer.from_pretrained(tokenizer), make_text_encoder(), make_vae(),
                                 make_transformer(**transformer), scheduler)
        pipe.save_pretrained(folder)
        if tokenizer_kind == "spiece":
            shutil.rmtree(os.path.join(folder, "tokenizer"))
            shutil.copytree(tokenizer, os.path.join(folder, "tokenizer"))
    call = dict(max_sequence_length=TEXT_TOKENS, **call)
    seed = 42 + len(name)
    pipe = load_pipeline(folder)
    tensors, _ = run_pipeline(pipe, call, seed)
    given = pipe(generator=torch.Generator().manual_seed(seed), latents=tensors["initial_latents"], output_type="latent", **call)
    tensors["given.latents"] = given.frames.contiguous()
    tensors.update(run_transformer(pipe))
    save_file(tensors, os.path.join(folder, "goldens.safetensors"))
    with open(os.path.join(folder, "golden.json"), "w") as file:
        json.dump({"call": call, "seed": seed, "scheduler": type(scheduler).__name__, "versions": versions()}, file, indent=2)
        file.write("\n")
    frames = tensors["frames"]
    inside = float(((frames > 0) & (frames < 1)).float().mean())
    print(f"cogx_{name}: frames {tuple(frames.shape)} std {float(frames.std()):.3f} unclamped {inside:.2f} "
          f"latents std {float(tensors['latents_per_step'][-1].std()):.2f} size {size_of(folder) / 1e3:.0f} kB", flush=True)


def size_of(folder):
    return sum(os.path.getsize(os.path.join(root, file)) for root, _, files in os.walk(folder) for file in files)


def versions():
    import diffusers
    return {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__,
            "transformers": transformers.__version__}


# ---------------------------------------------------------------- modules


def make_odd_transformer(folder):
    """Every switch away from its default, with the gradient of every weight."""
    torch.manual_seed(0)
    model = perturbed(CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=3, out_channels=3, flip_sin_to_cos=False, freq_shift=1,
        time_embed_dim=8, text_embed_dim=12, num_layers=1, attention_bias=False, sample_width=9, sample_height=6, sample_frames=9,
        patch_size=3, temporal_compression_ratio=8, max_text_seq_length=5, activation_fn="gelu", timestep_activation_fn="mish",
        norm_elementwise_affine=False, norm_eps=1e-3, spatial_interpolation_scale=1.5, temporal_interpolation_scale=2.0,
        patch_bias=False), 9)
    latents, text, timestep = noise(2, 3, 3, 9, 12, seed=21), noise(2, 5, 12, seed=22), torch.tensor([3, 700])
    weight = noise(2, 3, 3, 9, 12, seed=23)
    output = model(latents, text, timestep, return_dict=False)[0]
    (output * weight).sum().backward()
    tensors = {"latents": latents, "text": text, "timestep": timestep, "weight": weight, "output": output.detach().contiguous()}
    tensors.update({"grad." + key: value.grad for key, value in model.named_parameters()})
    model.save_pretrained(os.path.join(folder, "odd_transformer"))
    save_file(tensors, os.path.join(folder, "odd_transformer", "goldens.safetensors"))


def make_rotary_tables(folder):
    """Rotary tables of CogVideoX-5B's base grid stretched over others: the first row and the first column of frame 1 of 3."""
    tensors = {}
    for rows, columns in ((30, 45), (45, 30), (48, 80), (7, 31), (29, 44)):
        crop = get_resize_crop_region_for_grid((rows, columns), 45, 30)
        for name, table in zip(("cos", "sin"), get_3d_rotary_pos_embed(16, crop, (rows, columns), 3)):
            table = table.view(3, rows, columns, 16)
            tensors[f"{rows}x{columns}.{name}"] = torch.cat([table[1, 0], table[1, :, 0]]).contiguous()
    save_file(tensors, os.path.join(folder, "rotary.safetensors"))


def make_scheduler_walks(folder):
    """Both schedulers over made-up model outputs: a walk a configuration, in one file."""
    configs = [
        ("ddim_2b", DDIM, 5), ("dpm_5b", DPM, 6), ("dpm_one_step", DPM, 1), ("ddim_thirteen", DDIM, 13), ("dpm_seven", DPM, 7),
        ("ddim_defaults", CogVideoXDDIMScheduler(), 7), ("dpm_defaults", CogVideoXDPMScheduler(), 7),
        ("ddim_linear", CogVideoXDDIMScheduler(beta_schedule="linear", timestep_spacing="linspace", prediction_type="sample",
                                               set_alpha_to_one=False), 6),
        ("dpm_cosine", CogVideoXDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", steps_offset=1,
                                             set_alpha_to_one=False), 9),
        ("ddim_trained", CogVideoXDDIMScheduler(num_train_timesteps=8, trained_betas=[0.01 * (i + 1) for i in range(8)],
                                                timestep_spacing="trailing", prediction_type="v_prediction"), 4),
    ]
    tensors, index = {}, {}
    for name, scheduler, steps in configs:
        scheduler.set_timesteps(steps)
        generator = torch.Generator().manual_seed(77)
        sample, outputs = noise(1, 2, 3, 4, 5, seed=31), noise(steps, 1, 2, 3, 4, 5, seed=32)
        tensors[name + ".sample"], tensors[name + ".outputs"] = sample, outputs
        tensors[name + ".timesteps"] = scheduler.timesteps
        tensors[name + ".alphas_cumprod"] = scheduler.alphas_cumprod.double()
        walk, originals, old = [], [], None
        for i, t in enumerate(scheduler.timesteps):
            if isinstance(scheduler, CogVideoXDPMScheduler):
                back = scheduler.timesteps[i - 1] if i > 0 else None
                sample, old = scheduler.step(outputs[i], old, t, back, sample, generator=generator, return_dict=False)
            else:
                sample, old = scheduler.step(outputs[i], t, sample, return_dict=False)
            walk.append(sample)
            originals.append(old)
        tensors[name + ".walk"], tensors[name + ".originals"] = torch.stack(walk), torch.stack(originals)
        last = scheduler.config.num_train_timesteps - 1
        clean, spread, at = noise(4, 2, 3, seed=33), noise(4, 2, 3, seed=34), torch.tensor([0, last // 2, last - 1, last])
        tensors[name + ".clean"], tensors[name + ".noise"], tensors[name + ".at"] = clean, spread, at
        tensors[name + ".noisy"] = scheduler.add_noise(clean, spread, at)
        if hasattr(scheduler, "get_velocity"):
            tensors[name + ".velocity"] = scheduler.get_velocity(clean, spread, at)
        index[name] = {"steps": steps, "config": json.loads(scheduler.to_json_string())}
    save_file({key: value.clone().contiguous() for key, value in tensors.items()}, os.path.join(folder, "schedulers.safetensors"))
    with open(os.path.join(folder, "schedulers.json"), "w") as file:
        json.dump(index, file, indent=1)
        file.write("\n")


# The published configs, at one layer: keys and shapes of the checkpoints' first block and of all that is not a block.
PUBLISHED = {
    "cogvideox_2b": dict(num_attention_heads=30, num_layers=30),
    "cogvideox_5b": dict(num_attention_heads=48, num_layers=42, use_rotary_positional_embeddings=True),
    "cogvideox15_5b": dict(num_attention_heads=48, num_layers=42, use_rotary_positional_embeddings=True, patch_size_t=2,
                           patch_bias=False, sample_height=300, sample_width=300, sample_frames=81, max_text_seq_length=224),
}


def make_key_lists(out):
    for name, config in PUBLISHED.items():
        with torch.device("meta"):
            model = CogVideoXTransformer3DModel(**{**config, "num_layers": 1})
        with open(os.path.join(out, f"keys_{name}.txt"), "w") as file:
            for key, value in model.state_dict().items():
                file.write(f"{key} {list(value.shape)}\n")


def make_all(out):
    os.makedirs(out, exist_ok=True)
    for case in CASES:
        make_case(out, *case)
    modules = os.path.join(out, "cogx_modules")
    shutil.rmtree(modules, ignore_errors=True)
    os.makedirs(modules)
    make_odd_transformer(modules)
    make_rotary_tables(modules)
    make_scheduler_walks(modules)
    make_key_lists(out)
    print(f"cogx_modules: {size_of(modules) / 1e3:.0f} kB")


# ---------------------------------------------------------------- live comparison


def relative_error(ours, theirs):
    """Largest difference over the largest magnitude."""
    if tuple(ours.shape) != tuple(theirs.shape):
        return None
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max().clamp_min(1e-30))


def run_cli(cli, folder, call, seed, out, threads):
    """@return seconds of the whole command"""
    command = [cli, "generate", "--model", folder, "--prompt", call["prompt"], "--method", "full", "--device", "cpu",
               "--dtype", "float32", "--seed", str(seed), "--steps", str(call["num_inference_steps"]),
               "--guidance", str(call["guidance_scale"]), "--frames", str(call["num_frames"]), "--width", str(call["width"]),
               "--height", str(call["height"]), "--max-sequence-length", str(call["max_sequence_length"]),
               "--threads", str(threads), "--quiet", "--frames-out", out + "/frames.safetensors",
               "--latents-out", out + "/latents.safetensors",
               "--prompt-embeds-out", out + "/embeds.safetensors", "-o", out + "/video.mp4"]
    if call.get("negative_prompt"):
        command += ["--negative-prompt", call["negative_prompt"]]
    if call.get("use_dynamic_cfg"):
        command += ["--dynamic-cfg"]
    begin = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.time() - begin


def compare(folder, args):
    golden = os.path.join(folder, "golden.json")
    pipe = load_pipeline(folder)
    if os.path.exists(golden):
        with open(golden) as file:
            stored = json.load(file)
        call, seed = stored["call"], stored["seed"]
    else:
        c, scale = pipe.transformer.config, pipe.vae_scale_factor_spatial
        call, seed = dict(prompt=args.prompt, negative_prompt=args.negative_prompt, num_inference_steps=args.steps,
                          guidance_scale=args.guidance, num_frames=args.num_frames or c.sample_frames,
                          height=args.height or c.sample_height * scale, width=args.width or c.sample_width * scale,
                          use_dynamic_cfg=args.dynamic_cfg, max_sequence_length=c.max_text_seq_length), args.seed
    theirs, seconds = run_pipeline(pipe, call, seed)
    print(f"{folder}: diffusers {seconds:.2f} s")
    worst = 0.0
    with tempfile.TemporaryDirectory() as out:
        paths = {"frames": args.frames, "latents": args.latents, "embeds": args.embeds}
        if args.cli:
            print(f"  ditscope-cli {run_cli(args.cli, folder, call, seed, out, torch.get_num_threads()):.2f} s (with loading)")
            paths = {key: f"{out}/{key}.safetensors" for key in paths}
        for path in paths.values():
            if not path:
                continue
            for key, value in load_file(path).items():
                reference = {"latents": theirs["latents_per_step"][-1]}.get(key, theirs.get(key))
                if reference is None:
                    continue
                error = relative_error(value, reference)
                worst = max(worst, float("inf") if error is None else error)
                print(f"  {key:24s} " + (f"shape {tuple(value.shape)}, expected {tuple(reference.shape)}" if error is None
                                          else f"max relative error {error:.2e}"))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", help="folder for the goldens, tests/golden")
    parser.add_argument("--live", nargs="+", metavar="DIR", help="model folders to compare on")
    parser.add_argument("--cli", help="ditscope-cli to run")
    parser.add_argument("--frames", help="safetensors that --frames-out wrote")
    parser.add_argument("--latents", help="safetensors that --latents-out wrote")
    parser.add_argument("--embeds", help="safetensors that --prompt-embeds-out wrote")
    parser.add_argument("--prompt", default="a large red sphere moves left")
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--guidance", type=float, default=6.0)
    parser.add_argument("--num-frames", type=int, default=0)
    parser.add_argument("--height", type=int, default=0)
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--dynamic-cfg", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="torch threads, 0: all cores")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    torch.set_num_threads(args.threads or os.cpu_count())
    if args.live:
        return 0 if max(compare(folder, args) for folder in args.live) <= args.tolerance else 1
    if not args.out:
        parser.error("expected OUT or --live DIR")
    torch.set_num_threads(1)
    make_all(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
