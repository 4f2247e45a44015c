"""A made-up profiler's table: convolutions, pools and products of a device whose law is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SCHEMA = """
schema_version: 1
description: a made-up profiler
network: net
operator: {column: type, names: {convolution: Conv, maximum: MaxPool, dense: Gemm}}
latency: {column: t_us, unit: us}
missing: ["?"]
sizes: {in_h: size, in_channels: cin, out_h: out, out_channels: cout, kernel_h: k, stride_h: s}
kernel: {column: ran, separator: "+", fused: {relu: Relu, sum: Add}}
networks: {network: net, latency: {column: t_ms, unit: ms}}
"""
HEADER = ("net", "type", "size", "cin", "out", "cout", "k", "s", "ran", "t_us")
CONSTANT_S, SHARE = 1e-3, 1.2


def rows(n_networks: int = 8, n_kernels: int = 14, seed: int = 0) -> list[tuple[object, ...]]:
    """Rows as `HEADER` says; wide 3x3 convolutions run as ``winograd`` in half the time."""
    rng = np.random.default_rng(seed)
    found: list[tuple[object, ...]] = []
    for network in range(n_networks):
        for number in range(n_kernels):
            cin, cout = (int(8 * value) for value in rng.integers(1, 24, 2))
            size = int(rng.choice([7, 14, 28, 56]))
            if number == 0:
                seconds = 1e-5 + cin * cout / 1e11
                found.append((f"net{network}", "dense", "?", cin, "?", cout, "?", "?", "fc_0", seconds * 1e6))
                continue
            if number == 1:
                seconds = 1e-5 + 2 * size * size * cin / 1e10
                found.append(
                    (f"net{network}", "maximum", size, cin, size, cin, 3, 1, "pool_1", seconds * 1e6)
                )
                continue
            kernel = int(rng.choice([1, 3]))
            is_wide = kernel == 3 and cin >= 64
            macs = size * size * cin * cout * kernel * kernel
            seconds = 1e-5 + macs / (2e11 if is_wide else 1e11) + size * size * (cin + cout) / 1e10
            ran = f"{'winograd' if is_wide else 'conv'}_{number}+relu_{number}"
            found.append(
                (f"net{network}", "convolution", size, cin, size, cout, kernel, 1, ran, seconds * 1e6)
            )
    return found


def write(folder: Path, table: list[tuple[object, ...]], name: str = "kernels.csv") -> Path:
    """The table as a CSV file."""
    path = folder / name
    path.write_text("\n".join(",".join(map(str, row)) for row in (HEADER, *table)) + "\n")
    return path


def write_networks(folder: Path, table: list[tuple[object, ...]]) -> Path:
    """End-to-end times: a constant and a share more than the kernels."""
    sums: dict[object, float] = {}
    for row in table:
        sums[row[0]] = sums.get(row[0], 0.0) + float(str(row[-1])) * 1e-6
    lines = [f"{name},{(CONSTANT_S + SHARE * total) * 1e3}" for name, total in sums.items()]
    path = folder / "networks.csv"
    path.write_text("net,t_ms\n" + "\n".join(lines) + "\n")
    return path


def write_schema(folder: Path, text: str = SCHEMA) -> Path:
    """The schema as a file."""
    path = folder / "schema.yaml"
    path.write_text(text)
    return path
