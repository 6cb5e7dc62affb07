"""Does `onnxctl run` call equal things equal, and find a slow-down of 3 %? A model against itself, again and again.

    python benchmarks/compare_equals.py [--times 100] [--duration 0.5] MODEL.onnx

Each time the same file takes part twice, in processes of its own, and the verdict should be "no measurable difference".
The slow-down is planted into the same measurements: ratio and interval times 1.03, which is what every turn of the
second taking 3 % longer would have given (the comparison works on logarithms of ratios).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from onnxctl.reports import RunConfig
from onnxctl.runtime.contest import run_contest
from onnxctl.runtime.statistics import RatioEstimate, verdict_of
from onnxctl.runtime.variants import Variant

PLANTED = 1.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--duration", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    config = RunConfig(path=options.model, duration_s=options.duration, intra_op_threads=options.threads)
    equal, planted = Counter[str](), Counter[str]()
    widths = []
    for number in range(options.times):
        report = run_contest([Variant("first", config), Variant("second", config)], seed=number)
        ratio = report.variants[1].ratio
        assert ratio is not None, "both ran"
        equal[ratio.verdict] += 1
        slower = RatioEstimate(ratio=ratio.ratio * PLANTED, low=ratio.low * PLANTED, high=ratio.high * PLANTED)
        planted[verdict_of(slower)] += 1
        widths.append(ratio.high - ratio.low)
        sys.stderr.write(f"\r{number + 1} of {options.times}: {dict(equal)}, planted: {dict(planted)}   ")
    sys.stderr.write("\n")
    sys.stdout.write(f"equal: {dict(equal)}\nplanted {PLANTED - 1:.0%}: {dict(planted)}\n")
    sys.stdout.write(f"width of the interval: {sorted(widths)[len(widths) // 2]:.4f} in the median\n")


if __name__ == "__main__":
    main()
