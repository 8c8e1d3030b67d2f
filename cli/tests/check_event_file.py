"""Loads the event file of a run with TensorBoard itself and compares every number with metrics.jsonl.

    python3 -m venv VENV && VENV/bin/pip install tensorboard
    imaml train sinusoid --iterations 500 --eval-every 100 --tensorboard --out RUN
    VENV/bin/python cli/tests/check_event_file.py RUN

Prints each tag with its number of points, first and last value, or what differs (exit status 1). No part of
`cargo test`, which has a reader of its own: the package is no dependency.
"""

import json
import math
import pathlib
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

GROUPS = {
    "train": ["query_loss", "first_inner", "last_inner", "meta_gradient", "outer_lr"],
    "solver": ["delta", "delta_prime", "negative_curvature", "products"],
}


def expected(run):
    """Points (step, seconds, value) of each tag."""
    points = {}

    def put(line, tag, value):
        value = math.nan if value is None else value
        points.setdefault(tag, []).append((line["iteration"], line["seconds"], float(numpy.float32(value))))

    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        for group, keys in GROUPS.items():
            for key in keys:
                if key in line:
                    put(line, f"{group}/{key}", line[key])
        for result in line.get("results", []):
            inductive = "inductive_" if result["statistics"] == "inductive" else ""
            tag = f"validation/{inductive}{result['measure']}"
            mean, half = (math.nan if result[k] is None else result[k] for k in ("mean", "half_width"))
            put(line, tag, mean)
            put(line, f"{tag}_lower", mean - half)
            put(line, f"{tag}_upper", mean + half)
    return points


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = pathlib.Path(sys.argv[1])
    # 0: keep every point.
    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    found = {
        tag: [(e.step, e.wall_time, e.value) for e in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
    wanted = expected(run)
    for tag in sorted(found):
        first, last = found[tag][0], found[tag][-1]
        print(f"{tag:36} {len(found[tag]):6} points, step {first[0]}: {first[2]:.9g}, step {last[0]}: {last[2]:.9g}")
    # A NaN equals nothing, but its text does.
    differing = [t for t in sorted(found.keys() | wanted.keys()) if repr(found.get(t)) != repr(wanted.get(t))]
    for tag in differing:
        print(f"DIFFERS {tag}: {found.get(tag)} in the event file, {wanted.get(tag)} in metrics.jsonl")
    if differing or not wanted:
        sys.exit(1)
    print(f"{len(found)} tags, {sum(map(len, found.values()))} points: the same as in metrics.jsonl")


if __name__ == "__main__":
    main()
