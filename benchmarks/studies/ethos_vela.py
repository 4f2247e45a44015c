"""Compares the Ethos-U presets with the cycles that Arm's own compiler, vela, estimates for each operator.

    python -m venv /tmp/vela && /tmp/vela/bin/pip install ethos-u-vela
    python benchmarks/studies/ethos_vela.py --venv /tmp/vela

Vela reads .tflite only; `tflite_writer.py` writes int8 models of the zoo's networks, one TFLite operator for
each kernel that the preset's compiler rules make. Vela is run with the system configuration that the preset
names and with weights in flash or DRAM and activations in SRAM (memory mode Shared_Sram), else as it is.
What it gains by cascading operators over stripes of the feature maps and by fetching weights ahead into the
SRAM, neither of which the simulator does over the bounds of a kernel, is stated apart.

Vela's figures are estimates themselves (Arm says so), of the same core by its vendor. For a kernel of which
vela makes several operators their cycles are added. Nothing is fitted.

Prints the errors and writes benchmarks/results/ethos_vela.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provenance import record

from annette.graph.geometry import layer_geometry
from annette.graph.network import Layer, Network
from annette.hardware.codec import load_accelerator
from annette.simulator.run import SimulatedKernel, SimulatedRun, simulate
from annette.zoo.registry import zoo_network

DEVICES = {
    **dict.fromkeys(
        ("ethos-u55-256", "ethos-u55-128", "ethos-u55-64", "ethos-u55-32"), "Ethos_U55_High_End_Embedded"
    ),
    **dict.fromkeys(("ethos-u65-256", "ethos-u65-512"), "Ethos_U65_High_End"),
}
"""Presets and the system configurations of vela that they name."""
DETAILED = ("ethos-u55-256", "ethos-u65-256")
"""Presets whose kernels are recorded one by one."""
NETWORKS = ("mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0")
PLAIN = ("--disable-cascading", "--disable-buffering")
_KINDS = {
    "Add": "add",
    "MaxPool": "max_pool",
    "AveragePool": "average_pool",
    "GlobalAveragePool": "average_pool",
}
_ACTIVATIONS = {"Relu": "relu", "Clip": "relu6"}


def nhwc(shape: Sequence[int]) -> list[int]:
    """A shape with the channels last."""
    return [shape[0], *shape[2:], shape[1]] if len(shape) == 4 else list(shape)


class ModelDocument:
    """Collects tensors and operators of a TFLite model."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.tensors: dict[str, dict[str, Any]] = {}
        self.operators: list[dict[str, Any]] = []
        self.aliases: dict[str, str] = {}
        for name in network.inputs:
            self.activation(name)

    def activation(self, name: str) -> str:
        """The TFLite tensor of an activation."""
        name = self.aliases.get(name, name)
        if name not in self.tensors:
            shape = nhwc(self.network.tensors[name].shape)
            self.tensors[name] = {"name": name, "shape": shape, "dtype": "int8", "is_constant": False}
        return name

    def constant(self, name: str, shape: Sequence[int], dtype: str = "int8") -> str:
        """The TFLite tensor of weights or biases."""
        self.tensors[name] = {"name": name, "shape": list(shape), "dtype": dtype, "is_constant": True}
        return name

    def add(self, kind: str, inputs: list[str], output: str, **options: Any) -> None:
        """One operator."""
        self.operators.append(
            {"kind": kind, "inputs": inputs, "output": self.activation(output), "options": options}
        )

    def kernel(self, layers: Sequence[Layer]) -> None:
        """The operator of one kernel: its primary layer and an activation."""
        primary, output = layers[0], layers[-1].outputs[0]
        found = [_ACTIVATIONS[layer.op_type] for layer in layers if layer.op_type in _ACTIVATIONS]
        activation = found[0] if found else None
        inputs = [self.activation(item.name) for item in self.network.activation_inputs(primary)]
        sizes = layer_geometry(self.network, primary)
        channels, name = sizes.out_channels, primary.name
        if primary.op_type in ("Gemm", "MatMul"):
            weights = self.constant(f"{name}/weights", (channels, sizes.in_channels))
            bias = self.constant(f"{name}/bias", (channels,), "int32")
            self.add("fully_connected", [*inputs, weights, bias], output, activation=activation)
            return
        if primary.op_type == "Add":
            self.add("add", inputs, output, activation=activation)
            return
        window = {
            "padding": _padding(sizes),
            "stride": (sizes.stride_h, sizes.stride_w),
            "activation": activation,
        }
        if primary.op_type == "Conv":
            is_depthwise = sizes.groups > 1
            per_group = sizes.in_channels // sizes.groups
            if is_depthwise and (per_group != 1 or channels != sizes.groups):
                raise ValueError(f"{name}: grouped convolutions have no operator in TFLite")
            kernel = (sizes.kernel_h, sizes.kernel_w)
            shape = (1, *kernel, channels) if is_depthwise else (channels, *kernel, per_group)
            weights = self.constant(f"{name}/weights", shape)
            bias = self.constant(f"{name}/bias", (channels,), "int32")
            self.add("depthwise" if is_depthwise else "conv", [*inputs, weights, bias], output, **window)
            return
        self.add(_KINDS[primary.op_type], inputs, output, kernel=(sizes.kernel_h, sizes.kernel_w), **window)

    def view(self, layer: Layer) -> None:
        """A layer that the preset's compiler drops: a concatenation, another shape, or nothing."""
        inputs = [self.activation(item.name) for item in self.network.activation_inputs(layer)]
        output = layer.outputs[0]
        if layer.op_type == "Concat":
            self.add("concat", inputs, output, axis=3)
        elif layer.op_type in ("Flatten", "Reshape"):
            self.add("reshape", inputs, output, shape=nhwc(self.network.tensors[output].shape))
        else:
            self.aliases[output] = inputs[0]

    def document(self) -> dict[str, Any]:
        """What `tflite_writer.py` reads."""
        return {
            "name": self.network.name,
            "tensors": list(self.tensors.values()),
            "operators": self.operators,
            "inputs": [self.activation(name) for name in self.network.inputs],
            "outputs": [self.activation(name) for name in self.network.outputs],
        }


def _padding(sizes: Any) -> str:
    """TFLite's word for the padding that gives this output; SAME pads the far sides where it must choose."""
    if sizes.out_h == math.ceil((sizes.in_h - sizes.kernel_h + 1) / sizes.stride_h):
        return "VALID"
    if sizes.out_h == math.ceil(sizes.in_h / sizes.stride_h):
        return "SAME"
    raise ValueError(f"{sizes}: a padding that TFLite has not")


def model_document(network: Network, run: SimulatedRun) -> dict[str, Any]:
    """The TFLite model of a network as the preset's compiler maps it, kernels in order of execution."""
    model = ModelDocument(network)
    position = {layer.name: index for index, layer in enumerate(network.layers)}
    steps: list[tuple[int, SimulatedKernel | str]] = [
        (position[item.kernel.layers[-1]], item) for item in run.kernels
    ]
    steps += [(position[name], name) for name in run.eliminated_layers]
    for _, step in sorted(steps, key=lambda item: item[0]):
        if isinstance(step, str):
            model.view(network.layer(step))
        else:
            model.kernel([network.layer(name) for name in step.kernel.layers])
    return model.document()


def run_vela(venv: Path, model: Path, device: str, options: Sequence[str]) -> dict[str, float]:
    """Cycles of each operator by the name of its output."""
    folder = model.parent / f"{model.stem}-{device}-{len(options)}"
    command = [
        str(venv / "bin" / "vela"), str(model), "--accelerator-config", device, "--config", "Arm/vela.ini",
        "--system-config", DEVICES[device], "--memory-mode", "Shared_Sram", "--verbose-performance",
        "--optimise", "Performance", "--output-dir", str(folder), *options,
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"vela failed on {model.name}: {answer.stdout[-600:]}{answer.stderr[-600:]}")
    tables = list(folder.glob("*per-layer.csv"))
    cycles: dict[str, float] = {}
    with tables[0].open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["Name"]
            cycles[name] = cycles.get(name, 0.0) + float(row["Op Cycles"])
    return cycles


def compare(
    network: Network, run: SimulatedRun, cycles: dict[str, float], clock_hz: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of kernels with both cycles, and the operators of vela that no kernel has.

    Where kernels write straight into a concatenation, vela names all of them after it: one row for all.
    """
    left, unmatched, rows = dict(cycles), [], []
    for item in run.kernels:
        layers = [network.layer(name) for name in item.kernel.layers]
        names = [name for layer in layers for name in layer.outputs]
        found = [left.pop(name) for name in names if name in left]
        if found:
            rows.append(_row(network, [item], sum(found), clock_hz))
        else:
            unmatched.append(item)
    for name in list(left):
        sources = _sources(network, name, run.eliminated_layers)
        writers = [item for item in unmatched if sources & _outputs(network, item)]
        if writers:
            rows.append(_row(network, writers, left.pop(name), clock_hz))
            unmatched = [item for item in unmatched if item not in writers]
    return rows, sorted([*left, *(item.kernel.name for item in unmatched)])


def _row(
    network: Network, items: Sequence[SimulatedKernel], vela_cycles: float, clock_hz: float
) -> dict[str, Any]:
    families = {_family(network.layer(item.kernel.primary), network) for item in items}
    return {
        "kernel": " and ".join(item.kernel.name for item in items),
        "operator": families.pop() if len(families) == 1 else "Conv of several kinds",
        "vela_cycles": round(vela_cycles),
        "cycles": round(sum(item.latency_s for item in items) * clock_hz),
        "bound": items[0].bound,
    }


def _outputs(network: Network, item: SimulatedKernel) -> set[str]:
    return {name for layer in item.kernel.layers for name in network.layer(layer).outputs}


def _sources(network: Network, tensor: str, eliminated: Sequence[str]) -> set[str]:
    """The tensors that kernels wrote, of which views and concatenations made this one."""
    layer = network.producer(tensor)
    if layer is None or layer.name not in eliminated:
        return {tensor}
    inputs = [item.name for item in network.activation_inputs(layer)]
    return set().union(*(_sources(network, name, eliminated) for name in inputs))


def _family(layer: Layer, network: Network) -> str:
    if layer.op_type != "Conv":
        return layer.op_type
    sizes = layer_geometry(network, layer)
    if sizes.groups > 1:
        return "depthwise Conv"
    return "1x1 Conv" if sizes.kernel_h * sizes.kernel_w == 1 else "Conv"


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Error of the sum, and median and mean error of the kernels, all and by family."""

    def of(chosen: Sequence[dict[str, Any]]) -> dict[str, Any]:
        errors = sorted(abs(row["cycles"] / row["vela_cycles"] - 1) for row in chosen)
        vela, own = (sum(row[key] for row in chosen) for key in ("vela_cycles", "cycles"))
        return {
            "kernels": len(chosen),
            "vela_cycles": vela,
            "cycles": own,
            "error_of_sum": round(own / vela - 1, 4),
            "median_absolute_error": round(errors[len(errors) // 2], 4),
            "mean_absolute_error": round(sum(errors) / len(errors), 4),
        }

    families = sorted({row["operator"] for row in rows})
    return {
        **of(rows),
        "families": {name: of([row for row in rows if row["operator"] == name]) for name in families},
    }


def run_study(venv: Path, networks: Sequence[str]) -> dict[str, Any]:
    """Both devices on all networks."""
    version = subprocess.run(
        [str(venv / "bin" / "vela"), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    devices: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for device in DEVICES:
            accelerator = load_accelerator(device)
            found: dict[str, Any] = {}
            for name in networks:
                network = zoo_network(name)
                run = simulate(network, accelerator)
                model = Path(folder) / f"{device}-{name}.tflite"
                spec = model.with_suffix(".json")
                spec.write_text(json.dumps(model_document(network, run)), encoding="utf-8")
                writer = Path(__file__).with_name("tflite_writer.py")
                subprocess.run([str(venv / "bin" / "python"), str(writer), str(spec), str(model)], check=True)
                cycles = run_vela(venv, model, device, ())
                plain = run_vela(venv, model, device, PLAIN)
                rows, unmatched = compare(network, run, cycles, accelerator.clock_hz)
                found[name] = {
                    **summarise(rows),
                    "vela_total_cycles": round(sum(cycles.values())),
                    "vela_total_cycles_without_cascades_and_buffers": round(sum(plain.values())),
                    "operators_without_kernel": unmatched,
                    **({"rows": rows} if device in DETAILED else {}),
                }
            devices[device] = {
                "system_configuration": DEVICES[device],
                "clock_hz": accelerator.clock_hz,
                "networks": found,
            }
    return {"vela": version, "memory_mode": "Shared_Sram", "devices": devices}


def print_study(study: dict[str, Any]) -> None:
    """The study as a table."""
    for device, item in study["devices"].items():
        for name, row in item["networks"].items():
            print(
                f"{device} {name:14s} vela {row['vela_cycles']:>11,} (plain "
                f"{row['vela_total_cycles_without_cascades_and_buffers']:,}), "
                f"here {row['cycles']:>11,}: {row['error_of_sum']:+.1%}; kernels: median "
                f"{row['median_absolute_error']:.1%}, mean {row['mean_absolute_error']:.1%}"
            )
            for family, part in row["families"].items():
                print(
                    f"    {family:20s} {part['kernels']:3d} {part['vela_cycles']:>11,} {part['cycles']:>11,} "
                    f"{part['error_of_sum']:+.1%} median {part['median_absolute_error']:.1%}"
                )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--venv", type=Path, required=True, help="virtual environment with ethos-u-vela")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="networks of the zoo")
    options = parser.parse_args(arguments)
    study = run_study(options.venv, options.networks)
    print_study(study)
    print(record("ethos_vela", study, seed=0))


if __name__ == "__main__":
    main()
