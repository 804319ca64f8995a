"""AdaSpa, arXiv:2502.21079: exact block masses at a few steps, the heaviest blocks of each row, three levels of heads."""

import numpy as np

from .common import Result, block_of, expand, in_input_order, logits, softmax


def nearest(x):
    return int(np.floor(x + 0.5))


def block_mass(call, q, k, lse, blocks):
    """W: sum of exp(s q k - LSE) over the rows and columns of each block."""
    p = np.exp(logits(q, k, call.scale) - lse[:, None])
    edges = np.flatnonzero(np.diff(blocks, prepend=-1))
    return np.add.reduceat(np.add.reduceat(p, edges, 0), edges, 1)


def heaviest(mass, text_block, kept, text_in_budget, selection):
    """The kept blocks at one level: text rows and columns, and the heaviest others."""
    n = len(mass)
    mask = np.zeros((n, n), bool)
    mask[text_block], mask[:, text_block] = True, True
    free = np.flatnonzero(~text_block)
    if selection == "head":
        pairs = [(p, c) for p in free for c in free]
        budget = nearest(kept * n * n) - (mask.sum() if text_in_budget else 0)
        pairs.sort(key=lambda pair: -mass[pair])
        for pair in pairs[:max(0, budget)]:
            mask[pair] = True
        return mask
    places = nearest(kept * n) - (text_block.sum() if text_in_budget else 0)
    for p in free:
        mask[p, free[np.argsort(-mass[p, free])][:max(0, places)]] = True
    return mask


def levels(masses, text_block, kept, threshold, head_adaptive, text_in_budget, selection):
    """The kept blocks of each head of one batch element."""
    base = [heaviest(w, text_block, kept, text_in_budget, selection) for w in masses]
    if not head_adaptive:
        return base
    recall = np.array([(w * m).sum() / w.sum() for w, m in zip(masses, base)])
    moved = min((recall > threshold).sum(), len(masses) // 2)
    order = np.argsort(-recall)
    for h in order[:moved]:
        base[h] = heaviest(masses[h], text_block, kept / 2, text_in_budget, selection)
    for h in order[len(order) - moved:]:
        base[h] = heaviest(masses[h], text_block, min(1, 1.5 * kept), text_in_budget, selection)
    return base


class Blocks:
    """The kept blocks of one run, as pairs of tokens: what AdaSpa knows between its searches."""

    def __init__(self, call, kept_ratio=0.2, search_steps=(10, 30), block_tokens=64, head_adaptive=True, recall_threshold=0.8,
                 selection="rows", text_in_budget=True, cached_lse=True):
        self.call, self.search_steps, self.cached_lse = call, search_steps, cached_lse
        self.options = (kept_ratio, recall_threshold, head_adaptive, text_in_budget, selection)
        self.order = np.concatenate([call.visual, call.text_tokens])  # text last
        self.blocks = block_of(call.tokens, block_tokens)
        self.text_block = np.zeros(self.blocks.max() + 1, bool)
        self.text_block[self.blocks[len(call.visual):]] = True
        self.lse, self.masks = {}, {}

    def fused(self, t):
        return t == self.search_steps[0] or (t in self.search_steps and not self.cached_lse)

    def search(self, s, t, b):
        """All heads of one batch element."""
        call, masses = self.call, []
        for h in range(call.q.shape[2]):
            q, k = call.q[s, b, h][self.order], call.k[s, b, h][self.order]
            if self.fused(t):
                self.lse[b, h] = softmax(logits(q, k, call.scale))[1]
            masses.append(block_mass(call, q, k, self.lse[b, h], self.blocks))
        for h, mask in enumerate(levels(masses, self.text_block, *self.options)):
            self.masks[b, h] = in_input_order(expand(mask, self.blocks, self.blocks), self.order)


def run(call, **parameters):
    result, state = Result(call), Blocks(call, **parameters)
    for s, t in call.steps():
        if t in state.search_steps:
            for b in range(call.q.shape[1]):
                state.search(s, t, b)
        for b, h in call.heads():
            result.put(s, b, h, None if t < state.search_steps[0] or state.fused(t) else state.masks[b, h])
        result.count(s, 0.5 if t in state.search_steps and not state.fused(t) else 0)
    return result
