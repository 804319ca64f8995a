"""SpargeAttn, arXiv:2502.18137, first stage: attention between means of blocks whose tokens resemble each other."""

import numpy as np

from .common import Result, at_every_call, block_of, expand, means, softmax


def similarity(x, blocks):
    """Mean cosine over all pairs of tokens of a block, a token with itself included."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean, _ = means(unit, blocks)
    return (mean ** 2).sum(1)


def chosen(call, q, k, kept_ratio=0.5, rule="top-k", cdf=0.98, threshold=-0.1, sink=False):
    rows, columns = block_of(call.tokens, 128), block_of(call.tokens, 64)
    k = k - k.mean(0)
    good_q, good_k = similarity(q, rows) > threshold, similarity(k, columns) > threshold
    s = call.scale * means(q, rows)[0] @ means(k, columns)[0].T
    p, _ = softmax(np.where(good_k[None, :], s, -np.inf))
    keep = np.zeros(p.shape, bool)
    for i, row in enumerate(p):
        best = np.argsort(-row, kind="stable")
        if rule == "top-k":
            count = int(kept_ratio * len(row))
        else:
            count = (np.cumsum(row[best]) <= cdf).sum()
        keep[i, best[:max(1, count)]] = True
    keep[:, ~good_k] = True
    keep[~good_q] = True
    if sink:
        keep[:, 0] = True
    return expand(keep, rows, columns)


def run(call, warmup_steps=0, tables=None, **parameters):
    if tables is None:
        return at_every_call(call, chosen, warmup_steps, parameters)
    result = Result(call)  # thresholds of each head
    for s, t in call.steps():
        for b, h in call.heads():
            mask = chosen(call, call.q[s, b, h], call.k[s, b, h], rule="cdf", cdf=tables["cdf"][0, h], threshold=tables["similarity"][0, h])
            result.put(s, b, h, None if t < warmup_steps else mask)
        result.count(s)
    return result
