"""Runs SCALE-Sim 3.0.0 on jobs from stdin and answers what it reports; for its own Python, not annette's.

    python -m venv VENV && VENV/bin/pip install scalesim==3.0.0 numpy==2.3.5
    VENV/bin/python benchmarks/studies/scalesim_run.py < jobs.json > reports.json

A job is ``{"rows", "columns", "dataflow", "topology", "is_product"}``, the topology being the text of a CSV
file. Memory stalls are off (InterfaceBandwidth CALC). ``{"load", "is_product"}`` only loads the topology or
the configuration of that path. numpy 2.4 and later break SCALE-Sim 3.0.0.
"""

import contextlib
import io
import json
import math
import sys
import tempfile
import time
from pathlib import Path

from scalesim.scale_config import scale_config
from scalesim.scale_sim import scalesim
from scalesim.topology_utils import topologies

CONFIGURATION = """[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: {buffer_kib}
FilterSramSzkB: {buffer_kib}
OfmapSramSzkB: {buffer_kib}
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 10
Dataflow: {dataflow}
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
FilterCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
LAYOUT = "Layer name,\n"


def run(job: dict, folder: Path) -> dict:
    """The rows of the three reports, a dictionary a layer, and the seconds of processor time they took."""
    for name, text in (("net.csv", job["topology"]), ("layout.csv", LAYOUT)):
        (folder / name).write_text(text, encoding="utf-8")
    sizes = {"buffer_kib": job.get("buffer_kib", 64), "dataflow": job["dataflow"].lower()}
    text = CONFIGURATION.format(rows=job["rows"], columns=job["columns"], **sizes)
    (folder / "run.cfg").write_text(text, encoding="utf-8")
    start, wall = time.process_time(), time.perf_counter()
    tool = scalesim(
        save_disk_space=True, verbose=False, config=str(folder / "run.cfg"),
        topology=str(folder / "net.csv"), layout=str(folder / "layout.csv"),
        input_type_gemm=job["is_product"],
    )  # fmt: skip
    tool.run_scale(top_path=str(folder))
    seconds = {"cpu_s": time.process_time() - start, "wall_s": time.perf_counter() - wall}
    layers: dict[int, dict] = {}
    for name in ("COMPUTE_REPORT", "DETAILED_ACCESS_REPORT", "BANDWIDTH_REPORT"):
        lines = (folder / "run" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        header = [cell.strip() for cell in lines[0].split(",")]
        for line in lines[1:]:
            row = dict(zip(header, (cell.strip() for cell in line.split(",")), strict=False))
            layers.setdefault(int(row.pop("LayerID")), {}).update(
                {key: float(value) for key, value in row.items() if key}
            )
    names = [str(item[0]) for item in tool.topo.topo_arrays]
    return {**seconds, "layers": [{"name": names[index], **row} for index, row in sorted(layers.items())]}


def load(job: dict) -> dict:
    """What the loaders make of a file: a configuration's array and buffers, or a topology's M, K and N."""
    if job["load"].endswith(".cfg"):
        config = scale_config()
        config.read_conf_file(job["load"])
        if not config.valid_conf_flag:
            raise ValueError("not valid")
        sizes = [config.array_rows, config.array_cols, config.df.upper(), *config.get_mem_sizes()]
        return {"configuration": sizes}
    found = topologies()
    found.load_arrays(job["load"], mnk_inputs=job["is_product"])
    found.topo_calc_hyperparams()
    layers = [
        [math.prod(found.get_layer_ofmap_dims(index)), found.get_layer_window_size(index),
         found.get_layer_num_filters(index)]
        for index in range(found.get_num_layers())
    ]  # fmt: skip
    return {"layers": layers}


def main() -> None:
    """One report a job, in its order; a job that SCALE-Sim breaks on answers with its error."""
    reports = []
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            try:
                reports.append(load(job) if "load" in job else run(job, Path(folder)))
            except Exception as error:  # noqa: BLE001  what breaks is the answer
                reports.append({"error": f"{type(error).__name__}: {error}"})
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
