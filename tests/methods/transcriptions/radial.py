"""Radial attention, arXiv:2506.19852: bands that narrow with the distance of frames, made into blocks."""

import numpy as np

from .common import at_every_call, expand


def by_token(call, decay, block_tokens, sink):
    """Kept pairs of visual tokens before blocks are made of them."""
    frames, frame = call.grid[0], call.frame
    n = len(call.visual)
    f, place = np.arange(n) // frame, np.arange(n) % frame
    distance, gap = np.abs(f[:, None] - f[None, :]), np.abs(place[:, None] - place[None, :])
    keep = np.zeros((n, n), bool)
    for d in range(frames):
        level = 2.0 ** (frame.bit_length() - d.bit_length())
        width = frame if d <= 1 else max(block_tokens, decay * level)
        if level < 128 and d % int(128 / level) != 0:
            continue
        keep |= (distance == d) & (gap <= width)
    if sink:
        keep[:, f == 0] = True
    return keep


def to_blocks(keep, size):
    """A block is kept if, of its columns that are on at all, more than 0.6 are on for more than 1/3 of its rows."""
    n = -(-len(keep) // size)
    blocks = np.zeros((n, n), bool)
    for i in range(n):
        for j in range(n):
            part = keep[i * size:(i + 1) * size, j * size:(j + 1) * size]
            on = part.sum(0)
            dense, some = (on > len(part) / 3).sum(), (on > 0).sum()
            blocks[i, j] = some > 0 and dense / some > 0.6
    return blocks


def chosen(call, q, k, decay=0.95, block_tokens=128, first_frame_sink="auto"):
    sink = first_frame_sink == "on" or (first_frame_sink == "auto" and not call.text)
    blocks = to_blocks(by_token(call, decay, block_tokens, sink), block_tokens)
    places = np.arange(len(call.visual)) // block_tokens
    mask = np.ones((call.tokens, call.tokens), bool)
    mask[np.ix_(call.visual, call.visual)] = expand(blocks, places, places)
    return mask


def run(call, warmup_steps=12, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters)
