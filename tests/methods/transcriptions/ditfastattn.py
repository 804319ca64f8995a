"""DiTFastAttn, arXiv:2406.08552: window attention with residual sharing (WA-RS),
outputs taken again (AST), branches shared (ASC)."""

import numpy as np

from .common import Result, attention
from .window import window_mask


FULL, AST, RESIDUAL_SHARED, RESIDUAL, SHARED = range(5)


def planned(call, plan, mask):
    """What a plan says of each step."""
    result, half = Result(call), call.q.shape[1] // 2
    residual = {}
    for s, t in call.steps():
        code = plan[t]
        shares, full = code in (RESIDUAL_SHARED, SHARED), code in (FULL, SHARED)
        later = plan[t + 1:]
        until = next((i for i, c in enumerate(later) if c in (FULL, SHARED)), len(later))
        wanted = full and any(c in (RESIDUAL_SHARED, RESIDUAL) for c in later[:until])
        if code == AST:
            result.out[s], result.mask[s], result.lse[s] = result.out[s - 1], False, -np.inf
        for b, h in call.heads() if code != AST else ():
            o, _ = result.put(s, b, h, None if full else mask)
            if wanted:
                source = half + b % half if shares else b  # the branch that is computed
                q, k, v = call.q[s, source, h], call.k[s, source, h], call.v[s, source, h]
                residual[b, h] = attention(q, k, v, call.scale)[0] - attention(q, k, v, call.scale, mask)[0]
            if not full:
                result.out[s, b, h] = o + residual[b, h]
        if shares:
            result.out[s, :half] = result.out[s, half:]
        result.count(s, mask.mean() if wanted else 0)
        result.achieved[s] /= 2 if shares else 1
    return result


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites", reuse_period=1, share_branches=False,
        asc_residual="own", tables=None):
    result, mask = Result(call), window_mask(call, kept_ratio, window)
    if tables:
        return planned(call, [int(code) for code in tables["plan"][:, 0]], mask)
    half = call.q.shape[1] // 2
    residual, sparse = {}, 0
    for s, t in call.steps():
        warm, refresh = t < warmup_steps, t >= warmup_steps and (t - warmup_steps) % refresh_period == 0
        sparse = 0 if refresh or warm else sparse + 1
        again = sparse > 0 and sparse % reuse_period != 0
        for b, h in call.heads():
            if warm:
                result.put(s, b, h)
            elif refresh:
                full, _ = result.put(s, b, h)
                residual[b, h] = full - attention(call.q[s, b, h], call.k[s, b, h], call.v[s, b, h], call.scale, mask)[0]
            elif again:
                result.out[s, b, h] = result.out[s - 1, b, h]
                result.mask[s, b, h] = False
                result.lse[s, b, h] = -np.inf
            else:
                o, _ = result.put(s, b, h, mask)
                first = share_branches and asc_residual == "first-half"
                result.out[s, b, h] = o + residual[b - half if first and b >= half else b, h]
        if sparse and share_branches and not again and call.branches == 2:
            for b in range(half):
                result.out[s, b] = result.out[s, b + half]
        result.count(s, mask.mean() if refresh else 0)
        if sparse and share_branches and not again and call.branches == 2:
            result.achieved[s] /= 2
    return result
