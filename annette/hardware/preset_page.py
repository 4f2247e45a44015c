"""A page about an accelerator, made from its description: what is published, assumed and compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from annette.hardware.accelerator import Accelerator, Provenance
from annette.hardware.codec import accelerator_to_dict
from annette.units import format_bytes, format_rate

__all__ = ["preset_page"]

_UNUSED = "no rule places such layers here"
"""The source of rates that a description must give and nothing asks for."""
_ASSUMED = (
    "What no publication at hand says, and what a rule makes of published numbers: energies scaled to a "
    "width, energies and areas of memories by their size."
)
_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")


def preset_page(accelerator: Accelerator, comparisons: Sequence[str]) -> str:
    """The page as Markdown: key figures, numbers with their sources, and what it was compared with.

    Parameters
    ----------
    accelerator : Accelerator
        With its provenance, as read from a file.
    comparisons : sequence of str
        Markdown paragraphs, each about one comparison and how far off it was; empty: the page says that
        there is none.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> preset_page(load_accelerator("zcu102-dpu"), []).splitlines()[0]
    '# zcu102-dpu'
    """
    known = [item for item in accelerator.provenance if item.source != _UNUSED]
    published = [item for item in known if not item.assumed]
    assumed = [item for item in known if item.assumed]
    unused = len(accelerator.provenance) - len(known)
    parts = [
        f"# {accelerator.name}",
        f"{accelerator.description}.",
        _figures(accelerator),
        "## What is published",
        _table(accelerator, published) or "Nothing is marked as published.",
        "## What is assumed",
        *([_ASSUMED, _table(accelerator, assumed)] if assumed else ["Nothing is marked as assumed."]),
    ]
    if unused:
        parts.append(
            f"{unused} further rates are placeholders: no placement rule of the device asks for them."
        )
    parts += [
        "## What it was compared with",
        *(comparisons or ["Nothing: no measured or published times of this device were at hand."]),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(accelerator: Accelerator) -> str:
    """The key figures as a list."""
    memory, precision = accelerator.external_memory, accelerator.precision
    lines = [
        f"Peak: {format_rate(accelerator.peak_ops_per_s, 'op')} ({accelerator.array.macs_per_cycle} "
        f"multiply-accumulates a cycle at {accelerator.clock_hz / 1e6:g} MHz, two operations each)",
        f"Bits: {8 * precision.activation_bytes:g} of an activation, {8 * precision.weight_bytes:g} of a "
        f"weight, {8 * precision.accumulator_bytes:g} of a partial sum",
        "On-chip memories: "
        + ", ".join(
            f"{item.name} {format_bytes(item.size_bytes)} ({', '.join(item.holds)})"
            for item in accelerator.memories
        ),
        f"External memory: {format_rate(memory.bandwidth_bytes_per_s, 'B')}",
    ]
    for title, kept in (
        ("Activations stay on the chip", accelerator.activation_memory),
        ("Weights stay on the chip", accelerator.weight_memory),
    ):
        if kept is not None:
            lines.append(
                f"{title}: up to {format_bytes(kept.size_bytes)}, "
                f"{format_rate(kept.bandwidth_bytes_per_s, 'B')}"
            )
    units = ["array"]
    units += ["vector unit"] if accelerator.vector is not None else []
    units += ["host"] if accelerator.host is not None else []
    lines.append(f"Units: {', '.join(units)}")
    if accelerator.area_mm2 is not None:
        lines.append(f"Area: {accelerator.area_mm2:.3g} mm2 by the tables below")
    return "\n".join(f"- {line}" for line in lines)


def _table(accelerator: Accelerator, items: Sequence[Provenance]) -> str:
    """Numbers, where they stand and where they come from; empty for none."""
    if not items:
        return ""
    data = accelerator_to_dict(accelerator)
    rows = [f"| `{item.path}` | {_text(_value(data, item.path))} | {item.source} |" for item in items]
    return "\n".join(["| field | value | source |", "|---|---|---|", *rows])


def _value(data: Any, path: str) -> Any:
    """What stands under a path such as ``memories[1].size_bytes``."""
    for key, index in _STEP.findall(path):
        data = data[key] if key else data[int(index)]
    return data


def _text(value: Any) -> str:
    """A value as a person would write it; loops that an unroll leaves at 1 are not named."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item != 1)
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
