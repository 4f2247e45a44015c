"""What suggested micro-kernels are worth: error and width of intervals against the number of measurements.

    python benchmarks/studies/suggest_curve.py [--device zcu102-dpu] [--seeds 3] [--space ofa]

A small campaign (a part of the quick plan) on a simulated device is trained on, and then grows by 25, 50, 100
and 200 benchmarks: by random draws of the same plan, by what `annette suggest` proposes overall, and by what
it proposes for a search space; each step is suggested by the platform trained before it. All are judged by
networks that no step saw: the zoo's suites, and architectures of the space other than those that stood for
it. Writes benchmarks/results/suggest_curve.json and .png, and the table of docs/suggest.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from provenance import RESULTS, record

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.campaign import measure_network, run_campaign
from annette.benchmark.plan import load_plan, plan_campaign
from annette.benchmark.suggested import add_suggested
from annette.estimation.platform import Platform
from annette.evaluation.suggestion import space_targets, suggest_kernels, typical_targets
from annette.graph.network import Network
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore
from annette.store.records import Task
from annette.zoo.spaces.registry import open_space
from annette.zoo.suites import suite_networks

BUDGETS = (0, 25, 50, 100, 200)
SUITES = ("classic12", "modern12")
JUDGED_OF_SPACE = 60
MICRO_SHARE, BLOCK_SHARE = 4, 2
"""Every so many of the plan's micro-kernels and blocks make the campaign at the start."""
WAYS = ("random", "suggested overall", "suggested for the space")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "suggest.md"
START, END = "<!-- curve: made by benchmarks/studies/suggest_curve.py -->\n", "<!-- end of curve -->"

Judged = tuple[str, list[Network], np.ndarray]
"""Name, networks and measured seconds."""


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="zcu102-dpu")
    parser.add_argument("--plan", default="quick")
    parser.add_argument("--space", default="ofa")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument(
        "--redraw", action="store_true", help="curves, picture and table of the runs there are"
    )
    arguments = parser.parse_args()
    if arguments.redraw:
        redraw()
        return
    start = time.perf_counter()
    backend = open_device(arguments.device)
    judged = judges(backend, arguments.space)
    rows: list[dict[str, Any]] = []
    known: dict[int, Platform] = {}
    for seed in range(arguments.seeds):
        for way in WAYS:
            rows += grow(way, backend, arguments, judged, seed, known)
    curves = summarise(rows)
    for curve in curves:
        print(curve)
    result = {
        "device": backend.info.name,
        "plan": arguments.plan,
        "space": arguments.space,
        "judged": {name: len(networks) for name, networks, _ in judged},
        "seeds": arguments.seeds,
        "elapsed_s": round(time.perf_counter() - start, 1),
        "curves": curves,
        "runs": rows,
    }
    draw(result, RESULTS / "suggest_curve.png")
    write_page(result)
    print(record("suggest_curve", result, seed=arguments.seeds))


def redraw() -> None:
    """Summarise and draw the recorded runs again; nothing is measured, and their provenance stays."""
    path = RESULTS / "suggest_curve.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["curves"] = summarise(result["runs"])
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(result, RESULTS / "suggest_curve.png")
    write_page(result)


def judges(backend: Backend, space: str) -> list[Judged]:
    """What the platforms are judged by: never a target, never in a campaign."""
    opened = open_space(space)
    targets = {network.id for seed in range(10) for network in space_targets(opened, seed=seed)}
    drawn = [opened.network(row) for row in opened.sample(JUDGED_OF_SPACE, seed=1_000_003)]
    suites = [network for suite in SUITES for network in suite_networks(suite)]
    found = []
    for name, networks in (("suites", suites), (space, [item for item in drawn if item.id not in targets])):
        measured = [measure_network(backend, network, place) for place, network in enumerate(networks)]
        kept = [
            (network, statistics.median(item.values_s))
            for network, item in zip(networks, measured, strict=True)
            if item.values_s is not None
        ]
        found.append((name, [network for network, _ in kept], np.array([value for _, value in kept])))
    return found


def grow(
    way: str,
    backend: Backend,
    arguments: argparse.Namespace,
    judged: Sequence[Judged],
    seed: int,
    known: dict[int, Platform],
) -> list[dict[str, Any]]:
    """One campaign that grows one way: scores after each budget. Platforms of no budget are kept by seed."""
    plan = load_plan(arguments.plan)
    start, pool = split(plan_campaign(plan), seed)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        CampaignStore.create(Path(folder) / "run.db", device=backend.info, plan=plan.record) as store,
    ):
        store.add_tasks(start)
        before, platform, expected = 0, None, None
        for budget in arguments.budgets:
            if platform is not None:
                expected = extend(way, store, platform, pool[before:budget], budget, arguments.space, seed)
            run_campaign(tuple(store.tasks()), backend, store)
            if budget or seed not in known:
                platform = Platform.from_parts(generate_platform(store, seed=seed))
                known.setdefault(seed, platform)
            else:
                platform = known[seed]
            row = {"way": way, "seed": seed, "budget": budget, "expected_half_width": expected}
            row |= {"benchmarks": store.summary().planned, "kernels": platform.metrics["measured_kernels"]}
            row |= {name: score(platform, networks, measured) for name, networks, measured in judged}
            print(row, flush=True)
            rows.append(row)
            before = budget
    return rows


def split(tasks: Sequence[Task], seed: int) -> tuple[list[Task], list[Task]]:
    """The campaign at the start, and the rest in random order."""
    micro = [task for task in tasks if task.category == "micro-kernel"]
    blocks = [task for task in tasks if task.category == "block"]
    start = [*micro[seed::MICRO_SHARE], *blocks[seed::BLOCK_SHARE]]
    taken = {task.id for task in start}
    rest = [task for task in (*micro, *blocks) if task.id not in taken]
    return start, [rest[place] for place in np.random.default_rng(seed).permutation(len(rest))]


def extend(
    way: str,
    store: CampaignStore,
    platform: Platform,
    drawn: Sequence[Task],
    budget: int,
    space: str,
    seed: int,
) -> float | None:
    """Append as many tasks as were drawn; returns the half-width that the suggestion expects."""
    if way == "random":
        store.append_tasks(drawn)
        return None
    overall = way == "suggested overall"
    targets = typical_targets(seed=seed) if overall else space_targets(open_space(space), seed=seed)
    found = suggest_kernels(platform, targets, len(drawn), seed=seed + budget, store=store)
    add_suggested(store, found.to_tasks())
    return found.kernels[-1].half_width


def score(platform: Platform, networks: Sequence[Network], measured_s: np.ndarray) -> dict[str, float]:
    """Error, width and coverage, as fractions."""
    found = platform.estimate_many_intervals(networks)
    inside = (found.low_s <= measured_s) & (measured_s <= found.high_s)
    return {
        "mape": round(float(np.abs(found.latency_s / measured_s - 1.0).mean()), 5),
        "half_width": round(float(np.median((found.high_s - found.low_s) / 2 / found.latency_s)), 5),
        "coverage": round(float(inside.mean()), 4),
    }


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the seeds, by way and budget: one of a few small campaigns may have vast intervals."""
    curves = []
    for way in WAYS:
        for budget in sorted({row["budget"] for row in rows}):
            same = [row for row in rows if row["budget"] == budget and row["way"] == way]
            curve: dict[str, Any] = {"way": way, "budget": budget}
            curve["kernels"] = round(statistics.fmean(row["kernels"] for row in same), 1)
            for name in (key for key, value in same[0].items() if isinstance(value, dict)):
                for figure in ("mape", "half_width", "coverage"):
                    values = [row[name][figure] for row in same]
                    curve[f"{name} {figure}"] = round(statistics.median(values), 5)
            curves.append(curve)
    return curves


def page_table(result: dict[str, Any]) -> str:
    """The table of docs/suggest.md: error, half-width and coverage, by budget and way."""
    names = list(result["judged"])
    head = [f"{name}: error, half-width, coverage" for name in names]
    lines = [
        f"| further benchmarks | drawn how | kernels | {' | '.join(head)} |",
        "|--:|---|--:" + "|--:" * len(names) + "|",
    ]
    curves = sorted(result["curves"], key=lambda item: (item["budget"], WAYS.index(item["way"])))
    for item in curves:
        if item["budget"] == 0 and item["way"] != WAYS[0]:
            continue
        cells = [
            " ".join(
                f"{100 * item[f'{name} {figure}']:.1f} %" for figure in ("mape", "half_width", "coverage")
            )
            for name in names
        ]
        way = item["way"] if item["budget"] else ""
        lines.append(f"| {item['budget']} | {way} | {item['kernels']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(result: dict[str, Any]) -> None:
    """Put the table between its marks in docs/suggest.md."""
    text = PAGE.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{start}{page_table(result)}\n{end}{after}", encoding="utf-8")


def draw(result: dict[str, Any], path: Path) -> None:
    """Error and width of both sets of networks, one line a way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(result["judged"])
    figure, axes = plt.subplots(2, len(names), figsize=(9.5, 6.4), sharex=True, squeeze=False)
    titles = {"mape": "mean error of networks, %", "half_width": "median half-width of 90 % intervals, %"}
    for column, name in enumerate(names):
        for line, (figure_name, title) in enumerate(titles.items()):
            axis = axes[line][column]
            for way, colour in zip(WAYS, ("#888888", "#00796b", "#c2410c"), strict=True):
                curve = [item for item in result["curves"] if item["way"] == way]
                budgets = [item["budget"] for item in curve]
                axis.plot(
                    budgets,
                    [100 * item[f"{name} {figure_name}"] for item in curve],
                    "o-",
                    color=colour,
                    label=way,
                )
                for run in (item for item in result["runs"] if item["way"] == way):
                    axis.plot(
                        run["budget"], 100 * run[name][figure_name], ".", color=colour, alpha=0.35, ms=5
                    )
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
            axis.grid(alpha=0.25, which="both")
            axis.set_ylabel(title)
            if line == 0:
                axis.set_title(f"{name}: {result['judged'][name]} networks")
            else:
                axis.set_xlabel("further benchmarks")
    axes[0][0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
