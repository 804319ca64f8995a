"""DiTScope auto, docs/methods/ditscope-auto.md: blocks bought by what attention between means of groups misses of them."""

import numpy as np

from .anchored import Groups, correct, position_major
from .common import block_of, expand, in_input_order, softmax


def densities(call, q, k, groups, blocks, blocks_by):
    """W_ij / (n_i n_j) of the blocks of one head."""
    q_mean, k_mean = groups.means(q), groups.means(k)
    p, _ = softmax(np.log(groups.n) + call.scale * (q_mean @ k_mean.T))
    sigma = 1.0
    if blocks_by == "spread":
        q_square, k_square = groups.means(q ** 2), groups.means(k ** 2)
        sigma = np.sqrt(np.maximum(q_square @ (k_square - k_mean ** 2).T + (q_square - q_mean ** 2) @ (k_mean ** 2).T, 0))
    # w is of a pair of groups; a place has its share of it
    w = groups.n[:, None] * p * sigma / np.outer(groups.n, groups.n)
    of_places = w[groups.of][:, groups.of]
    edges = np.flatnonzero(np.diff(blocks, prepend=-1))
    sums = np.add.reduceat(np.add.reduceat(of_places, edges, 0), edges, 1)
    n = np.bincount(blocks)
    return sums / np.outer(n, n)


def best_blocks(density, pairs, budget):
    """The best blocks of a list of heads, (H,N,N), until `budget` pairs are spent."""
    kept, spent = np.zeros(density.shape, bool), 0
    for place in np.argsort(-density, axis=None, kind="stable"):
        at = np.unravel_index(place, density.shape)
        if spent + pairs[at[1:]] > budget:
            break
        kept[at] = True
        spent += pairs[at[1:]]
    return kept


class Plan:
    """The blocks of one batch element, chosen at a refresh."""

    def __init__(self, call, kept_ratio=0.03, group_tokens=16, blocks_by="spread", share_heads=True,
                 share_layers=True):
        self.call, self.kept_ratio, self.blocks_by, self.share_heads, self.share_layers = call, kept_ratio, blocks_by, share_heads, share_layers
        self.groups = Groups(call, position_major(call), group_tokens)
        self.blocks = block_of(call.tokens, 64)
        n = np.bincount(self.blocks)
        self.pairs, self.seen = np.outer(n, n), {}

    def density(self, s, b):
        call = self.call
        return np.stack([densities(call, call.q[s, b, h], call.k[s, b, h], self.groups, self.blocks, self.blocks_by)
                         for h in range(call.q.shape[2])])

    def observe(self, s, b):
        """The last step of warm-up."""
        self.seen[b] = self.density(s, b)

    def choose(self, s, b):
        """The one layer of a file spends what it would have kept of what was seen before, had all heads drawn on one budget."""
        call, heads = self.call, self.call.q.shape[2]
        density, budget = self.density(s, b), self.kept_ratio * call.tokens ** 2 * heads
        if self.share_layers and b in self.seen:
            budget = (best_blocks(self.seen[b], self.pairs, budget) * self.pairs).sum()
        self.seen[b] = density
        if self.share_heads:
            kept = best_blocks(density, self.pairs, budget)
        else:
            kept = np.concatenate([best_blocks(d[None], self.pairs, budget / heads) for d in density])
        return [in_input_order(expand(m, self.blocks, self.blocks), self.groups.order) for m in kept]


class Chosen:
    """A plan as corrections ask for it."""

    def __init__(self, call, warmup_steps=3, **parameters):
        self.plan, self.masks, self.warmup_steps = Plan(call, **parameters), {}, warmup_steps

    def __call__(self, s, t, b, h):
        if h == 0 and s > 0 and t == self.warmup_steps:
            self.plan.observe(s - 1, b)
        if h == 0:
            self.masks[b] = self.plan.choose(s, b)
        return self.masks[b][h]


def run(call, warmup_steps=3, refresh_period=5, measured_mass=True, pooled_change=True, **parameters):
    chosen = Chosen(call, warmup_steps, **parameters)
    return correct(call, chosen, chosen.plan.groups, warmup_steps, refresh_period, measured_mass, pooled_change)
