"""PAROAttention, arXiv:2506.16054: each head in the order of axes in which its attention is most block-like, its heaviest blocks kept."""

from itertools import permutations

import numpy as np

from .common import Result, block_of, expand, in_input_order, logits, softmax

SIZE = 64


def orders(call):
    """Six orders of the tokens: frames, rows and columns from the slowest axis to the fastest, text after them."""
    grid = call.visual.reshape(call.grid)
    return [np.concatenate([grid.transpose(axes).reshape(-1), call.text_tokens]) for axes in permutations(range(3))]


def block_likeness(p, blocks):
    """Share of blocks that are empty but for a tenth, and how far their maximum stands out, over rows and columns of blocks."""
    n = blocks.max() + 1
    sparse, uneven = [], []
    for i in range(n):
        for j in range(n):
            entries = p[np.ix_(blocks == i, blocks == j)]
            sparse.append((entries < 1e-3).mean() >= 0.9)
            uneven.append(entries.max() / entries.mean())
    return np.mean(sparse), np.mean(uneven)


def norm(values):
    """From 0 for the smallest to 1 for the largest."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


def search(call, q, k, kept_ratio, alpha, sparse_term):
    """The mask of one head, found at a search step."""
    choices, blocks = orders(call), block_of(call.tokens, SIZE)
    scores = []
    for order in choices:
        p, _ = softmax(logits(q[order], k[order], call.scale))
        scores.append(block_likeness(p, blocks))
    sparse, uneven = np.array(scores).T
    empty = norm(1 - sparse if sparse_term == "1-s" else sparse)
    order = choices[int(np.argmin(alpha * empty + (1 - alpha) * norm(uneven)))]
    p, _ = softmax(logits(q[order], k[order], call.scale))
    edges = np.arange(0, call.tokens, SIZE)
    mass = np.add.reduceat(np.add.reduceat(p, edges, 0), edges, 1)
    n = len(mass)
    keep = np.zeros((n, n), bool)
    keep.reshape(-1)[np.argsort(-mass, axis=None)[:int(np.floor(kept_ratio * n * n + 0.5))]] = True
    always = np.zeros(n, bool)
    always[len(call.visual) // SIZE if call.text else n:] = True
    always[-1] = True
    keep |= always[:, None] | always[None, :]
    return in_input_order(expand(keep, blocks, blocks), order)


def run(call, kept_ratio=0.3, search_steps=(0,), alpha=0.5, sparse_term="1-s"):
    result, masks = Result(call), {}
    for s, t in call.steps():
        for head in call.heads():
            if t in search_steps:
                masks[head] = search(call, call.q[s][head], call.k[s][head], kept_ratio, alpha, sparse_term)
                result.put(s, *head)
            else:
                result.put(s, *head, masks.get(head))
        result.count(s)
    return result
