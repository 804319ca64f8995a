"""Sliding tile attention, arXiv:2502.04507: tiles see the tiles around them, as many at a border as in the middle."""

import numpy as np

from .common import Result, at_every_call


def along(tiles, window):
    """Kept pairs of tiles along one axis."""
    if window >= tiles:
        return np.ones((tiles, tiles), bool)
    half = window // 2
    i = np.arange(tiles)
    centre = np.maximum(np.minimum(i, tiles - 1 - half), half) if half <= tiles - 1 - half else np.full(tiles, tiles - 1 - half)
    return np.abs(centre[:, None] - i[None, :]) <= half


def blocks(call, tile=(4, 4, 4), **_):
    """The tile of each visual token."""
    places = np.unravel_index(np.arange(len(call.visual)), call.grid)
    tiles = np.ravel_multi_index([x // t for x, t in zip(places, tile)], [-(-n // t) for n, t in zip(call.grid, tile)])
    return tiles


def chosen(call, q, k, window_frames=3, window_rows=3, window_columns=3, tile=(4, 4, 4)):
    places = np.stack(np.unravel_index(np.arange(len(call.visual)), call.grid), -1) // np.array(tile)
    keep = np.ones((len(call.visual), len(call.visual)), bool)
    for axis, window in enumerate((window_frames, window_rows, window_columns)):
        tiles = -(-call.grid[axis] // tile[axis])
        keep &= along(tiles, window)[places[:, axis]][:, places[:, axis]]
    mask = np.ones((call.tokens, call.tokens), bool)
    mask[np.ix_(call.visual, call.visual)] = keep
    return mask


def run(call, warmup_steps=15, tables=None, **parameters):
    if tables is None:
        return at_every_call(call, chosen, warmup_steps, parameters)
    result = Result(call)  # a window for each step and head
    for s, t in call.steps():
        for b, h in call.heads():
            frames, rows, columns = tables["candidates"][tables["window"][t, 0, h]]
            mask = chosen(call, None, None, frames, rows, columns, **parameters)
            result.put(s, b, h, None if t < warmup_steps else mask)
        result.count(s)
    return result
