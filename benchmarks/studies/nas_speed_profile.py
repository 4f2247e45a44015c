"""Where the time of `nas_speed.py` goes: shares of the steps from encodings to seconds, and their picture.

    python benchmarks/studies/nas_speed_profile.py zcu102-dpu fbnet 20000

The steps are those of `annette.estimation.space_estimates`, told apart from outside by Python's profiler. The
answer is the last line, as JSON.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import time
from pathlib import Path
from typing import Any

STEPS = ("check", "pieces", "fold", "assemble", "walk", "contents", "prices", "sum")
"""Encodings are read and checked; made pieces; equal cells folded; layers put into slots; mapping rules
walked over them; kernels told apart by what they consist of; priced; added up."""
COLOURS = ("#bab0ac", "#76b7b2", "#b07aa1", "#4e79a7", "#f28e2b", "#e15759", "#59a14f", "#edc948")
SMALL = 20_000
"""Spaces with at most so many architectures are asked for as a whole, once."""
_FUNCTIONS = {
    "rows": "space_estimates.py:_rows",
    "all": "space_estimates.py:estimate_space",
    "chunk": "space_estimates.py:_estimate_pieces",
    "fold": "folding.py:fold",
    "weights": "folding.py:weights",
    "unlike": "folding.py:unlike",
    "assemble": "layers.py:assemble",
    "map": "contents.py:map_population",
    "open": "contents.py:open",
    "join": "contents.py:join",
    "finish": "contents.py:finish",
    "numbers": "prices.py:numbers",
    "parts": "prices.py:parts",
}
"""What is read off the profile, by file and function."""


def shares(stats: pstats.Stats, module: str) -> dict[str, float]:
    """Seconds of each step; ``module`` is the file of the space."""
    seconds: dict[str, float] = {}
    for (file, _, function), (_, _, _, cumulative, _) in stats.stats.items():  # type: ignore[attr-defined]
        key = f"{Path(file).name}:{function}"
        seconds[key] = seconds.get(key, 0.0) + cumulative

    def of(name: str) -> float:
        key = _FUNCTIONS[name]
        if key not in seconds and name not in ("weights", "unlike", "open", "join"):
            raise SystemExit(
                f"{key}: not in the profile; the steps have other names than nas_speed_profile.py has"
            )
        return seconds.get(key, 0.0)

    contents = of("open") + of("join") + of("finish")
    found = {
        "pieces": seconds[f"{module}:pieces"],
        "fold": of("fold") + of("weights") + of("unlike"),
        "assemble": of("assemble"),
        "walk": of("map") - contents,
        "contents": contents,
        "prices": of("numbers") + of("parts"),
    }
    within = sum(value for name, value in found.items() if name != "pieces")
    found["sum"] = of("chunk") - within
    found["check"] = of("all") - of("chunk") - found["pieces"]
    return {step: max(0.0, found[step]) for step in STEPS}


def profile(platform: str, name: str, count: int) -> dict[str, Any]:
    """The steps of so many architectures of a space, the first ones and as many more, as shares of all."""
    import annette
    from annette.zoo.spaces.registry import open_space

    trained, space = annette.load(platform), open_space(name)
    is_small = space.size <= SMALL
    batches = [list(space.enumerate())] if is_small else [space.sample(count, seed=seed) for seed in (1, 2)]
    module = Path(sys.modules[type(space).__module__].__file__ or "").name
    found: dict[str, Any] = {"space": name, "platform": platform}
    for when, rows in zip(("first", "more"), batches, strict=False):
        profiler = cProfile.Profile()
        start = time.perf_counter()
        profiler.runcall(trained.estimate_space, space, rows)
        seconds = time.perf_counter() - start
        steps = shares(pstats.Stats(profiler), module)
        total = sum(steps.values())
        found[when] = {
            "networks": len(rows),
            "us_a_network": seconds / len(rows) * 1e6,
            "shares": {step: value / total for step, value in steps.items()},
        }
    return found


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Bars of shares, one a platform and space; behind each what a network takes in all."""
    from matplotlib.figure import Figure

    bars = [
        (f"{item['space']}, {when}", item["platform"], item[when])
        for item in found
        for when in ("first", "more")
        if when in item
    ]
    platforms = list(dict.fromkeys(platform for _, platform, _ in bars))
    most = max(sum(1 for bar in bars if bar[1] == platform) for platform in platforms)
    figure = Figure(figsize=(6.2 * len(platforms), 1.6 + 0.34 * most), layout="constrained")
    columns = figure.subplots(1, len(platforms), squeeze=False)[0]
    for axes, platform in zip(columns, platforms, strict=True):
        own = [(label, bar) for label, of, bar in bars if of == platform]
        labels, left = [label for label, _ in own], [0.0] * len(own)
        for step, colour in zip(STEPS, COLOURS, strict=True):
            widths = [100 * bar["shares"][step] for _, bar in own]
            axes.barh(range(len(own)), widths, left=left, color=colour, label=step, height=0.72)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for place, (_, bar) in enumerate(own):
            axes.text(101, place, f"{bar['us_a_network']:.0f}", va="center", fontsize=8)
        axes.text(101, -0.9, "µs a network", va="center", fontsize=8)
        axes.set_yticks(range(len(own)), labels, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the time, %")
        axes.set_title(platform, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    handles, names = columns[0].get_legend_handles_labels()
    columns_of_names = len(STEPS) if len(platforms) > 1 else len(STEPS) // 2
    figure.legend(
        handles, names, loc="outside lower center", ncols=columns_of_names, frameon=False, fontsize=8
    )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    print(json.dumps(profile(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
