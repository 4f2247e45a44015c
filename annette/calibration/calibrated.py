"""A device as known from the latencies of a few whole networks: predicts, with intervals, and says how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.calibration.answer import CalibratedEstimate
from annette.calibration.features import Contents, count_networks
from annette.calibration.graphs import open_view
from annette.calibration.intervals import Interval
from annette.calibration.member import Member, population_of
from annette.calibration.prior import PRIOR_COLUMNS, Prior
from annette.calibration.seen import Unseen, unseen_in
from annette.calibration.terms import Terms
from annette.errors import ModelError, UsageError
from annette.estimation.bounds import LatencyIntervals
from annette.estimation.verdict import judge_whole
from annette.graph.network import Network
from annette.parallel import require_jobs
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import Encoding, Encodings, SearchSpace

__all__ = ["MODEL_NAME", "CalibratedModel", "Source"]

MODEL_NAME = "calibrated"
"""What the model is called where a platform has its layer models."""

_CHUNK = 4096
_LEAST_S, _MOST_S = 1e-12, 1e12
"""No network takes less or more: what a model says beyond that is of costs that do not fit the network."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Another device whose latencies of the same space help."""

    model: CalibratedModel | Prior
    mean_s: float
    """Mean of its predictions over the architectures that terms are scaled by."""

    @property
    def width(self) -> int:
        """Columns that it gives."""
        return PRIOR_COLUMNS if isinstance(self.model, Prior) else 1

    def columns(self, space: SearchSpace, encodings: Encodings, contents: Contents) -> Floats:
        """What it says of architectures over its mean, shape (n, `width`); contents are of their graphs."""
        with np.errstate(all="ignore"):  # `CalibratedModel.predict_contents` refuses what comes of it
            if isinstance(self.model, Prior):
                return self.model.columns(contents)
            ratios: Floats = self.model.predict_space(space, encodings).latency_s / self.mean_s
            return ratios[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibratedModel:
    """A device, fitted to a few latencies of whole networks.

    A latency is a sum of physical terms, each an amount (kernels, multiply-accumulates, bytes or parameters
    of a group of layers) times a cost >= 0, times a factor close to 1 for kinds of kernels that are quicker
    or slower than their terms say. Where other devices help, the mean (of logarithms) is taken with the same
    sum that has their predictions among its terms, and with their predictions alone.
    """

    device: str
    """What was measured, in the user's words."""
    space: str | None
    """As `open_space` takes it; ``None`` for a model of networks out of no space."""
    graph: str
    """Which graphs the device runs: a key of `annette.calibration.graphs.GRAPHS`."""
    terms: Terms
    members: tuple[Member, ...]
    """The first uses no sources; a second one does, and a third nothing but a constant beside them."""
    weights: tuple[float, ...]
    """Of each member, adding up to 1."""
    sources: tuple[Source, ...]
    interval: Interval
    samples: int
    """Latencies that it was fitted to."""
    held_out_error: float
    """Root mean square of the relative error of samples that were left out."""
    notes: tuple[str, ...]
    """What to be aware of, one line each."""
    operators: tuple[str, ...] | None = None
    """What the samples had, by `annette.calibration.seen.seen_operators`; ``None`` of a search space, where
    all is known, and of models saved before this was kept."""

    def predict_space(self, space: SearchSpace, encodings: ArrayLike | Sequence[str]) -> LatencyIntervals:
        """The latencies of a space's architectures, with 90 % intervals.

        Raises
        ------
        UsageError
            If a row is no architecture of the space, or the model is of another one.
        """
        self._require_space(space)
        array = np.asarray(encodings)
        is_text = array.dtype.kind in "UO" and array.ndim == 1 and len(array) > 0
        rows = space.check(space.parse_many(array.tolist()) if is_text else array)
        view = open_view(space, self.graph)
        parts = []
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            contents = view.contents(chunk)
            parts.append(self.predict_contents(contents, self._source_columns(space, chunk, contents)))
        return LatencyIntervals(
            latency_s=np.concatenate([np.empty(0), *(part.latency_s for part in parts)]),
            low_s=np.concatenate([np.empty(0), *(part.low_s for part in parts)]),
            high_s=np.concatenate([np.empty(0), *(part.high_s for part in parts)]),
        )

    def predict_networks(self, networks: Sequence[Network]) -> LatencyIntervals:
        """The latencies of networks.

        Raises
        ------
        UsageError
            If the model is of a search space: its terms are those in which that space's networks differ.
        ModelError
            If the model knows the cost of nothing that a network has.
        """
        if self.space is not None:
            raise UsageError(
                f"{self.device}: was calibrated on {self.space}, expected its architectures; calibrate with "
                "networks to predict networks"
            )
        contents = count_networks(networks)
        self._require_priced(networks, contents)
        return self.predict_contents(contents, np.empty((len(contents), 0)))

    def predict_contents(self, contents: Contents, sources: Floats) -> LatencyIntervals:
        """The latencies of networks that are made of this.

        ``sources`` has `Source.columns` of each source side by side, shape (n_networks, n_columns).

        Raises
        ------
        ModelError
            If the model's costs say nothing of a network: none is of what the network is made of, or they are
            of no device.
        """
        with np.errstate(all="ignore"):  # what comes of costs of no device is refused below
            networks = population_of(contents, self.terms, sources)
            log_s = np.zeros(len(contents))
            for member, weight in zip(self.members, self.weights, strict=True):
                log_s += weight * np.log(member.predict_s(networks))
            latency_s = np.exp(log_s)
            is_sane = (latency_s >= _LEAST_S) & (latency_s <= _MOST_S)  # not a number is not sane either
            if not is_sane.all():
                raise ModelError(
                    f"{self.device}: the calibrated model puts {latency_s[~is_sane][0]:g} s on a network, "
                    f"expected {_LEAST_S:g} to {_MOST_S:g}: its costs do not fit what the network is made of;"
                    " calibrate with networks that are alike"
                )
            width = np.exp(self.interval.log_half_width(networks.columns, latency_s))
        return LatencyIntervals(latency_s=latency_s, low_s=latency_s / width, high_s=latency_s * width)

    @property
    def name(self) -> str:
        """The device's name, as of a platform."""
        return self.device

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that it predicts by: one, unlike a platform with its layer models."""
        return (MODEL_NAME,)

    def estimate(self, network: Network | str | Sequence[int]) -> CalibratedEstimate:
        """Predict the latency of one network, with its 90 % interval and what the time goes into.

        Parameters
        ----------
        network
            Of a model of a search space an architecture: an encoding, or a text in the space's notation. Of a
            model of networks a network, an ONNX file or ``zoo:NAME``.

        Raises
        ------
        UsageError
            For what is no architecture of the space, or a network where an architecture is expected.
        GraphError
            If a network cannot be read.
        ModelError
            As `predict_networks`.
        """
        unseen: Unseen | None = Unseen(operators=(), fraction=0.0, is_all=False)
        if self.space is None:
            opened = _open_network(network)
            name, contents = opened.name, count_networks([opened])
            found, sources = self.predict_networks([opened]), np.empty((1, 0))
            unseen = None if self.operators is None else unseen_in(opened, self.operators)
        else:
            space, row = self.open_space(), self._one_row(network)
            name, contents = space.format(row), open_view(space, self.graph).contents([row])
            found = self.predict_space(space, [row])
            sources = self._source_columns(space, np.array([row]), contents)
        latency_s, low_s, high_s = (
            float(values[0]) for values in (found.latency_s, found.low_s, found.high_s)
        )
        names = None if unseen is None else unseen.operators
        return CalibratedEstimate(
            network=name,
            platform=self.device,
            latency_s=latency_s,
            low_s=low_s,
            high_s=high_s,
            term_s=self._split(latency_s, contents, sources),
            unseen_operators=names,
            verdict=judge_whole(
                latency_s=latency_s,
                interval=(low_s, high_s),
                unseen=names,
                unseen_fraction=0.0 if unseen is None else unseen.fraction,
            ),
        )

    def estimate_many(
        self,
        networks: Iterable[Network],
        *,
        model: str = MODEL_NAME,
        target: str = "latency",
        n_jobs: int = 1,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> Floats:
        """Seconds of each network, as `Platform.estimate_many` gives them.

        Raises
        ------
        UsageError
            As `predict_networks`, and for what it does not know: layer models, energy.
        """
        self._require_known(model, target, n_jobs)
        latency_s = self.predict_networks(list(networks)).latency_s
        if on_progress is not None:
            on_progress(len(latency_s), len(latency_s))
        return latency_s

    def estimate_space(
        self,
        space: SearchSpace,
        encodings: ArrayLike | Sequence[str],
        *,
        model: str = MODEL_NAME,
        target: str = "latency",
        n_jobs: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Floats:
        """Seconds of each architecture of the space, as `Platform.estimate_space` gives them.

        So that a calibrated model stands where a platform does, in `LatencyObjective` above all. Arrays are
        quick enough for one process: ``n_jobs`` is checked and not needed.

        Raises
        ------
        UsageError
            As `predict_space`, and for what it does not know: layer models, energy.
        """
        self._require_known(model, target, n_jobs)
        return self.estimate_space_intervals(space, encodings, on_progress=on_progress).latency_s

    def estimate_space_intervals(
        self,
        space: SearchSpace,
        encodings: ArrayLike | Sequence[str],
        *,
        model: str = MODEL_NAME,
        n_jobs: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> LatencyIntervals:
        """`predict_space` as `Platform.estimate_space_intervals` is asked.

        Raises
        ------
        UsageError
            As `estimate_space`.
        """
        self._require_known(model, "latency", n_jobs)
        found = self.predict_space(space, encodings)
        if on_progress is not None:
            on_progress(len(found.latency_s), len(found.latency_s))
        return found

    def open_space(self) -> SearchSpace:
        """The search space that the model is of.

        Raises
        ------
        UsageError
            If it is of networks, or of a space that has no name in the registry.
        """
        if self.space is None:
            raise UsageError(f"{self.device}: was calibrated on networks, expected a model of a search space")
        return open_space(self.space)

    def term_shares(self) -> dict[str, float]:
        """Share of each term in the first member's mean latency, the greatest first; they add up to 1."""
        costs = self.members[0].costs
        total = float(costs.sum()) or 1.0
        pairs = sorted(zip(self.terms.names, costs / total, strict=True), key=lambda pair: -pair[1])
        return {name: float(share) for name, share in pairs if share > 0}

    def _source_columns(self, space: SearchSpace, rows: Encodings, contents: Contents) -> Floats:
        columns = [item.columns(space, rows, contents) for item in self.sources]
        return np.hstack([np.empty((len(rows), 0)), *columns])

    def _split(self, latency_s: float, contents: Contents, sources: Floats) -> dict[str, float]:
        """The latency of one network by term, by the members' weights; of sources by their names."""
        found: dict[str, float] = {}
        columns = self.terms.columns(contents)[0]
        for member, weight in zip(self.members, self.weights, strict=True):
            own = dict(zip(self.terms.names, member.costs * columns, strict=True))
            place = 0
            for item in self.sources if len(member.source_costs) else ():
                part = slice(place, place + item.width)
                own[f"as {item.model.device}"] = float(member.source_costs[part] @ sources[0, part])
                place += item.width
            total = sum(own.values()) or 1.0
            for name, value in own.items():
                found[name] = found.get(name, 0.0) + weight * latency_s * float(value) / total
        return dict(sorted(((key, value) for key, value in found.items() if value > 0), key=lambda x: -x[1]))

    def _one_row(self, network: object) -> Encoding:
        """The architecture that is meant."""
        space = self.open_space()
        if isinstance(network, str):
            if network.startswith("zoo:") or network.endswith(".onnx"):
                raise UsageError(
                    f"{self.device}: was calibrated on {self.space}, found the network {network!r}, expected "
                    "an architecture in the space's notation; calibrate with networks to predict networks"
                )
            return space.parse(network)
        if not isinstance(network, Sequence | np.ndarray):
            raise UsageError(
                f"{self.device}: found {type(network).__name__}, expected an architecture of {self.space}"
            )
        found: Encoding = tuple(space.check([list(network)])[0].tolist())
        return found

    def _require_known(self, model: str, target: str, n_jobs: int) -> None:
        """Check what a platform may be asked for: here there is one model, of latency."""
        if model not in (
            MODEL_NAME,
            "mixed",
        ):  # the second is what commands and objectives ask for by default
            raise UsageError(
                f"{self.device}: was calibrated from latencies of whole networks and has one model, found "
                f"{model!r}; leave the layer model away"
            )
        if target != "latency":
            raise UsageError(f"{self.device}: was calibrated from latencies, predicts no {target}")
        require_jobs(n_jobs)

    def mean_network_width(self) -> float:
        """By which factor the latency of the mean network may be off either way with 90 %; > 1."""
        mean = np.ones((1, len(self.terms.names)))
        mean_s = np.array([float(self.members[0].costs.sum())])
        with np.errstate(all="ignore"):  # as wide as can be where it cannot be reckoned
            return float(np.exp(self.interval.log_half_width(mean, mean_s)[0]))

    def _require_priced(self, networks: Sequence[Network], contents: Contents) -> None:
        """Refuse networks of which no kind of layer was in the samples, or costs anything by the model."""
        columns = self.terms.columns(contents)
        costs = self.members[0].costs
        is_priced = (columns @ costs > 0) & ((columns[:, 1:] > 0).any(axis=1) | (len(costs) == 1))
        for network, has_price in zip(networks, is_priced, strict=True):
            is_new = self.operators is not None and unseen_in(network, self.operators).is_all
            if is_new or not has_price:
                kinds = sorted({layer.op_type for layer in network.layers})
                shown = ", ".join(kinds[:6]) + (f" and {len(kinds) - 6} more" if len(kinds) > 6 else "")
                raise ModelError(
                    f"{network.name}: no kind of its layers that takes time ({shown}) was in what "
                    f"{self.device} was calibrated on; calibrate with networks that have them"
                )

    def _require_space(self, space: SearchSpace) -> None:
        if self.space != space.name:
            raise UsageError(
                f"{self.device}: was calibrated on {self.space or 'networks'}, found architectures of "
                f"{space.name}"
            )


def _open_network(network: object) -> Network:
    if isinstance(network, Network):
        return network
    if not isinstance(network, str):
        raise UsageError(
            f"found {type(network).__name__}, expected a Network, the path of an ONNX file or zoo:NAME"
        )
    from annette.zoo.registry import open_network

    return open_network(network)
