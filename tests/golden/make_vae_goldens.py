"""Makes the goldens of the CogVideoX autoencoder: tiny models with random weights and what diffusers computes with them.

    python make_vae_goldens.py OUT      # needs torch, diffusers 0.42.1, safetensors

writes OUT/vae_*/{config.json, diffusion_pytorch_model.safetensors, io.safetensors}. io holds
  latents (1,C,5,Y,X), decoded_N (1,3,F,Y',X'): decode of the first N latent frames
  video (1,3,17,Y',X'), moments_N (1,2C,F',Y,X): mean and log variance of the first N frames
  tiled_latents, tiled_decoded: decode with tiling on
Norms, gains and offsets are moved off 1 and 0, which would hide swapped weights; rows and columns differ.
"""
import argparse
import os

import torch
from diffusers import AutoencoderKLCogVideoX
from safetensors.torch import save_file

MODELS = {
    # Four blocks, the shape of the published models.
    "vae_four_blocks": dict(block_out_channels=(4, 4, 8, 4), latent_channels=4, norm_num_groups=2, layers_per_block=1, norm_eps=1e-5),
    # Three blocks, both of whose upsamplers double time; tiles of 6 x 5 latents that overlap by one.
    "vae_three_blocks": dict(block_out_channels=(4, 4, 8), latent_channels=3, norm_num_groups=4, layers_per_block=2,
                             sample_height=48, sample_width=40),
    # Two blocks with the convolutions around the latents, which need as many latent channels as colours.
    "vae_quant_convs": dict(block_out_channels=(6, 4), latent_channels=3, norm_num_groups=2, layers_per_block=1,
                            temporal_compression_ratio=2, use_quant_conv=True, use_post_quant_conv=True, scaling_factor=0.7),
}


def make_model(options, seed):
    blocks = len(options["block_out_channels"])
    model = AutoencoderKLCogVideoX(down_block_types=("CogVideoXDownBlock3D",) * blocks,
                                   up_block_types=("CogVideoXUpBlock3D",) * blocks, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.2 if parameter.dim() == 1 else 0.5 * parameter.std().item()
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return model.eval()


@torch.no_grad()
def make_io(model, seed):
    generator = torch.Generator().manual_seed(seed)
    channels, ratio = model.config.latent_channels, 2 ** (len(model.config.block_out_channels) - 1)
    latents = torch.randn(1, channels, 5, 3, 2, generator=generator)
    video = torch.rand(1, 3, 17, 2 * ratio, 3 * ratio, generator=generator) * 2 - 1
    io = {"latents": latents, "video": video}
    for frames in (1, 2, 3, 4, 5):
        io[f"decoded_{frames}"] = model.decode(latents[:, :, :frames]).sample
    for frames in (1, 5, 9, 17):
        posterior = model.encode(video[:, :, :frames]).latent_dist
        io[f"moments_{frames}"] = posterior.parameters
    return io


@torch.no_grad()
def make_tiled_io(model, seed):
    latents = torch.randn(1, model.config.latent_channels, 3, 8, 7, generator=torch.Generator().manual_seed(seed))
    model.enable_tiling()
    return {"tiled_latents": latents, "tiled_decoded": model.decode(latents).sample}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for seed, (name, options) in enumerate(MODELS.items(), start=1):
        folder = os.path.join(out, name)
        make_model(options, seed).save_pretrained(folder)
        model = AutoencoderKLCogVideoX.from_pretrained(folder).eval()
        io = make_io(model, seed + 100)
        if name == "vae_three_blocks":
            io.update(make_tiled_io(model, seed + 200))
        save_file({key: value.contiguous() for key, value in io.items()}, os.path.join(folder, "io.safetensors"))
        for key, value in io.items():
            print(f"{name:18s} {key:14s} {tuple(value.shape)} std {value.std():.3f}")


if __name__ == "__main__":
    main()
