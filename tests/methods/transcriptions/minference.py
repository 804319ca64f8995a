"""MInference, arXiv:2407.02490: each head's pattern of blocks of 64, by the attention of 64 query rows spread over the sequence.

Without causality: diagonals run on both sides of the main one, and are diagonals of blocks. Columns are laid before the other keys."""

import numpy as np

from .common import at_every_call, block_of, expand, logits, means, softmax

SIZE, SAMPLED, FIRST_COLUMNS = 64, 64, 30


def best(values, count):
    return np.argsort(-values, kind="stable")[:count]


def block_sparse(q, k, budget, blocks):
    """The best blocks of each row by products of means, without a scale."""
    score = means(q, blocks)[0] @ means(k, blocks)[0].T
    keep = np.zeros(score.shape, bool)
    for i, row in enumerate(score):
        keep[i, best(row, budget)] = True
    return keep


def a_shape(budget, n):
    """A ninth of the budget at the beginning, the rest around the diagonal, pushed inside at the ends."""
    first = max(budget // 9, 1) if budget > 1 else 0
    local = budget - first
    keep = np.zeros((n, n), bool)
    keep[:, :first] = True
    for m in range(n):
        begin = min(max(m - local // 2, 0), max(n - local, 0))
        keep[m, begin:begin + local] = True
    return keep


def sampled(call, q, k):
    """The rows that are sampled and their attention."""
    count = min(SAMPLED, call.tokens)
    rows = np.arange(count) * call.tokens // count
    return rows, softmax(logits(q[rows], k, call.scale))[0]


def slash(rows, p, count, n):
    """The heaviest diagonals of blocks, the main one among them."""
    by_block = np.add.reduceat(p, np.arange(0, p.shape[1], SIZE), 1)
    sums = np.zeros(2 * n - 1)
    for r, of_row in zip(rows, by_block):
        for j, mass in enumerate(of_row):
            sums[j - r // SIZE + n - 1] += mass
    sums[n - 1] = np.inf
    keep = np.zeros((n, n), bool)
    for d in best(sums, count):
        keep |= np.eye(n, k=d - (n - 1), dtype=bool)
    return keep


def vertical_slash(call, rows, p, budget, n, columns_share):
    """Heaviest columns and diagonals. @return (mask of pairs, share of the sampled attention that it holds)"""
    count = min(int(columns_share * budget), call.tokens // SIZE) * SIZE
    diagonals = slash(rows, p, max(budget - count // SIZE, 1), n)
    sums = p.sum(0)
    sums[:min(FIRST_COLUMNS, count)] = np.inf
    chosen = np.zeros(call.tokens, bool)
    chosen[best(sums, count)] = True
    outside = np.where(chosen, 0, p)
    on_diagonals = np.add.reduceat(outside, np.arange(0, call.tokens, SIZE), 1)[diagonals[rows // SIZE]]
    held = p[:, chosen].sum() + on_diagonals.sum()

    slot = np.empty(call.tokens, int)  # of each key: chosen columns, then the others
    slot[np.concatenate([np.flatnonzero(chosen), np.flatnonzero(~chosen)])] = np.arange(call.tokens)

    def block_after(token):
        """The block that holds a token once columns are laid first; of a column, the one where its neighbours went."""
        token = min(token, call.tokens - 1)
        place = slot[token] if not chosen[token] else count + (~chosen[:token]).sum() - 1
        return min(max(place, count), call.tokens - 1) // SIZE

    if count == 0:
        return expand(diagonals, *[block_of(call.tokens, SIZE)] * 2), held
    keep = np.zeros((n, n), bool)
    keep[:, :count // SIZE] = True
    for m in range(n):
        for j in np.flatnonzero(diagonals[m]):
            keep[m, block_after(j * SIZE + SIZE // 2)] = True
        for edge in (m * SIZE, m * SIZE + SIZE - 1):
            keep[m, block_after(edge)] = True
    return keep[block_of(call.tokens, SIZE)][:, slot // SIZE], held


def chosen(call, q, k, kept_ratio=0.125, pattern="auto", columns_share=0.5):
    blocks = block_of(call.tokens, SIZE)
    n = blocks[-1] + 1
    budget = min(max(int(kept_ratio * n + 0.5), 1), n)
    rows, p = sampled(call, q, k)
    of_rows = np.add.reduceat(p, np.arange(0, call.tokens, SIZE), 1)
    masks, held = {}, {}
    for name, keep in (("a-shape", a_shape(budget, n)), ("block-sparse", block_sparse(q, k, budget, blocks))):
        masks[name] = expand(keep, blocks, blocks)
        held[name] = of_rows[keep[rows // SIZE]].sum()
    masks["vertical-slash"], held["vertical-slash"] = vertical_slash(call, rows, p, budget, n, columns_share)
    return masks[max(held, key=held.get) if pattern == "auto" else pattern]


def run(call, warmup_steps=10, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters, search=min(SAMPLED, call.tokens) / call.tokens)
