"""What `nas_speed.py` times, each task in a Python process of its own: there nothing has been asked before.

    python benchmarks/studies/nas_speed_tasks.py one '{"platform": "ncs2"}'

The answer is the last line, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from annette.graph.network import Network

CHUNK = 4096
FAMILIES = ("nasbench101", "fbnet", "zoo")
"""Of arbitrary networks."""
ZOO = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet")
"""Networks that come in any width and resolution."""
ONE = ("resnet50", "mobilenet_v2", "nasbench101")
"""Networks that are asked for one by one."""
OTHERS = ("resnet18", "squeezenet1_0", "inception_v3", "efficientnet_b0", "densenet121", "shufflenet_v2")
"""Networks that are asked for before these, so that every model has been read."""


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of ``action``, and what it gave."""
    start = time.perf_counter()
    answer = action()
    return time.perf_counter() - start, answer


def median_s(action: Callable[[], Any], repeats: int) -> float:
    """Median wall seconds of ``action``."""
    return statistics.median(timed(action)[0] for _ in range(repeats))


def strings(platform: str, texts: str, warm: int = 7) -> dict[str, Any]:
    """All of NAS-Bench-201 from its strings, first and again; each time the strings are new objects."""
    start = time.perf_counter()
    import annette

    trained = annette.load(platform)
    load_s = time.perf_counter() - start
    asked = _lines(texts)

    def first() -> Any:
        from annette.zoo.spaces.registry import open_space

        space = open_space("nasbench201")
        return space, trained.estimate_space(space, asked)

    cold_s, (space, found) = timed(first)
    again = []
    for _ in range(warm):
        other = _lines(texts)
        seconds, same = timed(lambda other=other: trained.estimate_space(space, other))
        assert (same == found).all()
        again.append(seconds)
    return {
        "load_s": load_s,
        "cold_s": cold_s,
        "warm_s": statistics.median(again),
        "networks": len(found),
        "fastest_s": float(found.min()),
        "slowest_s": float(found.max()),
    }


def stream(platform: str, space: str, files: list[str], n_jobs: int) -> dict[str, Any]:
    """Encodings in files to seconds, one file after the other."""
    import numpy as np

    import annette
    from annette.zoo.spaces.registry import open_space

    trained, opened, seconds, mean = annette.load(platform), open_space(space), [], []
    for path in files:
        rows = np.load(path)
        took, found = timed(lambda rows=rows: trained.estimate_space(opened, rows, n_jobs=n_jobs))
        seconds.append(took)
        mean.append(float(found.mean()))
    return {"seconds": seconds, "mean_s": mean, "networks": len(rows)}


def memory(platform: str, space: str, count: int) -> dict[str, Any]:
    """The most memory that sampling and estimating so many networks takes, in one process."""
    import annette
    from annette.zoo.spaces.registry import open_space

    trained, opened = annette.load(platform), open_space(space)
    rows = opened.sample(count, seed=3)
    sampled_bytes = _peak_bytes()
    trained.estimate_space(opened, rows)
    return {
        "peak_bytes": _peak_bytes(),
        "peak_after_sampling_bytes": sampled_bytes,
        "encodings_bytes": rows.nbytes,
        "networks": count,
    }


def arbitrary(platform: str, family: str, count: int, n_jobs: int) -> dict[str, Any]:
    """Networks built beforehand, of which the platform has seen none: the first ones, and as many more."""
    import annette

    networks = list(_networks(family, 2 * count))
    trained = annette.load(platform)
    first_s, found = timed(lambda: trained.estimate_many(networks[:count], n_jobs=n_jobs))
    more_s, _ = timed(lambda: trained.estimate_many(networks[count:], n_jobs=n_jobs))
    layers = sum(len(network.layers) for network in networks) / len(networks)
    return {"first_s": first_s, "more_s": more_s, "layers": layers, "mean_s": float(found.mean())}


def _networks(family: str, count: int) -> Iterator[Network]:
    """So many different networks of a family, or of all in turn."""
    if family == "mixed":
        parts = [list(_networks(item, -(-count // len(FAMILIES)))) for item in FAMILIES]
        yield from [network for some in zip(*parts, strict=True) for network in some][:count]
        return
    import numpy as np

    if family == "zoo":
        from annette.zoo.registry import zoo_network

        rng = np.random.default_rng(5)
        for number in range(count):
            width, resolution = float(rng.uniform(0.25, 2.0)), int(rng.integers(96, 321))
            yield zoo_network(ZOO[number % len(ZOO)], width=width, resolution=resolution)
        return
    from annette.zoo.spaces.registry import open_space

    space = open_space(family)
    rows = space.canonical(space.sample(2 * count, seed=5))
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])[:count]
    for row in rows[first].tolist():
        yield space.network(row)


def one(platform: str) -> dict[str, Any]:
    """Seconds of single networks: never seen, seen as this object, seen as an equal one."""
    import annette
    from annette.zoo.registry import zoo_network

    trained, found = annette.load(platform), {}
    for name in OTHERS:
        trained.estimate(zoo_network(name))
    for name in ONE:
        network = one_network(name)
        cold_s, _ = timed(lambda network=network: trained.estimate(network))
        same_s = median_s(lambda network=network: trained.estimate(network), 200)
        others = [one_network(name) for _ in range(30)]
        equal = [timed(lambda new=new: trained.estimate(new))[0] for new in others]
        found[name] = {"cold": cold_s, "same object": same_s, "equal network": statistics.median(equal)}
    return found


def one_network(name: str) -> Network:
    """One of `ONE`."""
    if name == "nasbench101":
        from annette.zoo.spaces.registry import open_space

        cell = (
            "[[0,1,1,1,0,0,0],[0,0,0,0,1,0,0],[0,0,0,0,1,0,0],[0,0,0,0,0,1,1],[0,0,0,0,0,0,1],"
            "[0,0,0,0,0,0,1],[0,0,0,0,0,0,0]];"
            "input,conv1x1-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,output"
        )
        space = open_space(name)
        return space.network(space.parse(cell))
    from annette.zoo.registry import zoo_network

    return zoo_network(name)


def write(folder: str) -> dict[str, Any]:
    """The networks of `ONE` as ONNX files with weights, for others to read."""
    from annette.graph.onnx_writer import write_onnx

    files = {}
    for name in ONE:
        path = Path(folder) / f"{name}.onnx"
        write_onnx(one_network(name), path)
        files[name] = str(path)
    return files


def read(platform: str, files: dict[str, str]) -> dict[str, float]:
    """Median seconds from an ONNX file to its estimate, no kernel of it being known."""
    import annette

    trained, found = annette.load(platform), {}
    for name, path in files.items():
        trained.estimate(path)  # reads the models, and has the file at hand as its next reader will
        times = []
        for _ in range(5):
            trained.clear_cache()
            times.append(timed(lambda path=path: trained.estimate(path))[0])
        found[name] = statistics.median(times)
    return found


def limit(space: str, files: list[str], texts: str) -> dict[str, float]:
    """Least seconds of reading encodings and adding up one price a gene, or a piece, looked up in a table."""
    import numpy as np

    from annette.zoo.spaces.registry import open_space

    opened = open_space(space)
    found = {}
    if texts:
        asked = _lines(texts)
        rows = opened.parse_many(asked)
        found["strings_s"] = min(timed(lambda: opened.parse_many(_lines(texts)))[0] for _ in range(5))
    else:
        rows = np.load(files[0])
    found["genes_s"] = min(timed(lambda: _look_up(rows))[0] for _ in range(9))
    codes = np.concatenate([_piece_codes(opened, rows[at : at + CHUNK]) for at in range(0, len(rows), CHUNK)])
    found["pieces_s"] = min(timed(lambda: _look_up(codes))[0] for _ in range(5))
    return {**found, "networks": len(rows), "genes": rows.shape[1], "pieces": codes.shape[1]}


def _piece_codes(space: Any, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return space.pieces(rows).codes + 1  # -1 stands for no piece


def _look_up(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """A sum of one table entry a column, chunk by chunk."""
    import numpy as np

    width = int(rows.max()) + 1
    prices = np.random.default_rng(1).random(rows.shape[1] * width)
    offsets = np.arange(rows.shape[1]) * width
    sums = [prices[rows[at : at + CHUNK] + offsets].sum(axis=1) for at in range(0, len(rows), CHUNK)]
    return np.concatenate(sums)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def prepare(folder: str, stream_count: int, ofa_count: int) -> dict[str, Any]:
    """The encodings and strings that other processes are given, as files."""
    import numpy as np

    from annette.zoo.spaces.registry import open_space

    texts = Path(folder) / "nasbench201.txt"
    space = open_space("nasbench201")
    order = np.random.default_rng(1).permutation(space.size)
    encodings = list(space.enumerate())
    texts.write_text("\n".join(space.format(encodings[at]) for at in order), encoding="utf-8")
    files: dict[str, list[str]] = {}
    for name, count, seeds in (("nasbench101", stream_count, (1,)), ("ofa", ofa_count, (1, 2))):
        files[name] = [str(Path(folder) / f"{name}-{seed}.npy") for seed in seeds]
        for seed, path in zip(seeds, files[name], strict=True):
            np.save(path, open_space(name).sample(count, seed=seed))
    return {"texts": str(texts), "files": files}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task for task in (strings, stream, memory, arbitrary, one, write, read, limit, prepare)
}


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    answer = TASKS[name](**arguments)
    print(json.dumps({"answer": answer, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
