"""MInference, arXiv:2407.02490, its block-sparse pattern: the best blocks of 64 by products of means, without a scale."""

import numpy as np

from .common import at_every_call, block_of, expand, means


def chosen(call, q, k, kept_ratio=0.125):
    blocks = block_of(call.tokens, 64)
    score = means(q, blocks)[0] @ means(k, blocks)[0].T
    keep = np.zeros(score.shape, bool)
    for i, row in enumerate(score):
        keep[i, np.argsort(-row)[:max(1, int(kept_ratio * len(row) + 0.5))]] = True
    return expand(keep, blocks, blocks)


def run(call, warmup_steps=10, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters, search=min(64, call.tokens) / call.tokens)
