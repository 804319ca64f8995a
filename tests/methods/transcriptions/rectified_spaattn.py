"""Rectified SpaAttn, arXiv:2511.19835: isolated pooling, gain-aware rectification, output R O + c."""

import numpy as np

from .common import Result, block_of, means
from .curve import visual_order


def neighbours(call, order, blocks):
    """Nb[i,j]: some token of block j lies in the 26-neighbourhood of some token of block i."""
    places = np.stack(np.unravel_index(order, call.grid), -1)
    n = blocks.max() + 1
    near = np.zeros((n, n), bool)
    block = np.full(call.grid, -1)
    block[tuple(places.T)] = blocks
    for df in (-1, 0, 1):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                other = places + (df, dy, dx)
                inside = ((other >= 0) & (other < call.grid)).all(-1)
                near[blocks[inside], block[tuple(other[inside].T)]] = True
    return near


def deviations(x, mean, blocks):
    return means(np.abs(x - mean[blocks]), blocks)[0]


class Pooled:
    """Attention between means of one head; q, k, v are its visual rows, `blocks` the block of each."""

    def __init__(self, call, q, k, v, text_k, blocks, isolated_pooling=True, text_block=64):
        self.qm, counts = means(q, blocks)
        self.km, _ = means(k, blocks)
        self.vm, _ = means(v, blocks)
        self.dq, self.dk = deviations(q, self.qm, blocks), deviations(k, self.km, blocks)
        n, text = len(counts), len(text_k)
        keys, weight = text_k, np.ones(text)  # each word by itself
        if text and not isolated_pooling:
            keys, weight = means(text_k, block_of(text, text_block))
        s = call.scale * (self.qm @ np.concatenate([self.km, keys]).T)
        p = np.concatenate([counts, weight]) * np.exp(s - s.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        self.p, self.text = p[:, :n], p[:, n:].sum(1)

    def critical(self, kept_ratio, top_p, text):
        """S before neighbours and first blocks; text competes as one column."""
        columns = np.concatenate([self.p, self.text[:, None]], 1) if text else self.p
        n = len(self.p)
        selected = np.zeros((n, n), bool)
        for i in range(n):
            best = np.argsort(-columns[i])
            count = max(int(kept_ratio * n), 1 + (np.cumsum(columns[i][best]) <= top_p).sum())
            selected[i, [j for j in best[:count] if j < n]] = True
        return selected

    def rectification(self, selected, gain):
        """R (N) and c (N,D)."""
        gains = np.abs(self.qm @ self.km.T) > np.abs(self.dq @ self.km.T) + np.abs(self.qm @ self.dk.T)
        compensated = ~selected if gain == "off" else ~selected & gains
        inside = ~compensated if gain == "fold" else selected
        return self.text + (self.p * inside).sum(1), (self.p * compensated) @ self.vm


def run(call, kept_ratio=0.2, warmup_steps=5, top_p=0.3, block_tokens=128, first_blocks=0, gain="fold", isolated_pooling=True):
    result = Result(call)
    result.rho, result.mass = np.ones(result.lse.shape), np.ones(result.lse.shape)
    order = visual_order(call.grid)
    tokens = call.visual[order]
    blocks = block_of(len(tokens), block_tokens)
    near = neighbours(call, order, blocks)
    for s, t in call.steps():
        for b, h in call.heads():
            if t < warmup_steps:
                result.put(s, b, h)
                continue
            q, k, v = call.q[s, b, h], call.k[s, b, h], call.v[s, b, h]
            pooled = Pooled(call, q[tokens], k[tokens], v[tokens], k[call.text_tokens], blocks, isolated_pooling, block_tokens)
            selected = pooled.critical(kept_ratio, top_p, call.text) | near
            selected[:first_blocks, :first_blocks] = True
            scale, c = pooled.rectification(selected, gain)
            mask = np.ones((call.tokens, call.tokens), bool)
            mask[np.ix_(tokens, tokens)] = selected[blocks][:, blocks]
            o, _ = result.put(s, b, h, mask)
            result.out[s, b, h, tokens] = scale[blocks][:, None] * o[tokens] + c[blocks]
            result.rho[s, b, h, tokens] = scale[blocks]
            if gain == "drop":
                result.mass[s, b, h] = np.nan
        result.count(s)
    if gain == "drop":
        result.mass = None
    return result

