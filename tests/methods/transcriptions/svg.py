"""Sparse VideoGen, arXiv:2502.01776: one band, over frames (spatial head) or over sites (temporal head). All rows are sampled."""

import numpy as np

from .common import Result, attention, in_input_order


def band(call, kept_ratio, sink):
    """The band over positions 0..T-1, text where it is in the call; `sink`: keys of a frame's worth of visual tokens for all."""
    tokens, text = call.tokens, call.text
    share = max(0.0, kept_ratio - 2 * text / tokens)
    width = tokens * (1 - np.sqrt(1 - share))
    i = np.arange(tokens)
    gap = np.abs(i[:, None] - i[None, :])
    if text:
        mask = gap < max(1, 128 * int(width / 128))
        mask[call.is_text], mask[:, call.is_text] = True, True
    else:
        mask = gap <= 128 * np.ceil(width / 128)
    if sink:
        mask[:, call.visual[:call.frame]] = True
    return mask


def temporal_order(call):
    """Places of a call laid site after site: the token of each place, text in place."""
    order = np.arange(call.tokens)
    order[call.visual] = call.visual.reshape(call.grid[0], call.frame).T.reshape(-1)
    return order


def profiling(call, code, sink):
    """The coarse bands of the sampled rows, spatial and temporal, over blocks of 128 tokens of the video; the code counts
    those of the spatial one from the first token, text included."""
    reach = max(1, int((1.5 if call.text else 2.0) * call.frame / 128))
    i = np.arange(call.tokens)
    masks = []
    for start in (0 if code else call.visual[0], call.visual[0]):
        blocks = (i - start) // 128
        mask = np.abs(blocks[:, None] - blocks[None, :]) < reach
        if sink:
            mask[:, call.visual[:call.frame]] = True
        mask[call.is_text], mask[:, call.is_text] = True, True
        masks.append(mask)
    return masks


def run(call, kept_ratio=0.25, warmup_steps=10, sampled_rows=1024, profiling_blocks="visual", first_frame_sink="auto"):
    result = Result(call)
    sink = not call.text if first_frame_sink == "auto" else first_frame_sink == "on"
    executed, order = band(call, kept_ratio, sink), temporal_order(call)
    spatial, temporal = profiling(call, profiling_blocks == "code", sink)
    masks = {"spatial": (executed, spatial),
             "temporal": (in_input_order(executed, order), in_input_order(temporal, order))}
    for s, t in call.steps():
        for b, h in call.heads():
            if t < warmup_steps:
                result.put(s, b, h)
                continue
            q, k, v = call.q[s, b, h], call.k[s, b, h], call.v[s, b, h]
            full = attention(q, k, v, call.scale)[0]
            error = {kind: ((attention(q, k, v, call.scale, m[1])[0] - full) ** 2).mean() for kind, m in masks.items()}
            result.put(s, b, h, masks[min(error, key=error.get)][0])
        result.count(s, min(sampled_rows, call.tokens) / call.tokens if t >= warmup_steps else 0)
    return result
