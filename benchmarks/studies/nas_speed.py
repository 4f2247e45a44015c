"""How fast populations and networks become seconds, and how near that is to what is possible.

    python benchmarks/studies/nas_speed.py [--quick] [--peer-python /tmp/peer/bin/python]

Each figure comes from Python processes of its own (nas_speed_tasks.py), in which nothing was asked before:
"cold" is the first call of a process, with annette imported and the platform loaded; "warm" and "more" are
later calls of it. Wall times are those of the machine as it was: every row has the load (of the last minute)
under which it was taken. Run it on a quiet machine with two free cores; it takes some five minutes.

Two bounds are measured beside: what adding up table look-ups of the same encodings takes, which no estimator
of this kind undercuts, and, with --peer-python, what the peer nn-Meter takes to detect kernels (its
predictors are a download, so that its estimate takes longer than this). The peer's environment is made by

    python -m venv /tmp/peer && /tmp/peer/bin/pip install nn-meter onnx setuptools

Writes benchmarks/results/nas_speed.json and a picture of where the time goes, nas_speed.png.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas_speed_process import REPEATS, STUDIES, Row, at_least, at_most, fresh, process, repeated
from nas_speed_profile import draw
from provenance import RESULTS, record

PLATFORMS = ("zcu102-dpu", "ncs2")
STREAM = 423_624
"""Cells of NAS-Bench-101."""
OFA, MANY, MEMORY, PROFILE = 100_000, 2000, 1_000_000, 4096
PROFILED = ("nasbench201", "nasbench101", "ofa", "fbnet", "darts", "transformer")
KNOWN = {"nn-Meter, fastest": 0.237, "nn-Meter, slowest": 0.635, "original ANNETTE": 0.113}
"""Seconds per estimate of peers, known from earlier on a two-core machine; not run here."""
VERDICTS = {True: "met", False: "MISSED", None: "open (a lower bound)"}


@dataclass(slots=True, kw_only=True)
class Study:
    """What the parts of the study share."""

    platforms: list[str]
    scale: float
    peer: Path | None
    folder: str
    prepared: dict[str, Any] = field(default_factory=dict)
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    """Networks per second by platform and space or family, one process, first call."""
    singles: dict[tuple[str, str], float] = field(default_factory=dict)
    """Cold seconds of one network by platform and network."""

    def count(self, whole: int) -> int:
        """So many in a full run, fewer in a quick one."""
        return round(whole * self.scale)


# Parts ----------------------------------------------------------------------------------------------


def import_rows(_: Study) -> Iterator[Row]:
    """``import annette``, and what is heaviest in it; the same of loading a platform."""
    code = "import time; t = time.perf_counter(); import annette; print(time.perf_counter() - t)"
    runs = [process("-c", code) for _ in range(2 * REPEATS)]
    bare = statistics.median(process("-c", "pass")[2] for _ in runs)
    yield at_most(
        "import annette", statistics.median(float(out) for out, _, _ in runs), 0.15,
        process_s=statistics.median(seconds for _, _, seconds in runs), bare_python_process_s=bare,
        heaviest=heaviest("import annette"), load=os.getloadavg()[0],
    )  # fmt: skip
    with_platform = "import annette; annette.load('zcu102-dpu')"
    seconds = statistics.median(process("-c", with_platform)[2] for _ in range(REPEATS))
    yield at_most(
        "process that imports annette and loads a platform", seconds, None,
        heaviest=heaviest(with_platform), load=os.getloadavg()[0],
    )  # fmt: skip


def heaviest(code: str) -> dict[str, Any]:
    """The three packages that take longest to import, in milliseconds without what they import of others."""
    known = {line.rpartition("|")[2].strip() for line in _import_lines("pass")}
    seconds: dict[str, float] = {}
    for line in _import_lines(code):
        own, _, module = (part.strip() for part in line.removeprefix("import time:").split("|"))
        if module not in known and own.isdigit():
            package = module.partition(".")[0]
            seconds[package] = seconds.get(package, 0.0) + int(own) / 1e3
    first = sorted(seconds.items(), key=lambda item: -item[1])[:3]
    return {f"{name}_ms": value for name, value in first}


def _import_lines(code: str) -> list[str]:
    _, err, _ = process("-X", "importtime", "-c", code)
    return [line for line in err.splitlines() if line.startswith("import time:")]


def string_rows(study: Study) -> Iterator[Row]:
    """All of NAS-Bench-201, strings to seconds."""
    for platform in study.platforms:
        runs, about = repeated("strings", platform=platform, texts=study.prepared["texts"])
        cold, warm, load = (
            statistics.median(run[key] for run in runs) for key in ("cold_s", "warm_s", "load_s")
        )
        what, more = (
            "all 15,625 NAS-Bench-201 strings",
            {"platform": platform, "n_jobs": 1, "load": about["load"]},
        )
        extra = {
            "import_and_load_s": load,
            "with_import_and_load_s": load + cold,
            "process_s": about["process_s"],
        }
        study.rates[platform, "nasbench201"] = runs[0]["networks"] / cold
        yield at_most(f"{what}, cold", cold, 0.5, **more, **extra)
        yield at_most(f"{what}, warm", warm, 0.1, **more)


def stream_rows(study: Study) -> Iterator[Row]:
    """Streams of random encodings, with what is learned at first, and more of them."""
    whens = ("first call, cold", "second call, other samples")
    for space, title in (("nasbench101", "NAS-Bench-101 cells"), ("ofa", "OFA-MobileNetV3")):
        for platform in study.platforms:
            means = []
            for n_jobs in (1, 2):
                files = study.prepared["files"][space]
                answer, about = fresh("stream", platform=platform, space=space, files=files, n_jobs=n_jobs)
                means.append(answer["mean_s"])
                for when, seconds in zip(whens, answer["seconds"], strict=False):
                    rate = answer["networks"] / seconds
                    if n_jobs == 1:
                        study.rates[platform, space if when == whens[0] else f"{space}, more"] = rate
                    yield at_least(
                        f"{answer['networks']:,} random {title}, {when}", rate, 20_000.0,
                        platform=platform, n_jobs=n_jobs, seconds=seconds, load=about["load"],
                    )  # fmt: skip
            assert means[0] == means[1], "processes do not change the numbers"


def arbitrary_rows(study: Study) -> Iterator[Row]:
    """Networks as objects, none of which was seen before."""
    count = study.count(MANY)
    for platform in study.platforms:
        for family, n_jobs in (("mixed", 1), ("mixed", 2), ("nasbench101", 1), ("fbnet", 1), ("zoo", 1)):
            own = count if family == "mixed" else count // 3
            answer, about = fresh("arbitrary", platform=platform, family=family, count=own, n_jobs=n_jobs)
            for when in ("first", "more"):
                rate = own / answer[f"{when}_s"]
                if (n_jobs, when) == (1, "first"):
                    study.rates[platform, f"networks of {family}"] = rate
                yield at_least(
                    f"{own:,} Networks never seen, {family}, {when}", rate, 1000.0, platform=platform,
                    n_jobs=n_jobs, seconds=answer[f"{when}_s"], layers=answer["layers"], load=about["load"],
                )  # fmt: skip


def single_rows(study: Study) -> Iterator[Row]:
    """One network at a time."""
    targets = {"cold": 5e-3, "same object": 0.3e-3, "equal network": 0.3e-3}
    titles = {
        "cold": "never seen",
        "same object": "warm, the same object",
        "equal network": "warm, an equal one",
    }
    for platform in study.platforms:
        runs, about = repeated("one", platform=platform)
        for name in runs[0]:
            for when, target in targets.items():
                seconds = statistics.median(run[name][when] for run in runs)
                if when == "cold":
                    study.singles[platform, name] = seconds
                yield at_most(
                    f"one Network, {name}, {titles[when]}",
                    seconds,
                    target,
                    platform=platform,
                    load=about["load"],
                )


def memory_rows(study: Study) -> Iterator[Row]:
    """The most memory of a process that samples and estimates; both spaces at once, since no time counts."""
    count, platform = study.count(MEMORY), study.platforms[0]
    spaces = ("ofa", "nasbench101")
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda space: fresh("memory", platform=platform, space=space, count=count), spaces)
        for space, (answer, about) in zip(spaces, runs, strict=True):
            peak = answer.pop("peak_bytes")
            yield at_most(
                f"memory of {count:,} networks, {space}", float(peak), 1e9, "bytes",
                platform=platform, n_jobs=1, load=about["load"], **answer,
            )  # fmt: skip


def limit_rows(study: Study) -> Iterator[Row]:
    """How many times as long as table look-ups alone the estimates take."""
    for space in ("nasbench201", "nasbench101", "ofa"):
        files = study.prepared["files"].get(space, [])
        texts = "" if files else study.prepared["texts"]
        answer, about = fresh("limit", space=space, files=files, texts=texts)
        read = answer.get("strings_s", 0.0)
        for what in ("genes", "pieces"):
            seconds = read + answer[f"{what}_s"]
            rate = answer["networks"] / seconds
            ratios = {
                when: {name: rate / study.rates[name, of] for name in study.platforms}
                for when, of in (("first call", space), ("second call", f"{space}, more"))
                if (study.platforms[0], of) in study.rates
            }
            yield at_least(
                f"limit: {space}, one look-up for each of {answer[what]} {what}", rate, None,
                seconds=seconds, reading_strings_s=read, estimate_over_limit=ratios, load=about["load"],
            )  # fmt: skip


# Peers ----------------------------------------------------------------------------------------------


def peer_rows(study: Study) -> Iterator[Row]:
    """Speed-ups over peers: measured lower bounds in this session, then known figures."""
    if study.peer is None:
        yield {
            "what": "peer nn-Meter",
            "left_out": "no --peer-python: the Python of an environment with nn-meter",
        }
    else:
        yield from _measured_peer(study, study.peer)
    for peer, seconds in KNOWN.items():
        for platform in study.platforms:
            more = {
                "platform": platform,
                "peer_s": seconds,
                "peer_figure": "known from earlier, not run here",
            }
            speedup = seconds * study.rates[platform, "nasbench101"]
            yield at_least(f"over {peer}: populations of NAS-Bench-101", speedup, 1000.0, "x", **more)
            speedup = seconds / study.singles[platform, "resnet50"]
            yield at_least(f"over {peer}: one network, never seen, resnet50", speedup, 10.0, "x", **more)


def _measured_peer(study: Study, peer: Path) -> Iterator[Row]:
    files, _ = fresh("write", folder=study.folder)
    script = str(STUDIES / "nas_speed_peer.py")
    answers = [_peer(script, {}, peer, study) for _ in range(REPEATS)]
    answer = _peer(script, files, peer, study)
    about = {"peer": f"nn-Meter {answer['version']}", "load": os.getloadavg()[0]}
    yield at_most(
        "peer: import nn_meter", statistics.median(item["import_s"] for item in answers), None, **about
    )
    reads = {platform: fresh("read", platform=platform, files=files)[0] for platform in study.platforms}
    bound = {**about, "peer_figure": "lower bound of its estimate: kernels detected, none priced"}
    for name, found in answer["networks"].items():
        if "error" in found:
            yield {"what": f"peer: {name}", "left_out": found["error"], **about}
            continue
        detect, whole = found["detect_s"], found["detect_s"] + found["read_s"]
        kernels = {"kernels": found["kernels"], "priced_kernels": found["priced_kernels"]}
        yield at_most(f"peer: {name}, its graph to kernels", detect, None, **kernels, **bound)
        yield at_most(f"peer: {name}, ONNX file to kernels", whole, None, **kernels, **bound)
        for platform in study.platforms:
            pairs = [("never seen", detect, study.singles[platform, name], 10.0)]
            pairs.append(("from its ONNX file", whole, reads[platform][name], 10.0))
            if name == "nasbench101":
                pairs.append(("populations", detect, 1 / study.rates[platform, name], 1000.0))
            for how, theirs, own, target in pairs:
                more = {"platform": platform, "peer_s": theirs, "own_s": own, **bound}
                row = at_least(
                    f"over nn-Meter's detection of kernels: {name}, {how}", theirs / own, target, "x", **more
                )
                yield {**row, "met": row["met"] or None}  # less than a bound decides nothing


def _peer(script: str, files: dict[str, str], peer: Path, study: Study) -> dict[str, Any]:
    out, _, _ = process(script, json.dumps(files), python=peer, home=study.folder)  # it writes to its home
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


# Profile and report ---------------------------------------------------------------------------------


def profiles(study: Study) -> list[Row]:
    """The shares of the steps, of each space on each platform; two processes at a time: only shares count."""
    jobs = [(platform, space) for platform in study.platforms for space in PROFILED]
    count = str(study.count(PROFILE))

    def one(job: tuple[str, str]) -> Row:
        out, _, _ = process(str(STUDIES / "nas_speed_profile.py"), *job, count)
        found: Row = json.loads(out.splitlines()[-1])
        return found

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, jobs))


def show(row: Row) -> None:
    """One line of a row."""
    where = row.get("platform", "") + (f", {row['n_jobs']} process(es)" if "n_jobs" in row else "")
    if "left_out" in row:
        print(f"{row['what']:66} left out: {row['left_out']}", flush=True)
        return
    value, target, unit = row["value"], row["target"], row["unit"]
    figures = [f"{number:12,.6f}" if unit == "s" else f"{number:12,.0f}" for number in (value, target or 0.0)]
    sign = ">=" if "more_is_better" in row else "<="
    aim = f"{sign} {figures[1].strip()}: {VERDICTS[row['met']]}" if target is not None else ""
    print(f"{row['what']:66} {where:26} {figures[0]} {unit:10} {aim}", flush=True)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument(
        "--quick", action="store_true", help="a tenth of everything, nothing under benchmarks/results"
    )
    found.add_argument(
        "--platform", action="append", help="one or more platforms; by default zcu102-dpu and ncs2"
    )
    found.add_argument("--peer-python", type=Path, help="Python of an environment with nn-meter and onnx")
    found.add_argument(
        "--folder", type=Path, help="where the picture goes in a quick run; a new one otherwise"
    )
    return found


def main() -> None:
    arguments = parser().parse_args()
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            platforms=arguments.platform or list(PLATFORMS), scale=0.1 if arguments.quick else 1.0,
            peer=arguments.peer_python, folder=folder,
        )  # fmt: skip
        counts = {"stream_count": study.count(STREAM), "ofa_count": study.count(OFA)}
        study.prepared, _ = fresh("prepare", folder=folder, **counts)
        rows: list[Row] = []
        parts = (import_rows, string_rows, stream_rows, arbitrary_rows, single_rows, limit_rows, peer_rows)
        for part in (*parts, memory_rows):
            for row in part(study):
                rows.append(row)
                show(row)
        steps = profiles(study)
    result = {
        "machine_load": {"before": before, "after": os.getloadavg()}, "cores": len(os.sched_getaffinity(0)),
        "rows": rows, "steps": steps,
    }  # fmt: skip
    if arguments.quick:
        to = arguments.folder or Path(tempfile.mkdtemp())
        draw(steps, to / "nas_speed.png")
        (to / "nas_speed.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        print(f"written to {to}, not to benchmarks/results: a quick run")
        return
    draw(steps, RESULTS / "nas_speed.png")
    print(f"written to {record('nas_speed', result, seed=1).name}")


if __name__ == "__main__":
    main()
