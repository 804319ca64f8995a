"""DiTScope auto's correction, docs/methods/ditscope-auto.md: the residual of the last refresh, moved by the change of attention
between means of groups since then, and the weight of the kept pairs from their log-sum-exp."""

import numpy as np

from .common import Result, attention, logits, softmax
from .window import window_mask


class Groups:
    """Runs of `group_tokens` visual tokens along `order`, every text token by itself."""

    def __init__(self, call, order, group_tokens):  # a plan's own order of tokens, else that of the file
        self.order = order
        self.of = np.zeros(call.tokens, int)  # the group of each place
        number, run = -1, 0
        is_text = call.is_text[order]
        for place in range(call.tokens):
            fresh = is_text[place] or place == 0 or is_text[place - 1] or run == group_tokens
            number, run = (number + 1, 1) if fresh else (number, run + 1)
            self.of[place] = number
        self.n = np.bincount(self.of).astype(float)

    def sums(self, x):
        """Sums by group of the rows of x, which are in input order."""
        return self.sums_of_places(x[self.order])

    def sums_of_places(self, x):
        total = np.zeros((len(self.n),) + x.shape[1:])
        np.add.at(total, self.of, x)
        return total

    def means(self, x):
        return self.sums(x) / self.n[:, None]

    def of_token(self, values):
        """A value of each group as one of each token."""
        out = np.zeros((len(self.order),) + values.shape[1:])
        out[self.order] = values[self.of]
        return out


def position_major(call):
    """The places of the tokens: the frames of a site side by side, text where it is."""
    visual = call.visual.reshape(call.grid[0], -1).T.reshape(-1)
    return np.concatenate([call.text_tokens, visual] if call.text_first else [visual, call.text_tokens])


def pooled(call, q, k, v, groups, mask):
    """lambda and u of each group: what means say of the skipped pairs."""
    kept = groups.sums_of_places(groups.sums_of_places(mask[groups.order][:, groups.order].astype(float)).T).T
    m = groups.n[None, :] * (1 - kept / np.outer(groups.n, groups.n))
    with np.errstate(divide="ignore"):
        p, lam = softmax(np.log(np.maximum(m, 0)) + call.scale * (groups.means(q) @ groups.means(k).T))
    return lam, p @ groups.means(v)


def correct(call, plan, groups, warmup_steps, refresh_period, measured_mass=True, pooled_change=True):
    """`plan` (s, t, b, h) -> mask is asked at refreshes."""
    result, state = Result(call), {}
    result.rho = np.ones(result.lse.shape)
    means_cost = (len(groups.n) / call.tokens) ** 2 if pooled_change else 0
    for s, t in call.steps():
        refresh = t >= warmup_steps and (t - warmup_steps) % refresh_period == 0
        for head in call.heads():
            q, k, v = call.q[s][head], call.k[s][head], call.v[s][head]
            if t < warmup_steps:
                result.put(s, *head)
                continue
            if refresh:
                full, lse_full = result.put(s, *head)
                mask = plan(s, t, *head)
                window, lse_window = attention(q, k, v, call.scale, mask)
                rho = np.exp(lse_window - lse_full)
                skipped = logits(q, k, call.scale, ~mask)
                lse_skipped = softmax(skipped)[1]
                state[head] = dict(mask=mask, rho=rho, residual=full - rho[:, None] * window, lse=lse_skipped,
                                   none=1 - rho < 1e-6, at=pooled(call, q, k, v, groups, mask))
                continue
            h = state[head]
            o, lse_window = result.put(s, *head, h["mask"])
            lam, u = pooled(call, q, k, v, groups, h["mask"])
            lam_r, u_r = h["at"]
            with np.errstate(over="ignore", invalid="ignore"):
                change = groups.of_token(lam - lam_r) if pooled_change else 0
                rho = 1 / (1 + np.exp(h["lse"] + change - lse_window)) if measured_mass else h["rho"]
            rho = np.where(h["none"], 1, rho)
            ratio = np.minimum((1 - rho) / np.where(h["none"], 1, 1 - h["rho"]), 8)
            moved = groups.of_token(u - u_r) if pooled_change else np.zeros_like(o)
            result.out[s][head] = rho[:, None] * o + ratio[:, None] * h["residual"] + (1 - rho)[:, None] * moved
            result.rho[s][head] = rho
        if t >= warmup_steps:
            kept = np.mean([state[head]["mask"].mean() for head in call.heads()])
            result.achieved[s] = kept + (1 if refresh else 0) + means_cost
    return result


def run(call, kept_ratio=1 / 32, warmup_steps=3, refresh_period=5, group_tokens=16, **switches):
    mask = window_mask(call, kept_ratio)
    return correct(call, lambda s, t, b, h: mask, Groups(call, np.arange(call.tokens), group_tokens), warmup_steps, refresh_period, **switches)
