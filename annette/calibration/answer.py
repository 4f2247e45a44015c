"""What a calibrated model says of one network: its latency with an interval, and what the time goes into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from annette.estimation.verdict import Verdict

__all__ = ["CALIBRATED_ESTIMATE_SCHEMA_VERSION", "CalibratedEstimate"]

CALIBRATED_ESTIMATE_SCHEMA_VERSION = 1
"""Version of `CalibratedEstimate.to_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedEstimate:
    """What a calibrated model predicts for one network. It knows terms, and no kernels."""

    network: str
    """The network's name, or the architecture in its space's notation."""
    platform: str
    """The device's name."""
    latency_s: float
    """Seconds; > 0."""
    low_s: float
    """Lower end of the 90 % interval, seconds."""
    high_s: float
    """Upper end of the 90 % interval, seconds."""
    term_s: Mapping[str, float]
    """Seconds by physical term, the greatest first; they add up to `latency_s`. The sum is what was
    measured, the terms are what few latencies say of them."""
    unseen_operators: tuple[str, ...] | None
    """Operators of the network that no sample had; ``None`` where the model does not know its samples'."""
    verdict: Verdict
    """Whether to rely on it: `annette.estimation.verdict.judge_whole`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "term_s", MappingProxyType(dict(self.term_s)))

    def to_dict(self) -> dict[str, object]:
        """The estimate as JSON types; seconds everywhere."""
        return {
            "schema_version": CALIBRATED_ESTIMATE_SCHEMA_VERSION,
            "network": self.network,
            "platform": self.platform,
            "model": "calibrated",
            "latency_s": self.latency_s,
            "interval_s": [self.low_s, self.high_s],
            "terms_s": dict(self.term_s),
            "unseen_operators": None if self.unseen_operators is None else list(self.unseen_operators),
            "verdict": self.verdict.to_dict(),
        }
