"""XAttention, arXiv:2503.16428: sums of antidiagonals, taken with a stride, say which blocks matter."""

import numpy as np

from .common import at_every_call, block_of, expand, softmax


def folded(x, stride, reverse):
    """Groups of `stride` tokens side by side, (T/S, S D); a last group that is not full is filled with zeros."""
    x = np.concatenate([x, np.zeros((-len(x) % stride, x.shape[1]))]).reshape(-1, stride, x.shape[1])
    return (x[:, ::-1] if reverse else x).reshape(len(x), -1)


def chosen(call, q, k, threshold=0.9, stride=8):
    a, _ = softmax(call.scale / stride * folded(q, stride, True) @ folded(k, stride, False).T)
    edges = np.arange(0, len(a), 128 // stride)
    mass = np.add.reduceat(np.add.reduceat(a, edges, 0), edges, 1)
    mass /= mass.sum(1, keepdims=True)
    keep = np.zeros(mass.shape, bool)
    for i, row in enumerate(mass):
        best = np.argsort(-row)
        before = np.cumsum(row[best]) - row[best]
        keep[i, best[before <= threshold]] = True
    blocks = block_of(call.tokens, 128)
    return expand(keep, blocks, blocks)


def run(call, warmup_steps=5, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters)
