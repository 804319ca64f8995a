"""Masks and orders of tokens of a capture that `attend --capture` wrote, read as docs/capture.md says."""

import json
import sqlite3
import zlib

import numpy as np


class Capture:
    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def tensor(self, tensor_id):
        data, kind, shape, how = self.db.execute("SELECT data_id, dtype, shape, filter FROM tensors WHERE tensor_id = ?",
                                                 (tensor_id,)).fetchone()
        assert how == "none", how
        chunks = self.db.execute("SELECT codec, data FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id",
                                 (data << 20, (data + 1 << 20) - 1))
        return np.frombuffer(b"".join(zlib.decompress(b) if codec else b for codec, b in chunks), kind).reshape(json.loads(shape))

    def plan(self, step, branch, head):
        """The mask of one head, (slots, slots), and the token in each slot of queries and of keys; None: every pair."""
        plan = self.db.execute("SELECT plan_id FROM heads JOIN calls USING (call_id) WHERE (step, branch, head) = (?, ?, ?)",
                               (step, branch, head)).fetchone()[0]
        if plan == 0:
            return None
        (m, n, queries, keys, mask, blocks, bits, q_order, k_order) = self.db.execute(
            "SELECT q_blocks, k_blocks, queries, keys, mask_id, partial_blocks_id, partial_bits_id, q_order_id, k_order_id "
            "FROM plans WHERE plan_id = ?", (plan,)).fetchone()
        whole = np.unpackbits(self.tensor(mask), axis=1, count=n, bitorder="little").astype(bool)
        pairs = np.repeat(np.repeat(whole, 64, 0), 64, 1)
        if blocks:
            for block, rows in zip(self.tensor(blocks), self.tensor(bits)):
                i, j = divmod(int(block), n)
                pairs[64 * i:64 * i + 64, 64 * j:64 * j + 64] = np.unpackbits(rows.view(np.uint8).reshape(64, 8), axis=1,
                                                                             bitorder="little")
        order = [self.tensor(x).astype(int) if x else np.arange(count) for x, count in ((q_order, queries), (k_order, keys))]
        return pairs[:queries, :keys], *order
