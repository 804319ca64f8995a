"""RainFusion 2, arXiv:2512.24086: windows of 2 x 8 x 8 tokens, the best of a row by attention between means."""

import numpy as np

from .common import at_every_call, block_of, expand, in_input_order, means, softmax


def layout(call):
    """Frames after the first in windows of (2,8,8), then what fills no window, frame 0, text."""
    frames, rows, columns = call.grid
    token = call.visual.reshape(call.grid)
    deep, down, across = (frames - 1) // 2 * 2, rows // 8 * 8, columns // 8 * 8
    windows, used = [], np.zeros(call.grid, bool)
    for f in range(1, 1 + deep, 2):
        for y in range(0, down, 8):
            for x in range(0, across, 8):
                windows.append(token[f:f + 2, y:y + 8, x:x + 8].reshape(-1))
                used[f:f + 2, y:y + 8, x:x + 8] = True
    used[0] = True
    return np.concatenate(windows + [token[~used], token[0].reshape(-1), call.text_tokens]).astype(int)


def chosen(call, q, k, kept_ratio=0.2):
    order, blocks = layout(call), block_of(call.tokens, 128)
    p, _ = softmax(call.scale * means(q[order], blocks)[0] @ means(k[order], blocks)[0].T)
    count, always = int(np.ceil(kept_ratio * len(p) - 1e-9)), (call.grid[0] - 1) * call.frame // 128
    keep = p >= -np.sort(-p, axis=1)[:, count - 1:count]
    keep[always:], keep[:, always:] = True, True
    return in_input_order(expand(keep, blocks, blocks), order)


def run(call, warmup_steps=5, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters)
