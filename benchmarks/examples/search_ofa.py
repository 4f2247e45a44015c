"""Multi-objective search on Once-for-All MobileNetV3 with Optuna's NSGA-II: latency against quality.

    pip install "annette[search,notebook]"
    python benchmarks/examples/search_ofa.py --generations 20

Each generation is asked from Optuna as a whole and priced by the platform at once: one by one, most of the
time would go into what lies between the trials. The result is a front of sub-networks, from the fastest to
the best; some of them are measured at the end on the device (a simulator, unless --device says otherwise)
and compared with the prediction.

Quality is an accuracy if you have a table of it (--accuracy). Without one the multiply-accumulates stand in
for it: the front then shows which sub-networks get the most arithmetic done in their time.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from search_report import Found, add_arguments, open_quality, report, run

import annette
from annette.errors import UsageError
from annette.estimation.search import LatencyObjective
from annette.zoo.spaces.registry import open_space


def main(args: argparse.Namespace) -> None:
    try:
        import optuna
    except ImportError:
        sys.exit('error: this example needs Optuna: pip install "annette[search]"')
    if args.generations < 1 or args.population < 2:
        raise UsageError("--generations and --population: expected 1 or more, and 2 or more")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = open_space(args.space)
    objective = LatencyObjective(annette.load(args.platform), space)
    quality = open_quality(space, args.accuracy, args.column)
    sampler = optuna.samplers.NSGAIISampler(population_size=args.population, seed=args.seed)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    found = []
    for _ in range(args.generations):
        trials = [study.ask() for _ in range(args.population)]
        rows = np.array([objective.suggest(trial) for trial in trials])
        valid = space.valid_mask(rows)
        for trial, is_valid in zip(trials, valid, strict=True):
            if not is_valid:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if not valid.any():
            continue
        rows = rows[valid]
        latency_s, quality_of = objective(rows), quality.ask(rows)
        asked = [trial for trial, is_valid in zip(trials, valid, strict=True) if is_valid]
        for trial, values in zip(asked, zip(latency_s, quality_of, strict=True), strict=True):
            study.tell(trial, [float(value) for value in values])
        found.append((rows, latency_s, quality_of))
    if not found:
        raise UsageError(f"--space {space.name}: no trial is an architecture, allow more of --generations")
    encodings, latency_s, quality_of = map(np.concatenate, zip(*found, strict=True))
    title = f"NSGA-II on {space.name}: {args.generations} generations of {args.population}"
    report(
        Found(title=title, encodings=encodings, latency_s=latency_s, quality=quality_of), quality, space, args
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--space",
        default="ofa",
        help="any space: ofa,width=1.2, fbnet, ...; "
        "of nasbench101 most trials are no architecture, and are left out (default: %(default)s)",
    )
    parser.add_argument("--population", type=int, default=50, help="of a generation (default: %(default)s)")
    parser.add_argument(
        "--generations", type=int, default=12, help="as many are asked (default: %(default)s)"
    )
    add_arguments(parser, out="search_ofa.png")
    run(main, parser.parse_args())
