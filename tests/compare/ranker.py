"""Trains LightGBM on the rows our ranker was trained on and compares both on the held-out day.

usage: ranker.py ROWS.tsv

The table comes from the test `on_a_short_video_feed_the_ranker_beats_every_single_rate` (day 0 is the
judged day, higher days lie further back). LightGBM learns from all of days 1 and up with its defaults
(100 trees, 31 leaves, learning rate 0.1) on the same features. Intervals are paired bootstraps over
users. Fails when ours is surely worse.
"""

import sys

import lightgbm
import numpy

DRAWS = 400


def read(path):
    with open(path) as file:
        names = file.readline().rstrip("\n").split("\t")
        rows = numpy.array([[float(cell) for cell in line.split("\t")] for line in file])
    return names, rows


def auc(right, marks, weights):
    """Weighted, ties count half."""
    order = numpy.argsort(marks, kind="stable")
    marks, right, weights = marks[order], right[order], weights[order]
    wrong = numpy.cumsum(weights * ~right)
    first = numpy.searchsorted(marks, marks, side="left")
    last = numpy.searchsorted(marks, marks, side="right") - 1
    below = numpy.where(first > 0, wrong[numpy.maximum(first - 1, 0)], 0.0)
    above = (weights * right * (below + (wrong[last] - below) / 2)).sum()
    return above / ((weights * right).sum() * (weights * ~right).sum())


def by_user(users, right, marks):
    """AUC and rows of each user with both kinds."""
    ones = {}
    for user in numpy.unique(users):
        own = users == user
        if 0 < right[own].sum() < own.sum():
            ones[user] = (auc(right[own], marks[own], numpy.ones(own.sum())), own.sum())
    return ones


def main(path):
    names, rows = read(path)
    day, users, right, ours = rows[:, 0], rows[:, 1].astype(int), rows[:, 2] == 1, rows[:, 3]
    features, judged = rows[:, 4:], rows[:, 0] == 0
    learned = lightgbm.Dataset(features[~judged], right[~judged], feature_name=names[4:])
    settings = {"objective": "binary", "verbose": -1, "num_threads": 2, "seed": 1}
    theirs = lightgbm.train(settings, learned, 100).predict(features[judged])
    users, right, ours = users[judged], right[judged], ours[judged]
    numbers = numpy.unique(users, return_inverse=True)[1]
    singles = [by_user(users, right, marks) for marks in (ours, theirs)]
    order = numpy.unique(users)

    def measure(times):
        weights = times[numbers].astype(float)
        found = []
        for marks, single in zip((ours, theirs), singles):
            pairs = [(single[u][0], single[u][1] * t) for u, t in zip(order, times) if u in single]
            weight = sum(pair[1] for pair in pairs)
            found += [auc(right, marks, weights), sum(a * w for a, w in pairs) / weight]
        return found

    whole = measure(numpy.ones(len(order), dtype=int))
    random = numpy.random.default_rng(1)
    drawn = numpy.array(
        [
            measure(numpy.bincount(random.integers(0, len(order), len(order)), minlength=len(order)))
            for _ in range(DRAWS)
        ]
    )
    print(f"shown: LightGBM {lightgbm.__version__}, {(~judged).sum()} rows learned, {judged.sum()} judged")
    lost = False
    for place, name in enumerate(("AUC", "GAUC")):
        more = drawn[:, place] - drawn[:, place + 2]
        low, high = numpy.quantile(more, [0.025, 0.975])
        print(
            f"shown: {name}: ours {whole[place]:.4f}, LightGBM {whole[place + 2]:.4f}, "
            f"{whole[place] - whole[place + 2]:+.4f} [{low:+.4f}, {high:+.4f}]"
        )
        lost |= high < 0
    return int(lost)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
