"""DraftAttention, arXiv:2505.14708: one threshold a head over attention between means of 8 x 16 patches."""

import numpy as np

from .common import at_every_call, expand, means, softmax


def patches(call):
    """The patch of each visual token: 8 rows x 16 columns of a frame, smaller at borders that do not divide."""
    frames, rows, columns = call.grid
    f, y, x = np.meshgrid(np.arange(frames), np.arange(rows), np.arange(columns), indexing="ij")
    down, across = -(-rows // 8), -(-columns // 16)
    return ((f * down + y // 8) * across + x // 16).reshape(-1)


def blocks(call, **_):
    return patches(call)


def chosen(call, q, k, kept_ratio=0.25):
    of = patches(call)
    a, _ = softmax(call.scale * means(q[call.visual], of)[0] @ means(k[call.visual], of)[0].T)
    left_out = int((1 - kept_ratio) * a.size)
    keep = a >= np.sort(a, axis=None)[left_out - 1] if left_out else np.ones(a.shape, bool)
    mask = np.ones((call.tokens, call.tokens), bool)
    mask[np.ix_(call.visual, call.visual)] = expand(keep, of, of)
    return mask


def run(call, warmup_steps=3, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters)
