"""Puts our ranker beside LightGBM and single rates on the held-out day: AUC and GAUC for long views.

usage: ranker.py ROWS.tsv

The table comes from the test `on_a_short_video_feed_the_ranker_beats_every_single_rate`. Day 0 is judged;
ours was published after it was held against day 1, so it learned from days 2 and up. LightGBM learns with
its defaults (100 trees, 31 leaves, learning rate 0.1) from the same rows and features, and once more with
day 1 besides. A rate that is not known counts as the mean of those that are. Intervals are paired
bootstraps over users. Fails when ours is not above every single rate, or is surely below LightGBM on the
same rows.
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


def known_or_mean(values):
    return numpy.where(numpy.isfinite(values), values, values[numpy.isfinite(values)].mean())


def main(path):
    names, rows = read(path)
    day, users, right, ours = rows[:, 0], rows[:, 1].astype(int), rows[:, 2] == 1, rows[:, 3]
    features, judged = rows[:, 4:], rows[:, 0] == 0
    settings = {"objective": "binary", "verbose": -1, "num_threads": 2, "seed": 1}

    def lightgbm_from(learned):
        data = lightgbm.Dataset(features[learned], right[learned], feature_name=names[4:])
        return lightgbm.train(settings, data, 100).predict(features[judged])

    def rate(name):
        return known_or_mean(features[judged][:, names[4:].index(name)])

    video, user = rate("video_long_view_rate"), rate("user_long_view_rate")
    contenders = {
        "ours": ours[judged],
        "LightGBM, same rows": lightgbm_from(day >= 2),
        "LightGBM, one day more": lightgbm_from(day >= 1),
        "video's rate": video,
        "user's rate": user,
        "product of both": video * user,
    }
    users, right = users[judged], right[judged]
    order, numbers = numpy.unique(users, return_inverse=True)
    singles = [by_user(users, right, marks) for marks in contenders.values()]

    def measure(times):
        weights = times[numbers].astype(float)
        found = []
        for marks, single in zip(contenders.values(), singles):
            pairs = [(single[u][0], single[u][1] * t) for u, t in zip(order, times) if u in single]
            weight = sum(pair[1] for pair in pairs)
            found.append((auc(right, marks, weights), sum(a * w for a, w in pairs) / weight))
        return found

    whole = numpy.array(measure(numpy.ones(len(order), dtype=int)))
    random = numpy.random.default_rng(1)
    drawn = numpy.array(
        [
            measure(numpy.bincount(random.integers(0, len(order), len(order)), minlength=len(order)))
            for _ in range(DRAWS)
        ]
    )
    print(
        f"shown: LightGBM {lightgbm.__version__}; rows: {(day >= 2).sum()} learned, {(day == 1).sum()} of one day more, "
        f"{judged.sum()} judged of {len(order)} users"
    )
    print("shown: | long views of the last day | AUC | ours minus | GAUC | ours minus |")
    print("shown: |---|---|---|---|---|")
    lost = []
    for place, name in enumerate(contenders):
        cells = [name]
        for kind in (0, 1):
            cells.append(f"{whole[place, kind]:.4f}")
            if place == 0:
                cells.append("")
                continue
            low, high = numpy.quantile(drawn[:, 0, kind] - drawn[:, place, kind], [0.025, 0.975])
            cells.append(f"{whole[0, kind] - whole[place, kind]:+.4f} [{low:+.4f}, {high:+.4f}]")
            if (low <= 0 if "LightGBM" not in name else high < 0) and "more" not in name:
                lost.append(name)
        print(f"shown: | {' | '.join(cells)} |")
    if lost:
        print(f"ours is not where it should be beside: {', '.join(lost)}")
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
