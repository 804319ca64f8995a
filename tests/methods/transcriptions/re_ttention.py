"""Re-ttention, arXiv:2505.22918, Eqs. 8 to 10, with the ramp of its code."""

import numpy as np

from .common import Result, attention
from .stored_residual import stored
from .window import window_mask


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites", ramp=0.04, clamp=False, use_rho=True,
        use_residual=True, ramp_at_once=False, plan=None, residual_kept="as-computed", residual_rank=16,
        searches=()):
    """`plan` (s, t, b, h) -> mask chooses at refreshes, in place of the window; `searches` are refreshes too."""
    result, masks = Result(call), {}
    result.rho, result.mass = np.ones(result.lse.shape), np.ones(result.lse.shape)
    rho, residual = {}, {}
    if kept_ratio >= 1 and plan is None:
        warmup_steps = call.total_steps  # a window that skips nothing is full attention at every step
    for s, t in call.steps():
        refresh = t >= warmup_steps and (t in searches or (t - warmup_steps) % refresh_period == 0)
        for head in call.heads():
            q, k, v = call.q[s][head], call.k[s][head], call.v[s][head]
            if t < warmup_steps:
                result.put(s, *head)
            elif refresh:
                full, lse_full = result.put(s, *head)
                masks[head] = plan(s, t, *head) if plan else window_mask(call, kept_ratio, window)
                windowed, lse_window = attention(q, k, v, call.scale, masks[head])
                rho[head] = np.exp(lse_window - lse_full)
                if not use_rho:
                    rho[head] = np.ones_like(rho[head])
                residual[head] = full - rho[head][:, None] * windowed
                skipped = 1 - rho[head]  # what the residual stands for, of the mass of a row
                if use_rho and ramp_at_once:
                    rho[head] = advance(rho[head], ramp, clamp)
                residual[head] = stored(residual[head], residual_kept, residual_rank) if use_residual else np.zeros_like(full)
                residual[head, "mass"] = skipped if use_residual else 0
            else:
                o, _ = result.put(s, *head, masks[head])
                result.out[s][head] = rho[head][:, None] * o + residual[head]
                result.rho[s][head] = rho[head]
                result.mass[s][head] = rho[head] + residual[head, "mass"]
                if use_rho:
                    rho[head] = advance(rho[head], ramp, clamp)
        result.count(s, np.mean(list(masks.values())) if refresh else 0)
    return result


def advance(rho, ramp, clamp):
    return np.minimum(1, rho + ramp) if clamp else rho + ramp
