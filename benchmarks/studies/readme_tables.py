"""Writes the tables of accuracy in the README from benchmarks/results: accuracy.json and real_cpu*.json.

python benchmarks/studies/readme_tables.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from real_cpu_tables import overview_table

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RESULT = ROOT / "benchmarks" / "results" / "accuracy.json"
MODELS = {
    "roofline": "roofline",
    "refined_roofline": "refined",
    "statistical": "statistical",
    "mixed": "**mixed**",
}


def accuracy_table(document: dict[str, Any]) -> str:
    """One row a platform and suite: MAPE of the four models, then rank, kernels and mapping of mixed."""
    head = ["platform", "networks", *(f"MAPE {title}" for title in MODELS.values())]
    head += ["Spearman of mixed", "kernel MAPE of mixed", "kernels mapped exactly"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for platform, entry in document["platforms"].items():
        for name, suite in entry["suites"].items():
            mixed = suite["models"]["mixed"]
            cells = [platform, name, *(f"{suite['models'][model]['mape']:.1%}" for model in MODELS)]
            cells += [
                f"{mixed['spearman']:.4f}",
                f"{mixed['kernel_mape']:.1%}",
                f"{suite['mapping_accuracy']:.1%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(readme: str, table: str, mark: str = "accuracy") -> str:
    """The README's text with the table between its two marks; as it was where it has none."""
    return re.sub(
        rf"(<!-- {mark}: .*? -->\n).*?(<!-- end of {mark} -->)",
        lambda match: f"{match[1]}{table}\n{match[2]}",
        readme,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only say whether the README is up to date")
    arguments = parser.parse_args()
    before = README.read_text(encoding="utf-8")
    after = with_table(before, accuracy_table(json.loads(RESULT.read_text(encoding="utf-8"))))
    results = RESULT.parent.glob("real_cpu*.json")
    documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in results}
    after = with_table(after, overview_table(documents), "real_cpu")
    if arguments.check:
        sys.exit(before != after)
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
