"""Radial attention, arXiv:2506.19852: bands that narrow with the distance of frames, made into blocks;
text joins in whole blocks."""

import numpy as np

from .common import at_every_call, expand


def width(call, distance, decay, block_tokens):
    """The reach of the band between frames so far apart; below 0 where the pair of frames is left out."""
    level = 2.0 ** (call.frame.bit_length() - distance.bit_length())
    if level < 128 and distance % int(128 / level) != 0:
        return -1
    return call.frame if distance <= 1 else max(block_tokens, decay * level)


def blocks_of_pair(call, i, j, reach, size):
    """Blocks in which more than 0.6 of the columns that frames i and j turn on at all are on for more than 1/3 of the rows."""
    tokens, frame = len(call.visual), call.frame
    n = -(-tokens // size)
    place = np.arange(frame)
    keep = np.zeros((n * size, n * size), bool)
    keep[i * frame:(i + 1) * frame, j * frame:(j + 1) * frame] = np.abs(place[:, None] - place[None, :]) <= reach
    on = keep.reshape(n, size, n, size).sum(1)  # (rows of blocks, blocks, columns)
    rows = np.minimum(size, tokens - size * np.arange(n))[:, None, None]  # the last block may have fewer
    return (on > rows / 3).sum(2) > 0.6 * (on > 0).sum(2)


def chosen(call, q, k, decay=0.95, block_tokens=128, first_frame_sink="auto"):
    sink = first_frame_sink == "on" or (first_frame_sink == "auto" and not call.text)
    blocks = np.eye(-(-len(call.visual) // block_tokens), dtype=bool)
    for i in range(call.grid[0]):
        for j in range(call.grid[0]):
            reach = call.frame if sink and j == 0 else width(call, abs(i - j), decay, block_tokens)
            blocks |= blocks_of_pair(call, i, j, reach, block_tokens)
    places = np.arange(len(call.visual)) // block_tokens
    if call.text:  # a block that holds text too is text
        blocks[len(call.visual) // block_tokens:] = True
        blocks[:, len(call.visual) // block_tokens:] = True
    mask = np.ones((call.tokens, call.tokens), bool)
    mask[np.ix_(call.visual, call.visual)] = expand(blocks, places, places)
    return mask


def run(call, warmup_steps=12, **parameters):
    return at_every_call(call, chosen, warmup_steps, parameters)
