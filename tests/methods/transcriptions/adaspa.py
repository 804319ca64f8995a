"""AdaSpa, arXiv:2502.21079: exact block masses at a few steps, the heaviest blocks of each row, three levels of heads."""

import numpy as np

from .common import Result, block_of, expand, in_input_order, logits


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
        budget = round(kept * n * n) - (mask.sum() if text_in_budget else 0)
        pairs.sort(key=lambda pair: -mass[pair])
        for pair in pairs[:max(0, budget)]:
            mask[pair] = True
        return mask
    places = round(kept * n) - (text_block.sum() if text_in_budget else 0)
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


def run(call, kept_ratio=0.2, search_steps=(10, 30), block_tokens=64, head_adaptive=True, recall_threshold=0.8, selection="rows",
        text_in_budget=True, cached_lse=True):
    result = Result(call)
    order = np.concatenate([call.visual, call.text_tokens])  # text last
    blocks = block_of(call.tokens, block_tokens)
    text_block = np.zeros(blocks.max() + 1, bool)
    text_block[blocks[len(call.visual):]] = True
    lse, masks = {}, {}
    for s, t in call.steps():
        fused = t == search_steps[0] or (t in search_steps and not cached_lse)
        later = t in search_steps and not fused
        if t in search_steps:
            for b in range(call.q.shape[1]):
                masses = []
                for h in range(call.q.shape[2]):
                    if fused:
                        lse[b, h] = result.put(s, b, h)[1][order]
                    masses.append(block_mass(call, call.q[s, b, h][order], call.k[s, b, h][order], lse[b, h], blocks))
                for h, m in enumerate(levels(masses, text_block, kept_ratio, recall_threshold, head_adaptive, text_in_budget,
                                             selection)):
                    masks[b, h] = in_input_order(expand(m, blocks, blocks), order)
        for b, h in call.heads():
            if t < search_steps[0]:
                result.put(s, b, h)
            elif not fused:
                result.put(s, b, h, masks[b, h])
        result.count(s, 0.5 if later else 0)
    return result
