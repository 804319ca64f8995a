"""A residual (T,D) of one head as it comes back from where it is held in fewer bits."""

import numpy as np


def bf16(x):
    """To 8 bits of mantissa, nearest, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(float)


def fp8(x):
    """e4m3: 3 bits of mantissa, exponents from -6, at most 448; one scale a channel."""
    scale = np.abs(x).max(0) / 448
    y = x / np.where(scale > 0, scale, 1)
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(y), 1e-30))), -6)
    step = 2.0 ** (exponent - 3)
    return np.clip(np.round(y / step) * step, -448, 448) * scale


def low_rank(x, rank):
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def stored(x, residual, rank):
    if residual == "low_rank":
        return low_rank(x, rank)
    return {"as-computed": lambda y: y, "bf16": bf16, "fp8": fp8}[residual](x)
