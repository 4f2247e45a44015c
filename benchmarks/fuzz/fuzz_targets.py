"""What is fuzzed: for each kind of input sound examples, how they are changed, and how annette uses them."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_mutations import EXTERNAL, TEXTS, mutate_bytes, mutate_json, mutate_model, mutate_tree, mutate_yaml

__all__ = ["TARGETS", "Target", "Unclear", "require_clear"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "data" / "schema"
PLATFORM = "zcu102-dpu"
MAX_LETTERS = 2500


class Unclear(Exception):
    """An input was refused, but not in one clear line."""


def require_clear(text: str) -> None:
    """Raise `Unclear` unless the message is one line of a sane length."""
    if not text.strip() or "\n" in text.strip("\n"):
        raise Unclear(f"not one line: {text[:200]!r}")
    if len(text) > MAX_LETTERS:
        raise Unclear(f"{len(text)} letters: {text[:200]!r}")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of input."""

    name: str
    seeds: Callable[[Path], Sequence[bytes]]
    """Sound examples; the folder keeps what is slow to make."""
    mutate: Callable[[random.Random, bytes, Sequence[bytes]], bytes]
    run: Callable[[bytes, Path], object]
    """Uses the case as annette does; the folder is empty. An `AnnetteError` is a good answer."""


# ONNX --------------------------------------------------------------------------------------------------


def _onnx_seeds(kept: Path) -> list[bytes]:
    """Networks of all operators: the tests of ONNX's own package, and a few whole ones."""
    path = kept / "onnx-nodes.json"
    if not path.is_file():
        import warnings

        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            from onnx.backend.test.case.node import collect_testcases

            cases = collect_testcases(None)
        models = [case.model.SerializeToString() for case in cases if case.model is not None]
        small = sorted({data for data in models if len(data) < 4000})
        path.write_text(json.dumps([base64.b64encode(data).decode() for data in small]))
    nodes = [base64.b64decode(text) for text in json.loads(path.read_text())]
    files = [
        item for item in (ROOT / "tests" / "data" / "onnx").glob("*.onnx") if item.stat().st_size < 20_000
    ]
    whole = [item.read_bytes() for item in sorted(files)]
    return nodes + whole * (len(nodes) // (4 * len(whole)) + 1)


def _use_network(network: Any) -> None:
    """What commands do with a network: measure it, estimate it, store it, write it."""
    import annette
    from annette.graph.codec import network_from_json, network_to_json
    from annette.graph.onnx_writer import write_onnx
    from annette.graph.work import network_work

    network_work(network)
    if network_from_json(network_to_json(network)).id != network.id:
        raise Unclear("a network is another one once it was stored")
    weights = [tensor.size_bytes for tensor in network.tensors.values() if tensor.is_constant]
    if sum(weights) < 64 << 20:  # more is allowed, and takes its time
        with contextlib.suppress(annette.errors.AnnetteError):
            write_onnx(network, Path("written.onnx"))
    simulated = _simulator().measure(network)
    if simulated.error is not None:
        require_clear(simulated.error)
    for estimate in _platform().estimate_models(network).values():
        json.dumps(estimate.to_dict(), allow_nan=False)


@cache
def _platform() -> Any:
    import annette

    return annette.load(PLATFORM)


@cache
def _simulator() -> Any:
    from annette.backends.simulator import open_simulator

    return open_simulator("zcu102-dpu")


def _run_onnx(case: bytes, folder: Path) -> None:
    from annette.errors import GraphError
    from annette.graph.onnx_reader import read_onnx

    path = folder / "case.onnx"
    path.write_bytes(case)
    (folder / EXTERNAL).write_bytes(bytes(64))
    try:
        network = read_onnx(path)
    except GraphError as err:
        if "--batch" not in str(err) and "batch" not in str(err):
            raise
        network = read_onnx(path, batch=2)
    _use_network(network)


def _network_seeds(kept: Path) -> list[bytes]:
    from annette.graph.codec import network_to_json
    from annette.zoo.registry import zoo_network

    names = ("lenet5", "squeezenet1_1", "mobilenet_v2")
    return [network_to_json(zoo_network(name)).encode() for name in names]


def _run_network(case: bytes, folder: Path) -> None:
    from annette.graph.codec import network_from_json

    _use_network(network_from_json(case.decode("utf-8", "surrogateescape")))


def _run_graph(case: bytes, folder: Path) -> None:
    from annette.graph.annette_json import read_annette_json

    path = folder / "case.json"
    path.write_bytes(case)
    _use_network(read_annette_json(path))


# YAML --------------------------------------------------------------------------------------------------


def _files(*patterns: str) -> Callable[[Path], list[bytes]]:
    def seeds(kept: Path) -> list[bytes]:
        return [path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern))]

    return seeds


def _yaml_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return mutate_yaml(rng, data)


def _run_accelerator(case: bytes, folder: Path) -> None:
    from annette.backends.simulator import open_simulator
    from annette.hardware.codec import accelerator_from_yaml, accelerator_to_yaml, load_accelerator
    from annette.zoo.registry import zoo_network

    path = folder / "case.yaml"
    path.write_bytes(case)
    accelerator = load_accelerator(str(path))
    if accelerator_from_yaml(accelerator_to_yaml(accelerator), "again") != accelerator:
        raise Unclear("a description is another one once it was written")
    device = open_simulator(str(path))
    for name in ("lenet5", "squeezenet1_1"):
        measured = device.measure(zoo_network(name))
        if measured.error is not None:
            require_clear(measured.error)


def _run_plan(case: bytes, folder: Path) -> None:
    from annette.benchmark.plan import load_plan, plan_campaign

    path = folder / "case.yaml"
    path.write_bytes(case)
    plan = load_plan(str(path))
    counts = [count for _, count in (*plan.micro_kernels, *plan.blocks)]
    if not plan.networks and not plan.mosaics and sum(counts) < 50 and len(plan.sweeps) < 3:
        plan_campaign(plan)


def _run_schema(case: bytes, folder: Path) -> None:
    from annette.tables.importing import read_table
    from annette.tables.schema import read_schema

    path, table = folder / "case.yaml", folder / "table.csv"
    path.write_bytes(case)
    table.write_bytes(_kernel_tables(folder)[0])
    read_table(table, read_schema(path), device="d")


def _run_command_file(case: bytes, folder: Path) -> None:
    from annette.backends.command_file import read_command_file

    path = folder / "case.yaml"
    path.write_bytes(case)
    read_command_file(path)


def _run_suite(case: bytes, folder: Path) -> None:
    from annette.evaluation.suite_file import read_suite_file

    path = folder / "case.yaml"
    path.write_bytes(case)
    suite = read_suite_file(path)
    for entries in suite.groups.values():
        for entry in entries[:2]:
            if entry.network.startswith("zoo:lenet"):
                entry.open()


# Folders: a case is a list of changes of the recorded example ---------------------------------------------


@cache
def _bundle_files(name: str) -> dict[str, bytes]:
    folder = EXAMPLES / name
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _platform_seeds(kept: Path) -> list[bytes]:
    names = [path.name for path in sorted(EXAMPLES.glob("platform-*"))]
    cases = [{"example": name, "sealed": sealed, "files": {}} for name in names for sealed in (True, False)]
    return [json.dumps(case).encode() for case in cases]


def _platform_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Changes of files, with checksums that fit (what a hostile author sends) or not (damage)."""
    case = json.loads(data)
    known = _bundle_files(case["example"])
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(known))
        if name.endswith(".json"):
            changed = mutate_json(rng, known[name])
        else:
            changed = mutate_bytes(rng, known[name], list(known.values()))
        if rng.random() < 0.05:
            name = rng.choice(
                ("../x.json", "/x", ".hidden", "a/b.json", "manifest.json", "mixed.x.ubj", "x\0y", "\ud800")
            )
        case["files"][name] = base64.b64encode(zlib.compress(changed, 9)).decode()
    return json.dumps(case).encode()


def _run_platform(case: bytes, folder: Path) -> None:
    from annette.estimation.platform import Platform
    from annette.zoo.registry import zoo_network

    path = folder / "platform"
    _write_platform(json.loads(case), path)
    platform = Platform.load(path)
    platform.describe()
    for estimate in platform.estimate_models(zoo_network("lenet5")).values():
        json.dumps(estimate.to_dict(), allow_nan=False)
        if not 0 < estimate.latency_s < float("inf"):
            raise Unclear(f"a latency of {estimate.latency_s} s")
    platform.save(folder / "again")


def _write_platform(case: dict[str, Any], path: Path) -> None:
    from annette.store.bundle import write_bundle

    changes = {name: zlib.decompress(base64.b64decode(text)) for name, text in case["files"].items()}
    files = {**_bundle_files(case.get("example", "platform-1")), **changes}
    if not case["sealed"]:
        path.mkdir()
        for name, data in files.items():
            with contextlib.suppress(OSError, ValueError):  # names that no file can have
                if "/" not in name:
                    (path / name).write_bytes(data)
        return
    manifest = files.pop("manifest.json")
    try:
        content = json.loads(manifest)
        content.pop("files", None)
    except (ValueError, AttributeError, RecursionError, TypeError):
        content = {}
    write_bundle(path, content, files)
    if "schema_version" in content and content["schema_version"] != 1:  # what `write_bundle` never writes
        text = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**text, "schema_version": content["schema_version"]}))


def _run_calibrated(case: bytes, folder: Path) -> None:
    import numpy as np

    from annette.calibration.codec import load_calibrated, save_calibrated
    from annette.zoo.spaces.registry import open_space

    (folder / "calibrated.json").write_bytes(case)
    model = load_calibrated(folder)
    found = model.predict_space(open_space("nasbench201"), [(0, 1, 2, 3, 4, 0), (3, 3, 3, 3, 3, 3)])
    if not np.isfinite(found.latency_s).all() or not (found.latency_s > 0).all():
        raise Unclear(f"latencies of {found.latency_s} s")
    if not (np.isfinite(found.low_s).all() and np.isfinite(found.high_s).all()):
        raise Unclear(f"intervals of {found.low_s} to {found.high_s} s")
    model.term_shares()
    save_calibrated(model, folder / "again")


# Stores ------------------------------------------------------------------------------------------------


def _store_seeds(kept: Path) -> list[bytes]:
    names = [path.name for path in sorted(EXAMPLES.glob("store-*.sqlite"))]
    return [json.dumps({"store": name, "rows": [], "bytes": []}).encode() for name in names]


def _store_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Changes of bytes of the file, and of values in its rows, texts and networks in them included."""
    case = json.loads(data)
    size = (EXAMPLES / case["store"]).stat().st_size
    for _ in range(rng.choice((1, 1, 2, 5))):
        if rng.random() < 0.5:
            place = rng.randrange(100) if rng.random() < 0.2 else rng.randrange(size)
            piece = rng.choice(
                (rng.randbytes(1), rng.randbytes(rng.choice((4, 512, 4096))), bytes(4096), b"")
            )
            case["bytes"].append([place, base64.b64encode(piece).decode()])
        else:
            table, column = rng.choice(_COLUMNS)
            number = rng.randrange(28) if table != "campaign" else 0
            value = _changed_value(rng, _stored_value(case["store"], table, column, number))
            kept = {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            case["rows"].append([table, column, number, kept])
    return json.dumps(case).encode()


_COLUMNS = [
    *(("campaign", name) for name in ("device", "plan_name", "plan_seed", "plan_text", "plan_hash",
    "provenance")),
    *(("tasks", name) for name in ("id", "category", "group_name", "tags", "network_id", "network",
    "ordinal")),
    *(("measurements", name) for name in ("result", "error", "seed", "visits", "visit", "ordinal",
    "reference_s")),
]  # fmt: skip


@cache
def _stored_value(store: str, table: str, column: str, number: int) -> Any:
    """What stands in a row of a recorded store."""
    with contextlib.closing(sqlite3.connect(EXAMPLES / store)) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if column not in names:
            return None
        row = connection.execute(f"SELECT {column} FROM {table} LIMIT 1 OFFSET ?", (number,)).fetchone()
        return None if row is None else row[0]


def _run_store(case: bytes, folder: Path) -> None:
    from annette.errors import AnnetteError
    from annette.store.campaign import CampaignStore
    from annette.store.salvage import check_store, export_store

    path = folder / "case.db"
    _write_store(json.loads(case), path)
    try:
        saved = folder / "saved.db"
        if check_store(path) != export_store(path, saved) or not check_store(saved).is_sound:
            raise Unclear("what was saved is damaged, or not what was found")
    except AnnetteError as err:
        require_clear(str(err))
    uses: list[Callable[[Any], object]] = [
        lambda store: store.summary(), lambda store: list(store.records()),
        lambda store: list(store.visits()),
        lambda store: store.noise(), lambda store: store.pending(),
        lambda store: store.export_parquet(folder / "out"),
        lambda store: store.export_campaign(folder / "again.parquet"),
    ]  # fmt: skip
    with CampaignStore.open(path) as store:
        for use in uses:
            try:
                use(store)
            except AnnetteError as err:
                require_clear(str(err))
    with CampaignStore.open(path, writable=True) as store:
        store.pending()


def _write_store(case: dict[str, Any], path: Path) -> None:
    shutil.copy(EXAMPLES / case["store"], path)
    with (
        contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError),
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for table, column, number, kept in case["rows"]:
            value = base64.b64decode(kept["base64"]) if isinstance(kept, dict) else kept
            query = f"SELECT rowid FROM {table} LIMIT 1 OFFSET ?"
            row = connection.execute(query, (number,)).fetchone()
            if row is not None:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row[0]))
    data = bytearray(path.read_bytes())
    for place, text in case["bytes"]:
        piece = base64.b64decode(text)
        if not piece:
            del data[place:]
        else:
            data[place : place + len(piece)] = piece
    path.write_bytes(bytes(data))


def _changed_value(rng: random.Random, value: Any) -> Any:
    if rng.random() < 0.2:
        return rng.choice((None, -1, 0, 2**63 - 1, 1.5, float("inf"), b"\xff\xfe", *TEXTS))
    if isinstance(value, bytes):
        if rng.random() < 0.2:
            return mutate_bytes(rng, value)
        if rng.random() < 0.05:
            return zlib.compress(b"[" * (80 << 20), 9)
        return zlib.compress(mutate_json(rng, zlib.decompress(value)))
    if isinstance(value, str) and value[:1] in ("{", "["):
        return mutate_json(rng, value.encode()).decode("utf-8", "replace")
    changed = mutate_tree(rng, value)
    return changed if isinstance(changed, str | int | float | None) else str(changed)


def _bytes_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return mutate_bytes(rng, data, others)


def _json_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return mutate_json(rng, data)


def _recorded_seeds(kept: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(EXAMPLES.glob("campaign-*.parquet"))]


def _recorded_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Other values in a row or in the header, or other bytes of the file."""
    if rng.random() < 0.5:
        return mutate_bytes(rng, data)
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(data))
    rows = table.to_pylist()
    header = table.schema.metadata[b"annette_campaign"]
    if rng.random() < 0.4:
        header = mutate_json(rng, header)
    else:
        row = rng.choice(rows)
        name = rng.choice(list(row))
        row[name] = _changed_value(rng, row[name])
    try:
        schema = table.schema.with_metadata({b"annette_campaign": header})
        changed = pyarrow.Table.from_pylist(rows, schema=schema)
        sink = io.BytesIO()
        compression = rng.choice(("none", "none", "zstd"))
        pyarrow.parquet.write_table(changed, sink, compression=compression, use_dictionary=rng.random() < 0.2)
        return sink.getvalue()
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):  # what Parquet cannot hold
        return mutate_bytes(rng, data)


def _run_recorded(case: bytes, folder: Path) -> None:
    from annette.store.campaign import CampaignStore

    path = folder / "case.parquet"
    path.write_bytes(case)
    with CampaignStore.open(path) as store:
        list(store.records())
        store.summary()


def _run_repeats(case: bytes, folder: Path) -> None:
    from annette.evaluation.repeats import read_repeats

    (folder / "repeats.json").write_bytes(case)
    read_repeats(folder / "repeats.json")


# The protocol of programs ------------------------------------------------------------------------------


def _answer_seeds(kept: Path) -> list[bytes]:
    from annette.zoo.registry import zoo_network

    names = [layer.name for layer in zoo_network("lenet5").layers]
    kernels = [{"layers": [name], "unit": "npu", "values_s": [1e-3], "bound": "memory"} for name in names]
    whole = {"id": 7, "values_s": [1e-2, 2e-2], "kernels": kernels, "conditions": {"clock_hz": 1e9}}
    moves = {
        **whole,
        "kernels": [*kernels, {"tensor": names[0], "values_s": [1e-4], "counters": {"bytes": 3}}],
    }
    documents: list[dict[str, Any]] = [
        whole, moves, {"id": 7, "values_s": [1.0]}, {"id": 7, "error": "no TopK"},
        {"hello": {"runtime": "x", "n": 1}},
        {**whole, "kernels": kernels[1:], "eliminated_layers": names[:1]},
    ]  # fmt: skip
    return [json.dumps(document).encode() for document in documents]


def _run_answer(case: bytes, folder: Path) -> None:
    from annette.backends.command_answer import read_answer, read_hello
    from annette.errors import MeasurementError
    from annette.measurement import DeviceInfo
    from annette.store.codec import measurement_to_json
    from annette.zoo.registry import zoo_network

    try:
        read_hello(case)
    except MeasurementError as err:
        require_clear(str(err))
    device = DeviceInfo(name="d", backend="command")
    answer = read_answer(case, number=7, network=zoo_network("lenet5"), device=device, seed=0)
    if answer.error is None:
        measurement_to_json(answer)


# What compare reads ------------------------------------------------------------------------------------


def _compare_seeds(kept: Path) -> list[bytes]:
    """What `annette estimate` and `annette measure` print as JSON; each is compared with the first."""
    found = []
    for words in (
        ("estimate", "zoo:lenet5", "--platform", PLATFORM),
        ("estimate", "zoo:lenet5,batch=2", "--platform", PLATFORM),
        ("measure", "zoo:lenet5", "--device", f"simulator:{PLATFORM}", "--seed", "1"),
    ):
        found.append(_printed([*words, "--format", "json"]).encode())
    return found


@cache
def _compared() -> bytes:
    return _compare_seeds(Path())[0]


def _printed(words: list[str]) -> str:
    from annette.cli.main import exit_code

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        if exit_code(words):
            raise Unclear(f"{words} fails")
    return out.getvalue()


def _run_compare(case: bytes, folder: Path) -> None:
    from annette.evaluation.difference import compare
    from annette.evaluation.side_source import SideOptions, open_side

    (folder / "other.json").write_bytes(_compared())
    (folder / "case.json").write_bytes(case)
    other, side = (open_side(name, SideOptions()) for name in ("other.json", "case.json"))
    for one, two in ((other, side), (side, other), (side, side)):
        found = compare(one, two)
        json.dumps(found.to_dict(), allow_nan=False)
        found.to_frame()
    _run_arguments(json.dumps(["compare", "other.json", "case.json"]).encode(), folder)


# Tables ------------------------------------------------------------------------------------------------


@cache
def _kernel_tables(kept: Path | None) -> tuple[bytes, ...]:
    rng = random.Random(0)
    lines = ["net,type,size,cin,out,cout,k,s,ran,t_us"]
    for number in range(30):
        size, cin, cout, k = (
            rng.choice((7, 14, 28)),
            rng.choice((8, 16)),
            rng.choice((8, 32)),
            rng.choice((1, 3)),
        )
        lines.append(
            f"n{number % 3},convolution,{size},{cin},{size},{cout},{k},1,conv+relu_{number},{number + 5}.5"
        )
    return ("\n".join(lines).encode(),)


def _csv_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another cell, row or header of a CSV text, or other bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, data, others)
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows) if rng.random() < 0.8 else rows[0]
        place = rng.randrange(len(row))
        kind = rng.randrange(6)
        if kind == 0:
            del row[place:]
            row.append("")
        elif kind == 1:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif kind == 2:
            row.insert(place, rng.choice(("", "x", row[place])))
        else:
            row[place] = rng.choice(
                (
                    "-1",
                    "0",
                    "1e400",
                    "nan",
                    "inf",
                    "9" * 30,
                    "1x2x3",
                    "[1, 2",
                    "1e-320",
                    '"',
                    "'",
                    "1" * 5000,
                    *TEXTS,
                )
            )
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


MADE_UP = b"""schema_version: 1
network: net
operator: {column: type, names: {convolution: Conv}}
latency: {column: t_us, unit: us}
missing: ["?"]
sizes: {in_h: size, in_channels: cin, out_h: out, out_channels: cout, kernel_h: k, stride_h: s}
kernel: {column: ran, separator: "+", fused: {relu: Relu, sum: Add}}
"""


def _run_kernel_table(case: bytes, folder: Path) -> None:
    from annette.store.campaign import CampaignStore
    from annette.tables.importing import import_table, read_table
    from annette.tables.schema import read_schema

    (folder / "schema.yaml").write_bytes(MADE_UP)
    (folder / "table.csv").write_bytes(case)
    schema = read_schema(folder / "schema.yaml")
    table = read_table(folder / "table.csv", schema)
    import_table(table, schema, folder / "store.db")
    with CampaignStore.open(folder / "store.db") as store:
        list(store.records())


def _profile_seeds(kept: Path) -> list[bytes]:
    arguments = {
        "op_name": "Conv",
        "input_type_shape": [{"float": [1, 8, 16, 16]}, {"float": [12, 8, 3, 3]}],
        "output_type_shape": [{"float": [1, 12, 14, 14]}],
    }
    event = {"cat": "Node", "name": "conv_kernel_time", "dur": 100.0, "ts": 1, "args": arguments, "ph": "X"}
    port = "<port><dim>1</dim><dim>8</dim><dim>4</dim><dim>4</dim></port>"
    data = '<data execOrder="1" execTimeMcs="5" primitiveType="jit_avx2" />'
    layer = f'<layer id="1" type="Pooling">{data}<input>{port}</input><output>{port}</output></layer>'
    return [
        json.dumps([event, {**event, "name": "b_kernel_time"}]).encode(),
        f"<net><layers>{layer}{layer}</layers></net>".encode(),
    ]


XML_BOMBS = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
    b'<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">'
    b'<!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">]><net>&f;</net>',
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><net>&a;</net>',
    b"<a>" * 50_000,
)


def _profile_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if data.startswith(b"<"):
        return rng.choice(XML_BOMBS) if rng.random() < 0.05 else mutate_bytes(rng, data, others)
    return mutate_json(rng, data)


def _run_profile(case: bytes, folder: Path) -> None:
    from annette.tables.importing import import_table, read_table
    from annette.tables.schema import read_schema

    is_xml = case.lstrip()[:1] == b"<"
    path = folder / ("case.xml" if is_xml else "case.json")
    path.write_bytes(case)
    schema = read_schema("openvino-profile" if is_xml else "onnxruntime-profile")
    import_table(read_table(path, schema), schema, folder / "store.db")


def _latency_seeds(kept: Path) -> list[bytes]:
    from annette.zoo.spaces.registry import open_space

    space = open_space("nasbench201")
    rng = random.Random(1)
    lines = ["arch,phone"]
    for _ in range(10):
        row = [rng.randrange(5) for _ in range(6)]
        lines.append(f"{space.format(row)},{2 + row.count(3)}")
    plain = "op_idx_list,a,b\n" + "\n".join(f'"[{", ".join("1" * 22)}]",{n},{n}' for n in range(3))
    other = "network,ms\nzoo:lenet5,1.5\nzoo:squeezenet1_1,3\n"
    return ["\n".join(lines).encode(), plain.encode(), other.encode()]


def _run_latencies(case: bytes, folder: Path) -> None:
    from annette.calibration.calibrate import calibrate_space
    from annette.evaluation.latency_table import read_latency_table

    path = folder / "case.csv"
    path.write_bytes(case)
    table = read_latency_table(path, unit="ms")
    for device in table.devices[:2]:
        known = table.latencies_s(device)
        calibrate_space(table.space, table.encodings[known.rows], known.values, device=device)


def _scalesim_seeds(kept: Path) -> list[bytes]:
    return [
        b"Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
        b"Strides,\n"
        b"Conv1, 224, 224, 7, 7, 3, 64, 2,\nFC,1,1,1,1,512,1000,1,\n",
        b"Layer,M,N,K,\na,10,20,30,\n",
        b"[general]\nrun_name = x\n[architecture_presets]\n"
        b"ArrayHeight: 32\nArrayWidth: 32\nIfmapSramSzkB: 64\n"
        b"FilterSramSzkB: 64\nOfmapSramSzkB: 64\nDataflow: ws\nBandwidth: 10\n",
    ]


def _run_scalesim(case: bytes, folder: Path) -> None:
    from annette.errors import AnnetteError
    from annette.hardware.scalesim_files import read_configuration, read_topology

    (folder / "case.csv").write_bytes(case)
    (folder / "case.cfg").write_bytes(case)
    try:
        read_configuration(folder / "case.cfg")
    except AnnetteError as err:
        require_clear(str(err))
    read_topology(folder / "case.csv")


# Words of the command line -----------------------------------------------------------------------------

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("estimate", "zoo:lenet5", "--platform", "zcu102-dpu"),
    ("estimate", "zoo:mobilenet_v2,width=0.5", "-p", "ncs2", "--format", "json", "--batch", "2"),
    ("show", "zoo:lenet5"), ("show", "zcu102-dpu"), ("show", "simulator:ncs2"), ("networks",), ("platforms",),
    ("measure", "zoo:lenet5", "--device", "zcu102-dpu", "--set", "clock_hz=1e9"),
    ("explain", "zoo:lenet5", "--device", "systolic-32x32-ws"),
    ("suggest", "zoo:lenet5", "-n", "1"), ("suggest", "--space", "nasbench201", "-n", "2", "--format", "csv"),
    ("calibrate", "missing.csv", "--space", "nasbench201"), ("train", "missing.db", "--output", "x"),
    ("evaluate", "--platform", "nowhere", "--device", "ncs2"), ("import", "missing.csv", "--schema",
    "tflite-gpu"),
    ("estimate", "missing.onnx", "--shape", "x=1,3,224,224", "--platform", "zcu102-dpu"),
    ("benchmark", "--device", "nothing", "--store", "missing/x.db", "--plan", "quick"),
)  # fmt: skip
WORDS = (
    *TEXTS, "-1", "0", "1e999", "99999999999999999999", "zoo:", "zoo:lenet5,", "zoo:lenet5,width=nan",
    "zoo:vgg16,x",
    "zoo:mobilenet_v2,width=1e9", "simulator:", "simulator:/etc/passwd", "replay:", "replay:x", "command:x",
    "mine:x",
    "onnxruntime:x", "--format", "json", "--batch", "--shape", "--set", "clock_hz=", "=", "x=1",
    "clock_hz=nan",
    "clock_hz=-1", "a.b.c=1", "x=1,3,,", "/", ".", "..", "/dev/null", "/dev/zero", "--help", "--version",
    "-", "--",
)  # fmt: skip


def _argument_seeds(kept: Path) -> list[bytes]:
    return [json.dumps(words).encode() for words in COMMANDS]


def _argument_change(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    words = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(1, len(words) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            words.insert(place, rng.choice(WORDS))
        elif kind == 1 and place < len(words):
            del words[place]
        elif place < len(words):
            words[place] = rng.choice((*WORDS, words[place] * 2, words[place][:-1], words[place] + "\0"))
    return json.dumps(words).encode()


def _run_arguments(case: bytes, folder: Path) -> None:
    from annette.cli.main import exit_code

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = exit_code(json.loads(case))
        except SystemExit as end:
            code = end.code
    if code not in (0, 1, 2):
        raise Unclear(f"exit code {code}")
    faults = [line for line in err.getvalue().splitlines() if line.startswith("error:")]
    if code and len(faults) != 1 and "Usage" not in err.getvalue():
        raise Unclear(f"exit code {code} with {err.getvalue()[:300]!r}")
    if "Traceback" in err.getvalue():
        raise Unclear(err.getvalue()[-300:])
    for line in faults:
        require_clear(line)


TARGETS: dict[str, Target] = {
    item.name: item
    for item in (
        Target(name="onnx", seeds=_onnx_seeds, mutate=mutate_model, run=_run_onnx),
        Target(name="network", seeds=_network_seeds, mutate=_json_change, run=_run_network),
        Target(
            name="graph", seeds=_files("tests/data/annette_json/*.json"), mutate=_json_change, run=_run_graph
        ),
        Target(
            name="accelerator", seeds=_files("annette/hardware/presets/*.yaml"), mutate=_yaml_change,
            run=_run_accelerator,
        ),
        Target(
            name="plan", seeds=_files("benchmarks/plans/*.yaml", "tests/data/plans/*.yaml"),
            mutate=_yaml_change,
            run=_run_plan,
        ),
        Target(
            name="schema", seeds=lambda kept: [MADE_UP, *_files("annette/tables/schemas/*.yaml")(kept)],
            mutate=_yaml_change, run=_run_schema,
        ),
        Target(
            name="command", seeds=_files("benchmarks/examples/board.yaml"), mutate=_yaml_change,
            run=_run_command_file
        ),
        Target(name="suite", seeds=_files("data/suites/*.yaml"), mutate=_yaml_change, run=_run_suite),
        Target(name="platform", seeds=_platform_seeds, mutate=_platform_change, run=_run_platform),
        Target(
            name="calibrated", seeds=_files("tests/data/schema/calibrated-*/calibrated.json"),
            mutate=_json_change,
            run=_run_calibrated,
        ),
        Target(name="store", seeds=_store_seeds, mutate=_store_change, run=_run_store),
        Target(name="recorded", seeds=_recorded_seeds, mutate=_recorded_change, run=_run_recorded),
        Target(
            name="repeats", seeds=_files("tests/data/schema/repeats-*.json"), mutate=_json_change,
            run=_run_repeats
        ),
        Target(name="answer", seeds=_answer_seeds, mutate=_json_change, run=_run_answer),
        Target(name="compare", seeds=_compare_seeds, mutate=_json_change, run=_run_compare),
        Target(name="kernels", seeds=_kernel_tables, mutate=_csv_change, run=_run_kernel_table),
         # type: ignore[arg-type]
        Target(name="profile", seeds=_profile_seeds, mutate=_profile_change, run=_run_profile),
        Target(name="latencies", seeds=_latency_seeds, mutate=_csv_change, run=_run_latencies),
        Target(name="scalesim", seeds=_scalesim_seeds, mutate=_csv_change, run=_run_scalesim),
        Target(name="arguments", seeds=_argument_seeds, mutate=_argument_change, run=_run_arguments),
    )
}  # fmt: skip
