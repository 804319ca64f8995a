"""What the transcriptions share: the call, attention in float64, means of blocks, orders of tokens, safetensors."""

import json
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Call:
    """q, k, v (S,B,H,T,D) of S consecutive steps of one layer, and where their tokens lie."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    grid: tuple  # frames, rows, columns of the visual tokens, columns running fastest
    text: int = 0
    text_first: bool = True
    branches: int = 1  # 2: the first half of the batch is unconditional
    first_step: int = 0
    total_steps: int = 50

    @property
    def tokens(self):
        return self.q.shape[3]

    @property
    def scale(self):
        return 1 / np.sqrt(self.q.shape[4])

    @property
    def frame(self):
        return self.grid[1] * self.grid[2]

    @property
    def visual(self):
        """Numbers of the visual tokens, in the order of the grid."""
        start = self.text if self.text_first else 0
        return np.arange(start, start + self.tokens - self.text)

    @property
    def text_tokens(self):
        start = 0 if self.text_first else self.tokens - self.text
        return np.arange(start, start + self.text)

    @property
    def is_text(self):
        mask = np.zeros(self.tokens, bool)
        mask[self.text_tokens] = True
        return mask

    def steps(self):
        """(place in the tensors, number of the step) of each step."""
        return [(s, s + self.first_step) for s in range(self.q.shape[0])]

    def heads(self):
        return [(b, h) for b in range(self.q.shape[1]) for h in range(self.q.shape[2])]


@dataclass
class Result:
    """out (S,B,H,T,D), lse (S,B,H,T), mask (S,B,H,T,T) of computed pairs, and per step the share of pairs it counts as."""

    call: Call
    achieved: list = field(default_factory=list)
    rho: np.ndarray = None  # (S,B,H,T) what a correction scales rows by; None: it scales none
    mass: np.ndarray = None  # (S,B,H,T) total weight of a row

    def __post_init__(self):
        steps, batch, heads, tokens, dim = self.call.q.shape
        self.out = np.zeros(self.call.q.shape)
        self.lse = np.zeros((steps, batch, heads, tokens))
        self.mask = np.ones((steps, batch, heads, tokens, tokens), bool)
        self.achieved = [1.0] * steps

    def put(self, s, b, h, mask=None):
        """Attention of one head over `mask` (None: everything); counts its pairs."""
        call = self.call
        o, lse = attention(call.q[s, b, h], call.k[s, b, h], call.v[s, b, h], call.scale, mask)
        self.out[s, b, h], self.lse[s, b, h] = o, lse
        if mask is not None:
            self.mask[s, b, h] = mask
        return o, lse

    def count(self, s, extra=0.0):
        self.achieved[s] = self.mask[s].mean() + extra


def logits(q, k, scale, mask=None):
    s = scale * (q @ k.T)
    return s if mask is None else np.where(mask, s, -np.inf)


def softmax(s):
    """Rows sum to 1; rows of -inf alone are 0. And log sum exp."""
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(top), top, 0))
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = np.where(total > 0, np.log(total) + top, -np.inf)[..., 0]
    return e / np.where(total > 0, total, 1), lse


def attention(q, k, v, scale, mask=None):
    p, lse = softmax(logits(q, k, scale, mask))
    return p @ v, lse


def block_of(count, size):
    """The block of each of `count` places."""
    return np.arange(count) // size


def means(x, blocks):
    """Mean of the rows of x (T,D) by block number, and how many rows each block has."""
    n = blocks.max() + 1
    counts = np.bincount(blocks, minlength=n)
    total = np.zeros((n, x.shape[1]))
    np.add.at(total, blocks, x)
    return total / counts[:, None], counts


def expand(block_mask, q_blocks, k_blocks):
    """A mask of blocks, (M,N), as a mask of pairs."""
    return block_mask[q_blocks][:, k_blocks]


def in_input_order(mask, order):
    """A mask of pairs of places, where place p holds token order[p], as one of pairs of tokens."""
    back = np.argsort(order)
    return mask[back][:, back]


def kept_blocks(mask, size=64):
    """The share of each size x size block of pairs that a mask holds."""
    blocks = block_of(mask.shape[0], size)
    counts = np.bincount(blocks)
    sums = np.add.reduceat(np.add.reduceat(mask.astype(float), np.arange(0, mask.shape[0], size), 0),
                           np.arange(0, mask.shape[0], size), 1)
    return sums / np.outer(counts, counts)


def at_every_call(call, chosen, warmup_steps, parameters, search=0.0):
    """The result of a plan `chosen` (call, q, k, ...) -> mask of pairs, asked at each step after warm-up, which
    counts as `search`."""
    result = Result(call)
    for s, t in call.steps():
        for b, h in call.heads():
            mask = None if t < warmup_steps else chosen(call, call.q[s, b, h], call.k[s, b, h], **parameters)
            result.put(s, b, h, mask)
        result.count(s, 0 if t < warmup_steps else search)
    return result


DTYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, x in tensors.items():
        kind = next(n for n, t in DTYPES.items() if t == x.dtype)
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [offset, offset + x.nbytes]}
        offset += x.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for x in tensors.values():
            f.write(np.ascontiguousarray(x).tobytes())


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size:]
    return {name: np.frombuffer(body[t["data_offsets"][0]:t["data_offsets"][1]], DTYPES[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items()}
