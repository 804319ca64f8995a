"""Makes a small capture out of one that kept q and k of every call: block maps in cells of 16 tokens, exact, instead of 64; then
without q, k and v, which the model can make again. Needs NumPy. Usage: refine.py FILE.ditcap"""
import json
import sqlite3
import sys
import zlib

import numpy as np

CELL_TOKENS, CHUNKS_PER_TENSOR = 16, 1 << 20
COLUMNS = "tensor_id,data_id,run_id,kind,step,layer,branch,block_tokens,source,dtype,shape,chunk_items,encoding,scale,offset,filter,sha256".split(",")


def forward(data, dtype, row_items, kind):
    """Bytes of a chunk as they are compressed: docs/capture.md, Filters."""
    if kind == "up":
        rows = data.reshape(-1, row_items)
        return np.concatenate([rows[:1], rows[1:] - rows[:-1]]).ravel()
    return data.reshape(-1, dtype.itemsize).T.ravel() if kind == "shuffle" else data


def backward(data, dtype, row_items, kind):
    if kind == "up":
        return data.reshape(-1, row_items).cumsum(0, dtype="u1").ravel()
    return data.reshape(dtype.itemsize, -1).T.ravel() if kind == "shuffle" else data


class Capture:
    def __init__(self, file):
        self.db = sqlite3.connect(file)

    def tensors(self, where):
        return [dict(zip(COLUMNS, row)) for row in self.db.execute(f"SELECT {','.join(COLUMNS)} FROM tensors WHERE {where}")]

    def chunks(self, t):
        first = t["data_id"] * CHUNKS_PER_TENSOR
        dtype, row_items = np.dtype(t["dtype"]), json.loads(t["shape"])[-1]
        for number, codec, data in self.db.execute(
            "SELECT chunk_id, codec, data FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id", (first, first + CHUNKS_PER_TENSOR - 1)
        ).fetchall():
            plain = np.frombuffer(zlib.decompress(data) if codec else data, "u1")
            yield number, backward(plain, dtype, row_items, t["filter"]) if codec else plain

    def array(self, t):
        stored = np.concatenate([plain for _, plain in self.chunks(t)]).view(t["dtype"]).reshape(json.loads(t["shape"]))
        return (stored.astype("u4") << 16).view("f4") if t["encoding"] == "bf16" else stored

    def put_chunk(self, t, number, plain):
        packed = zlib.compress(forward(plain, np.dtype(t["dtype"]), json.loads(t["shape"])[-1], t["filter"]).tobytes(), 9)
        codec, data = (1, packed) if len(packed) < 0.9 * len(plain) else (0, plain.tobytes())
        self.db.execute("INSERT OR REPLACE INTO chunks VALUES (?,?,?,?)", (number, codec, zlib.crc32(data), data))

    def drop(self, where):
        self.db.execute(f"DELETE FROM tensors WHERE {where}")
        self.db.execute(f"DELETE FROM chunks WHERE chunk_id / {CHUNKS_PER_TENSOR} NOT IN (SELECT data_id FROM tensors)")


def edges(tokens, text, cell):
    return list(range(0, text, cell)) + list(range(text, tokens, cell)) + [tokens]


def pooled(p, at):
    """(H,T,T) -> (H,M,N): share of key cell n in the softmax of query cell m."""
    sizes = np.diff(at)[None, :, None]
    return np.add.reduceat(np.add.reduceat(p, at[:-1], axis=1), at[:-1], axis=2) / sizes


def decoded(codes):
    return np.where(codes > 0, np.exp2((codes.astype("f4") - 243) / 10), 0)


def refine(capture):
    text = {run: tokens for run, tokens in capture.db.execute("SELECT run_id, text_tokens FROM runs JOIN requests USING (request_id)")}
    next_id = capture.db.execute("SELECT max(tensor_id) FROM tensors").fetchone()[0] + 1
    made = []
    for tq in capture.tensors("kind = 'q'"):
        call = {name: tq[name] for name in ("run_id", "step", "layer", "branch")}
        key = " AND ".join(f"{name} = {value}" for name, value in call.items())
        (tk,) = capture.tensors(f"kind = 'k' AND {key}")
        q, k = capture.array(tq), capture.array(tk)
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        former = [t for t in capture.tensors(f"kind = 'map' AND {key}") if t["source"] != "sampled"]
        for t in former:
            known = decoded(capture.array(t))
            again = pooled(p, edges(q.shape[1], text[call["run_id"]], t["block_tokens"]))
            assert np.abs(known - again).max() < 0.05, "the maps of this capture are not those of its q and k"
        cells = pooled(p, edges(q.shape[1], text[call["run_id"]], CELL_TOKENS))
        codes = np.where(cells > 0, np.clip(np.rint(np.log2(np.maximum(cells, 1e-30)) * 10) + 243, 1, 253), 0).astype("u1")
        header = dict(former[0], tensor_id=next_id, data_id=next_id, block_tokens=CELL_TOKENS, source="exact", shape=json.dumps(list(codes.shape)),
                      chunk_items=codes.size, filter="up", sha256="")
        made.append((header, codes))
        next_id += 1
    # Of the log-sum-exps those of sampled rows and of shadow passes stay.
    capture.drop("kind IN ('q','k','v','map') OR (kind = 'lse_full' AND source = 'exact')")
    for header, codes in made:
        capture.db.execute(f"INSERT INTO tensors({','.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})", [header[name] for name in COLUMNS])
        capture.put_chunk(header, header["data_id"] * CHUNKS_PER_TENSOR, codes.ravel())


def main(file):
    capture = Capture(file)
    refine(capture)
    for t in capture.tensors("tensor_id = data_id"):
        for number, plain in list(capture.chunks(t)):
            capture.put_chunk(t, number, plain)
    for run, request, selection in capture.db.execute("SELECT run_id, request, selection FROM runs").fetchall():
        # Without a folder the model of a request is the bundled one, wherever the program is installed.
        request = json.dumps(dict(json.loads(request), model=""))
        selection = json.dumps(dict(json.loads(selection), layers="none", steps="none"))
        capture.db.execute("UPDATE runs SET request = ?, selection = ? WHERE run_id = ?", (request, selection, run))
    capture.db.commit()
    # Small pages waste less on small arrays.
    capture.db.execute("PRAGMA page_size = 1024")
    capture.db.execute("VACUUM")


main(sys.argv[1])
