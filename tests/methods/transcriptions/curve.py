"""The generalised Hilbert ("Gilbert") curve through a box: each cell once, nearly every step to a neighbour.

A box is a corner and three axis-aligned edges a, b, c; the curve runs from the corner to the end of a. Long boxes are cut in two
along a; flat ones in three, in a plane; others in five.
"""

import numpy as np


def length(edge):
    return int(abs(edge.sum()))


def halves(edge):
    """Half an edge, even where it can be."""
    half = edge // 2
    if length(half) % 2 and length(edge) > 2:
        half = half + np.sign(edge)
    return half


def cells(corner, a, b, c):
    w, h, d = length(a), length(b), length(c)
    for edge, others in ((a, (h, d)), (b, (w, d)), (c, (w, h))):
        if others == (1, 1):
            return [corner + i * np.sign(edge) for i in range(length(edge))]
    a2, b2, c2 = halves(a), halves(b), halves(c)
    da, db, dc = np.sign(a), np.sign(b), np.sign(c)
    if 2 * w > 3 * h and 2 * w > 3 * d:
        parts = [(0 * a, a2, b, c), (a2, a - a2, b, c)]
    elif 3 * h > 4 * d:
        parts = [(0 * a, b2, c, a2), (b2, a, b - b2, c), (a - da + b2 - db, -b2, c, a2 - a)]
    elif 3 * d > 4 * h:
        parts = [(0 * a, c2, a2, b), (c2, a, b, c - c2), (a - da + c2 - dc, -c2, a2 - a, b)]
    else:
        parts = [(0 * a, b2, c2, a2), (b2, c, a2, b - b2), (b2 - db + c - dc, a, -b2, c2 - c),
                 (a - da + b2 + c - dc, -c, a2 - a, b - b2), (a - da + b2 - db, -b2, c2, a2 - a)]
    return [cell for shift, *edges in parts for cell in cells(corner + shift, *edges)]


def visual_order(grid):
    """Tokens of a grid (frames, rows, columns) along the curve: the axis of columns first, then rows, then frames."""
    frames, rows, columns = grid
    x, y, f = np.array(cells(np.zeros(3, int), *np.diag([columns, rows, frames]))).T
    return (f * rows + y) * columns + x
