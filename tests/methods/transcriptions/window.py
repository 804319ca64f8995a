"""The window of Re-ttention: |site(i) - site(j)| <= half in every frame, text always; and DiTFastAttn's flat
band. Its logits also from 8-bit integers."""

import numpy as np

from .common import Result, softmax


def window_mask(call, kept_ratio, kind="sites"):
    if kept_ratio >= 1:
        return np.ones((call.tokens, call.tokens), bool)
    visual = np.arange(len(call.visual))
    if kind == "sites":
        place, half = visual % call.frame, int(call.frame * kept_ratio) // 2
    else:
        place, half = visual, int(len(visual) * kept_ratio / 2)
    mask = np.ones((call.tokens, call.tokens), bool)
    mask[np.ix_(call.visual, call.visual)] = np.abs(place[:, None] - place[None, :]) <= half
    return mask


def eight_bits(x, size):
    """Each group of `size` rows in whole steps of a 127th of its largest value (SageAttention, arXiv:2410.02367)."""
    out = np.zeros_like(x)
    for start in range(0, len(x), size):
        group = x[start:start + size]
        step = np.abs(group).max() / 127
        out[start:start + size] = np.round(group / step) * step
    return out


def in_eight_bits(call, q, k, v, mask, qk):
    """Attention over logits of 8-bit q and k; keys without their mean, which moves all logits of a row alike."""
    k = k if qk == "int8-unsmoothed" else k - k.mean(0)
    groups = (1, 1) if qk == "int8-token" else (128, 64)
    s = call.scale * eight_bits(q, groups[0]) @ eight_bits(k, groups[1]).T
    return softmax(np.where(mask, s, -np.inf))[0] @ v


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites", qk="float"):
    result, mask = Result(call), window_mask(call, kept_ratio, window)
    for s, t in call.steps():
        full = t < warmup_steps or (refresh_period > 0 and (t - warmup_steps) % refresh_period == 0)
        for b, h in call.heads():
            result.put(s, b, h, None if full else mask)
            if qk != "float" and not full:
                result.out[s, b, h] = in_eight_bits(call, call.q[s, b, h], call.k[s, b, h], call.v[s, b, h], mask, qk)
        result.count(s)
    return result
