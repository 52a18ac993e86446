#!/usr/bin/env python3
"""EASE (Steck, Embarrassingly Shallow Autoencoders, WWW 2019) on a split that `reelway evaluate` wrote.

  reelway evaluate --utc-offset 8 --slates-out split
  ease.py split split/ease.tsv
  reelway evaluate --utc-offset 8 --add EASE=split/ease.tsv

Learns from what users liked (validation-train.tsv), chooses lambda by NDCG@20 on
validation-test.tsv, learns again from train.tsv and writes 20 candidates per user of test.tsv that
the user had not met.  Needs numpy.
"""
import argparse, sys, time
from pathlib import Path
import numpy as np

LAMBDAS = (30, 100, 300, 1000, 3000)
PLACES = 20


def rows(path):
    with open(path) as lines:
        next(lines)
        for line in lines:
            yield line.rstrip("\n").split("\t")


class Split:
    """Likings as (user, item) numbers, what each asked user met, and what they wanted."""

    def __init__(self, folder, prefix, items):
        self.wanted, self.met, liked = {}, {}, {}
        for user, item in rows(folder / f"{prefix}test.tsv"):
            self.wanted.setdefault(user, set()).add(items[item])
        for user, item, right in rows(folder / f"{prefix}train.tsv"):
            number = items.setdefault(item, len(items))
            if user in self.wanted:
                self.met.setdefault(user, set()).add(number)
            if right == "1":
                liked.setdefault(user, []).append(number)
        self.liked = liked

    def gram(self, count):
        """How many users liked both of each pair."""
        gram = np.zeros((count, count), dtype=np.float32)
        for own in self.liked.values():
            gram[np.ix_(own, own)] += 1
        return gram


def weights(gram, strength):
    inverse = np.linalg.inv(gram + strength * np.eye(len(gram), dtype=np.float32))
    found = inverse / -np.diag(inverse)
    np.fill_diagonal(found, 0)
    return found


def slates(split, found, allowed):
    for user in split.wanted:
        own = split.liked.get(user, [])
        scores = found[own].sum(axis=0) if own else np.zeros(len(found), dtype=np.float32)
        scores = np.where(allowed, scores, -np.inf)
        scores[list(split.met.get(user, ()))] = -np.inf
        best = np.argpartition(-scores, PLACES)[:PLACES]
        yield user, best[np.argsort(-scores[best], kind="stable")]


def gain(wanted, slate):
    hits = sum(1 / np.log2(rank + 2) for rank, item in enumerate(slate) if item in wanted)
    return hits / sum(1 / np.log2(rank + 2) for rank in range(min(len(wanted), PLACES)))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("split", type=Path)
    a.add_argument("out", type=Path)
    o = a.parse_args()
    candidates = [item for item, in rows(o.split / "candidates.tsv")]
    items = {item: number for number, item in enumerate(candidates)}
    earlier, split = Split(o.split, "validation-", items), Split(o.split, "", items)
    names = list(items)
    allowed = np.arange(len(names)) < len(candidates)
    begin, gram, tried = time.monotonic(), earlier.gram(len(names)), {}
    for strength in LAMBDAS:
        found = weights(gram, strength)
        gains = [gain(earlier.wanted[user], slate) for user, slate in slates(earlier, found, allowed)]
        tried[strength] = float(np.mean(gains))
    best = max(tried, key=tried.get)
    print("lambda", best, "of", {k: round(v, 4) for k, v in tried.items()})
    found = weights(split.gram(len(names)), best)
    with open(o.out, "w") as out:
        out.write("user\trank\titem\n")
        for user, slate in slates(split, found, allowed):
            out.writelines(f"{user}\t{rank}\t{names[item]}\n" for rank, item in enumerate(slate, 1))
    print(f"{len(split.wanted)} slates in {time.monotonic() - begin:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
