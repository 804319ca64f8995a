"""The window of Re-ttention: |site(i) - site(j)| <= half in every frame, text always; and DiTFastAttn's flat band."""

import numpy as np

from .common import Result


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


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites"):
    result, mask = Result(call), window_mask(call, kept_ratio, window)
    for s, t in call.steps():
        full = t < warmup_steps or (refresh_period > 0 and (t - warmup_steps) % refresh_period == 0)
        for b, h in call.heads():
            result.put(s, b, h, None if full else mask)
        result.count(s)
    return result
