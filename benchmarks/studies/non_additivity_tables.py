"""The table of docs/method.md from benchmarks/results/non_additivity.json."""

from __future__ import annotations

from typing import Any

__all__ = ["non_additivity_table"]


def non_additivity_table(document: dict[str, Any]) -> str:
    """One row a device: what lies beyond its kernels, errors on held-out blocks, and what was decided."""
    head = ["campaign", "blocks", "beyond the kernels, as measured", "error of the sum", "with the residual"]
    head += ["fall ± standard error", "kept", "fitted to the models' errors too"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, row in document["devices"].items():
        if row is None:
            lines.append(f"| {name} | too few |{' |' * (len(head) - 2)}")
            continue
        fall = row["additive_mape"] - row["mape"]
        cells = [
            name, f"{row['networks']}", f"{row['median_beyond_kernels']:.2%}",
            f"{row['additive_mape']:.2%}", f"{row['mape']:.2%}",
            f"{100 * fall:.2f} ± {row['standard_error']:.2%}", "yes" if row["kept"] else "no",
            f"{row['leftover_mape']:.2%}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
