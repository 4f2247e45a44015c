"""What commands say of a device that was calibrated from latencies of whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from annette.cli.console import OutputFormat, print_json, print_line, print_table, verdict_tone
from annette.cli.options import open_network_argument
from annette.errors import UsageError
from annette.units import format_fraction, format_seconds

if TYPE_CHECKING:
    from annette.calibration.calibrated import CalibratedModel

__all__ = ["CALIBRATED_SCHEMA_VERSION", "estimate_calibrated", "print_calibrated", "show_calibrated"]

CALIBRATED_SCHEMA_VERSION = 1
"""Version of the document of a calibrated model."""
_LEAST_SHARE = 0.005
"""Terms below this share of the latency are not printed."""


def estimate_calibrated(
    what: str,
    folder: str,
    *,
    model: str,
    shapes: Sequence[str] | None,
    batch: int | None,
    show_all: bool,
    output: OutputFormat,
) -> None:
    """``annette estimate`` by a calibrated model: an architecture of its space, or a network.

    Raises
    ------
    UsageError
        For what is no architecture of the space, and for options that need kernels.
    GraphError
        If a network cannot be read.
    ModelError
        If the model knows the cost of nothing in it.
    """
    from annette.calibration.codec import load_calibrated

    device = load_calibrated(folder)
    if show_all or model != "mixed":
        option = "--all" if show_all else "--model"
        raise UsageError(f"{option}: {folder} was calibrated from whole networks, it knows no kernels")
    if device.space is None:
        answer = device.estimate(open_network_argument(what, shapes, batch))
    else:
        if shapes or batch is not None:
            raise UsageError(f"--shape and --batch are for networks, {folder} is of the space {device.space}")
        answer = device.estimate(what)
    if output is OutputFormat.JSON:
        print_json(answer.to_dict())
        return
    print_line(
        f"{answer.network} on {answer.platform}: {format_seconds(answer.latency_s)} "
        f"(90 % interval {format_seconds(answer.low_s)} to {format_seconds(answer.high_s)})",
        bold=True,
    )
    verdict = answer.verdict
    word = f"{verdict.title}." if verdict.reasons else verdict.title
    print_line(f"verdict: {' '.join((word, *verdict.reasons))}", tone=verdict_tone(verdict.level))
    print_line(
        f"calibrated by {device.samples} latencies of {device.space or 'networks'}; by physical term:\n"
    )
    rows = [
        (name, format_fraction(value / answer.latency_s), format_seconds(value))
        for name, value in answer.term_s.items()
        if value >= _LEAST_SHARE * answer.latency_s
    ]
    print_table(("term", "share", "latency"), rows)
    print_line("\nkernels are not known: the latencies are of whole networks")


def show_calibrated(folder: str, output: OutputFormat) -> None:
    """``annette show`` of a calibrated model."""
    from annette.calibration.codec import load_calibrated, to_document

    model = load_calibrated(folder)
    if output is OutputFormat.JSON:
        document = {"schema_version": CALIBRATED_SCHEMA_VERSION, **to_document(model)}
        print_json({**document, "term_shares": model.term_shares()})
        return
    print_calibrated(model)


def print_calibrated(model: CalibratedModel) -> None:
    """How good the model is, what its latencies go into, and what to be aware of."""
    where = model.space or "networks"
    print_line(f"{model.device}: calibrated by {model.samples} latencies of {where}", bold=True)
    held_out, width = format_fraction(model.held_out_error), model.mean_network_width()
    print_line(f"error of latencies that were left out: {held_out}")
    print_line(f"90 % interval of the mean network: a factor of {width:.2f} either way\n")
    mean_s = float(model.members[0].costs.sum())
    shares = [item for item in model.term_shares().items() if item[1] >= _LEAST_SHARE]
    rows = [(name, format_fraction(share), format_seconds(share * mean_s)) for name, share in shares]
    print_table(("term", "share", "in the mean network"), rows)
    print_line()
    for note in model.notes:
        print_line(f"- {note}")
