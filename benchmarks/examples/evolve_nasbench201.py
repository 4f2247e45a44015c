"""Regularised evolution on NAS-Bench-201 under a latency budget (Real et al., AAAI 2019).

    python benchmarks/examples/evolve_nasbench201.py --budget-ms 1

A population of cells lives under a budget of predicted latency. In each cycle some cells are drawn at random
in groups; the best of a group has a mutated child, and the oldest cells die. Only children that keep the
budget are asked for their quality, which is what costs when it means training. Latencies come from a
platform: the device is not needed until the end, when networks of the front are measured on it (a simulator,
unless --device says otherwise) and compared with the prediction.

Quality is an accuracy if you have a table of it (--accuracy), made from the benchmark's own file. Without one
the multiply-accumulates stand in for it: more is better then, which is not true of accuracy, but enough to
see a search at work. This space is small: the picture shows all 15,625 cells too, and their front.
"""

from __future__ import annotations

import argparse

import numpy as np
from search_report import Found, add_arguments, open_quality, report, run

import annette
from annette.errors import UsageError
from annette.estimation.evolution import evolve
from annette.estimation.search import LatencyConstraint, LatencyObjective
from annette.zoo.spaces.registry import open_space


def main(args: argparse.Namespace) -> None:
    space = open_space(f"nasbench201,dataset={args.dataset}")
    platform = annette.load(args.platform)
    constraint = LatencyConstraint(platform, space, budget_s=args.budget_ms / 1e3)
    quality = open_quality(space, args.accuracy, args.column)
    found = evolve(
        space,
        quality.ask,
        population=args.population,
        sample=args.sample,
        cycles=args.cycles,
        batch=args.batch,
        constraint=constraint.violation,
        rng=np.random.default_rng(args.seed),
    )
    if found.best is None:
        raise UsageError(f"--budget-ms {args.budget_ms:g}: nothing keeps it; allow more, or search longer")
    print(f"best under {args.budget_ms:g} ms: {space.format(found.best)}")
    objective, kept = LatencyObjective(platform, space), found.violation <= 0
    every = np.array(list(space.enumerate()))
    report(
        Found(
            title=f"regularised evolution on NAS-Bench-201 under {args.budget_ms:g} ms",
            encodings=found.encodings[kept],
            latency_s=objective(found.encodings[kept]),
            quality=found.fitness[kept],
            budget_s=constraint.budget_s,
            every_latency_s=objective(every) if args.accuracy is None else None,
            every_quality=quality.ask(every) if args.accuracy is None else None,
        ),
        quality,
        space,
        args,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--budget-ms", type=float, default=1.0, help="latency that a network may take (default: %(default)s)"
    )
    parser.add_argument(
        "--population", type=int, default=50, help="cells that live at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--sample", type=int, default=10, help="cells that compete to be parent (default: %(default)s)"
    )
    parser.add_argument("--cycles", type=int, default=60, help="batches of children (default: %(default)s)")
    parser.add_argument(
        "--batch", type=int, default=10, help="children of a batch; 1: as in the paper (default: %(default)s)"
    )
    parser.add_argument(
        "--dataset", default="cifar10", help="cifar10, cifar100 or imagenet16-120 (default: %(default)s)"
    )
    add_arguments(parser, out="evolve_nasbench201.png")
    run(main, parser.parse_args())
