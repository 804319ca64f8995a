"""RainFusion, arXiv:2505.21036: each head near in time, near in space, or every so-manieth key,
by its recall on sampled tokens."""

import numpy as np

from .common import at_every_call, logits, softmax


def patterns(call, bandwidth, texture_period):
    n = np.arange(len(call.visual))
    f, site = n // call.frame, n % call.frame
    masks = {
        "spatial": (np.abs(f[:, None] - f[None, :]) <= int(bandwidth * call.grid[0] / 2)) | (f == 0)[None, :],
        "temporal": np.abs(site[:, None] - site[None, :]) <= int(bandwidth * call.frame) // 2,
        "textural": (n[:, None] - n[None, :]) % texture_period == 0,
    }
    whole = {}
    for kind, mask in masks.items():
        whole[kind] = np.ones((call.tokens, call.tokens), bool)
        whole[kind][np.ix_(call.visual, call.visual)] = mask
    return whole


def chosen(call, q, k, bandwidth=0.5, recall_threshold=0.9, sample_stride=8, texture_period=2):
    masks = patterns(call, bandwidth, texture_period)
    sampled = call.visual[::sample_stride]
    p, _ = softmax(logits(q[sampled], k[sampled], call.scale))
    for kind in ("temporal", "spatial"):
        if (p * masks[kind][np.ix_(sampled, sampled)]).sum() / len(sampled) >= recall_threshold:
            return masks[kind]
    return masks["textural"]


def run(call, warmup_steps=5, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters, search=0.5 / parameters.get("sample_stride", 8) ** 2)
