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


def plan(call, q, k, v, text_k, blocks, near, kept_ratio, top_p, first_blocks, gain, isolated_pooling):
    """S (N,N), R (N) and c (N,D) of one head; q, k, v are the visual rows along the curve."""
    qm, counts = means(q, blocks)
    km, _ = means(k, blocks)
    vm, _ = means(v, blocks)
    n, text = len(counts), len(text_k)
    weight = [counts.astype(float)]
    keys = [km]
    if text and isolated_pooling:
        keys.append(text_k)
        weight.append(np.ones(text))
    elif text:
        text_means, text_counts = means(text_k, block_of(text, blocks.tolist().count(0)))
        keys.append(text_means)
        weight.append(text_counts.astype(float))
    s = call.scale * (qm @ np.concatenate(keys).T)
    p = np.concatenate(weight) * np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    columns = np.concatenate([p[:, :n], p[:, n:].sum(1, keepdims=True)], 1) if text else p
    selected = np.zeros((n, n), bool)
    for i in range(n):
        best = np.argsort(-columns[i])
        total = np.cumsum(columns[i][best])
        count = max(int(kept_ratio * n), 1 + (total <= top_p).sum())
        chosen = best[:count]
        selected[i, chosen[chosen < n]] = True
    selected |= near
    selected[:first_blocks, :first_blocks] = True

    dq, dk = deviations(q, qm, blocks), deviations(k, km, blocks)
    gains = np.abs(qm @ km.T) > np.abs(dq @ km.T) + np.abs(qm @ dk.T)
    skipped = ~selected
    compensated = skipped if gain == "off" else skipped & gains
    mass = columns[:, n] if text else np.zeros(n)
    inside = ~compensated if gain == "fold" else selected
    scale = mass + (columns[:, :n] * inside).sum(1)
    return selected, scale, (columns[:, :n] * compensated) @ vm


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
            selected, scale, c = plan(call, q[tokens], k[tokens], v[tokens], k[call.text_tokens], blocks, near, kept_ratio, top_p,
                                      first_blocks, gain, isolated_pooling)
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

