"""Fuzzes what annette reads: changed files of every kind, each in bounds of time and memory.

``make fuzz`` runs it. Each target (a kind of input) gets a budget of seconds in a process of its own, which
may take 2 GB. What is found is written into the folder of findings, one file a fault, the smallest case of
each; put it into tests/fuzz/corpus/TARGET/ under a name that says what it is, and the suite runs it for ever.
``--record`` writes benchmarks/results/fuzz.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))

from fuzz_targets import TARGETS
from fuzz_worker import CASE_SECONDS, MEMORY_BYTES
from provenance import provenance, record

_HANGS_S = 9 * CASE_SECONDS
_SLOW_START_S = 120.0


def fuzz_target(name: str, *, seconds: float, seed: int, kept: Path) -> dict[str, Any]:
    """Cases, findings, time and memory of one target; a process that dies or hangs is a finding too."""
    findings: list[dict[str, Any]] = []
    cases, slowest_s, peak_bytes = 0, 0.0, 0
    end, turn = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1 or not turn:
        lines, fault = _worker(name, seed=seed + 1000 * turn, seconds=max(left, 1.0), kept=kept)
        for line in lines:
            if "cases" in line:
                cases += line["cases"]
                slowest_s, peak_bytes = max(slowest_s, line["slowest_s"]), max(peak_bytes, line["peak_bytes"])
            else:
                findings.append(line)
        if fault is not None:
            case = kept / f"{name}-{seed}-{turn}-died"
            current = kept / f"{name}.current"
            if current.is_file():
                shutil.copy(current, case)
            findings.append({"kind": "Died", "where": "", "text": fault, "case": str(case)})
        turn += 1
    return {
        "cases": cases, "slowest_s": slowest_s, "peak_bytes": peak_bytes, "findings": _distinct(findings),
    }  # fmt: skip


def _worker(name: str, *, seed: int, seconds: float, kept: Path) -> tuple[list[dict[str, Any]], str | None]:
    words = [
        sys.executable,
        str(Path(__file__).with_name("fuzz_worker.py")),
        name,
        str(seed),
        str(seconds),
        str(kept),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "160"}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(words, stdout=output, stderr=errors, env=environment, text=True)
        try:
            code: int | None = process.wait(seconds + _HANGS_S + _SLOW_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        output.seek(0)
        errors.seek(0)
        lines = [json.loads(line) for line in output.read().splitlines() if line.startswith("{")]
        if code == 0:
            return lines, None
        last = errors.read()[-600:]
        return lines, f"does not end after {_HANGS_S:.0f} s" if code is None else f"exit code {code}: {last}"


def _distinct(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One finding a fault, that of the smallest case, and how often it was found; other cases are removed."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item in findings:
        key = (item["kind"], item["where"] or item["text"][:60])
        best = found.get(key)
        size = _size(item["case"])
        if best is None:
            found[key] = {**item, "times": 1}
            continue
        best["times"] += 1
        worse = item["case"]
        if size < _size(best["case"]):
            worse = best["case"]
            best.update(item)
        Path(worse).unlink(missing_ok=True)
    return list(found.values())


def _size(path: str) -> int:
    return Path(path).stat().st_size if Path(path).is_file() else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"some of: {', '.join(TARGETS)}; all if none"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of each target (60)")
    parser.add_argument("--seed", type=int, default=None, help="seed; drawn if not given, and printed")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="of findings (build/fuzz)")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/fuzz.json")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}; expected some of {', '.join(TARGETS)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(os.urandom(3), "big") if options.seed is None else options.seed
    print(f"seed {seed}, {options.seconds:.0f} s a target, findings in {options.folder}", flush=True)

    def one(name: str) -> dict[str, Any]:
        found = fuzz_target(name, seconds=options.seconds, seed=seed, kept=options.folder.resolve())
        print(
            f"{name:12} {found['cases']:7} cases, slowest {found['slowest_s']:5.2f} s, "
            f"{found['peak_bytes'] / 1e6:5.0f} MB, {len(found['findings'])} faults",
            flush=True,
        )
        for item in found["findings"]:
            shown = f"{item['times']} x {item['kind']} at {item['where']}: {item['text'][:200]}"
            print(f"  {shown}\n    {item['case']}")
        return found

    names = options.targets or list(TARGETS)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip(names, pool.map(one, names), strict=True))
    faults = sum(len(found["findings"]) for found in results.values())
    print(f"{sum(found['cases'] for found in results.values())} cases, {faults} faults")
    if options.record:
        shown = {
            name: {
                **found,
                "findings": [{**item, "case": Path(item["case"]).name} for item in found["findings"]],
            }
            for name, found in results.items()
        }
        bounds = {
            "case_seconds": CASE_SECONDS,
            "memory_bytes": MEMORY_BYTES,
            "seconds_a_target": options.seconds,
        }
        made = provenance(seed=seed)
        made["command"] = made["command"].replace("benchmarks/studies", "benchmarks/fuzz")
        record("fuzz", {"provenance": made, **bounds, "targets": shown}, seed=seed)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
