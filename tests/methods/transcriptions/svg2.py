"""Sparse VideoGen 2, arXiv:2505.18875: clusters of queries attend to the clusters of keys that matter to them.

The first clusters of a run start from random tokens, which nobody else can draw. So the program's clusters are read from a capture
and held against what k-means must have left, and everything after them is computed anew: they are a fixed point at the first sparse
step, they are two iterations on from the step before at the others, and they give the mask."""

import numpy as np

from .captured import Capture
from .common import Result, softmax

NEEDS_CAPTURE = True
FIXED_POINT = 1e-3  # k-means ends where no centroid moves by 1e-4, so that a token may lie as near to another centroid


class Disagreement(RuntimeError):
    pass


def runs(order, rows):
    """The cluster of each slot: tokens of one cluster lie side by side, ascending, and share their row of the mask."""
    fresh = np.ones(len(order), bool)
    fresh[1:] = (order[1:] < order[:-1]) | (rows[1:] != rows[:-1]).any(1)
    return np.cumsum(fresh) - 1


def centroids_of(x, labels, before=None):
    count = labels.max() + 1 if before is None else len(before)
    sizes = np.bincount(labels, minlength=count)
    total = np.zeros((count, x.shape[1]))
    np.add.at(total, labels, x)
    means = total / np.maximum(sizes, 1)[:, None]
    return means if before is None else np.where(sizes[:, None] > 0, means, before)


def distances(x, centroids):
    return ((x[:, None, :] - centroids[None]) ** 2).sum(-1)


def lloyd(x, centroids, iterations):
    """Labels of the last assignment and the centroids after it."""
    for _ in range(iterations):
        labels = distances(x, centroids).argmin(1)
        moved = centroids_of(x, labels, centroids)
        shift = np.sqrt(((moved - centroids) ** 2).sum(1)).max()
        centroids = moved
        if shift < 1e-4:
            break
    return labels, centroids


class Side:
    """The clusters of the queries, or of the keys, of one head."""

    def __init__(self, limit, visual):
        self.count = min(limit, max(1, visual // 16))
        self.centroids = None

    def take(self, x, order, rows, where):
        """Holds the program's clusters of the visual tokens x, `order` of which lie side by side, against k-means.
        @return the cluster of each token, centroids, tokens a cluster"""
        if self.centroids is None:
            labels = np.empty(len(x), int)
            labels[order] = runs(order, rows)
            if labels.max() + 1 != self.count:
                raise Disagreement(f"{where}: {labels.max() + 1} clusters, expected {self.count}")
            centroids = centroids_of(x, labels)
            apart = distances(x, centroids)
            excess = np.sqrt(apart[np.arange(len(x)), labels]) - np.sqrt(apart.min(1))
            if excess.max() > FIXED_POINT:
                raise Disagreement(f"{where}: a token lies {excess.max():.2g} nearer to a cluster that is not its own")
        else:
            labels, centroids = lloyd(x, self.centroids, 2)
            misplaced = (np.argsort(labels, kind="stable") != order).sum()
            if misplaced:
                raise Disagreement(f"{where}: {misplaced} slots hold another token than two iterations from the centroids of the "
                                   "step before put there")
        self.centroids = centroids
        return labels, centroids, np.bincount(labels, minlength=len(centroids))


def kept_clusters(cq, ck, sizes, scale, top_p, least_ratio):
    with np.errstate(divide="ignore"):
        p, _ = softmax(scale * (cq @ ck.T) + np.log(sizes))
    keep = np.zeros(p.shape, bool)
    for i, row in enumerate(p):
        order = np.argsort(-row, kind="stable")
        before = np.cumsum(row[order]) - row[order]
        chosen = before <= top_p
        chosen[:int(least_ratio * len(ck))] = True
        keep[i, order[chosen]] = True
    return keep


def run(call, capture, warmup_steps=15, top_p=0.9, least_ratio=0.1, query_clusters=100, key_clusters=500):
    result, found, sides = Result(call), Capture(capture), {}
    text = call.is_text
    for s, t in call.steps():
        for b, h in call.heads():
            if t < warmup_steps:
                result.put(s, b, h)
                continue
            pairs, *orders = found.plan(t, b, h)
            held = [order < call.tokens for order in orders]
            pairs, orders = pairs[held[0]][:, held[1]], [order[there] for order, there in zip(orders, held)]
            scored = []
            for name, x, order, rows, limit in (("queries", call.q, orders[0], pairs, query_clusters),
                                                ("keys", call.k, orders[1], pairs.T, key_clusters)):
                if sorted(order) != list(range(call.tokens)):
                    raise Disagreement(f"step {t}, head {h}: the {name} in their slots are not the tokens")
                side = sides.setdefault((b, h, name), Side(limit, len(call.visual)))
                visual = ~text[order]
                scored.append(side.take(x[s, b, h, call.visual], order[visual] - call.visual[0], rows[visual],
                                        f"step {t}, head {h}, {name}"))
            (q_labels, cq, _), (k_labels, ck, sizes) = scored
            mask = np.ones((call.tokens, call.tokens), bool)
            mask[np.ix_(call.visual, call.visual)] = kept_clusters(cq, ck, sizes, call.scale, top_p, least_ratio)[q_labels][:, k_labels]
            result.put(s, b, h, mask)
        result.count(s)
    return result
