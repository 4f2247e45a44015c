"""Makes the ONNX files of data/networks: models of torchvision, transformers and timm, weights left out.

Run it in an environment with torch, torchvision, transformers, timm, onnx, onnxscript and onnxruntime, with
annette on the path; weights are random, nothing is downloaded:

    python benchmarks/networks/export_networks.py data/networks [--only NAME] [--keep FOLDER]

Each model is exported by one of torch's two exporters; some with a dynamic batch, bound when they are read.
The files keep the graph as the exporter wrote it; what is gone are the data of weights, which annette never
reads, and notes on the Python code. ``--keep`` names a folder for the whole files: runtimes need the weights.
``manifest.json`` beside the files says what made them; a network that other versions made than most has those
of its versions that differ. Tests and studies only read the files.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch
from further_networks import DEVELOPMENT, FRESH
from onnx import ModelProto, TensorProto
from recipes import (
    IDS,
    MASK,
    PIXELS,
    Export,
    Only,
    hugging,
    image,
    noise,
    segmentation,
    ssdlite,
    tokens,
    vision,
)

from annette.graph.onnx_reader import network_from_onnx_bytes
from annette.graph.wire import strip_weights

OPSET = 17
FEW = 16
"""Float tensors with at most this many elements keep their contents: factors, scales of Resize."""
_FLOATS = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16))


KNOWN: Mapping[str, Export] = {
    "mobilenet_v2": vision(
        "mobilenet_v2", dynamo=False, text="MobileNet v2", dynamic_batch=True, is_quantised=True
    ),
    "mobilenet_v3_large": vision("mobilenet_v3_large", dynamo=True, text="MobileNet v3 large"),
    "efficientnet_b0": vision("efficientnet_b0", dynamo=False, text="EfficientNet-B0", dynamic_batch=True),
    "resnet18": vision("resnet18", dynamo=True, text="ResNet-18", dynamic_batch=True, is_quantised=True),
    "resnext50": vision("resnext50_32x4d", dynamo=False, text="ResNeXt-50 32x4d"),
    "regnet_y_400mf": vision("regnet_y_400mf", dynamo=True, text="RegNetY-400MF"),
    "regnet_x_800mf": vision("regnet_x_800mf", dynamo=False, text="RegNetX-800MF", is_quantised=True),
    "shufflenet_v2": vision("shufflenet_v2_x1_0", dynamo=False, text="ShuffleNet v2 1.0"),
    "mnasnet0_5": vision("mnasnet0_5", dynamo=True, text="MNASNet 0.5"),
    "squeezenet1_1": vision("squeezenet1_1", dynamo=False, text="SqueezeNet 1.1", is_quantised=True),
    "convnext_tiny": vision("convnext_tiny", dynamo=False, text="ConvNeXt-Tiny"),
    "swin_tiny": vision("swin_t", dynamo=True, text="Swin-Tiny"),
    "maxvit_tiny": vision("maxvit_t", dynamo=True, text="MaxViT-Tiny"),
    "deeplabv3": segmentation(
        "deeplabv3_mobilenet_v3_large", 256, dynamo=False, text="DeepLabv3 on MobileNet v3 large"
    ),
    "lraspp": segmentation(
        "lraspp_mobilenet_v3_large", 320, dynamo=True, text="LR-ASPP on MobileNet v3 large"
    ),
    "ssdlite320": Export(
        make=ssdlite, inputs=image(320), dynamo=False, outputs=("boxes", "classes"),
        text="SSDlite on MobileNet v3 large, without the selection of boxes, 320x320",
    ),
    "vit_small": hugging(
        "ViT", image(224), dynamo=True, text="ViT-Small with patches of 16 (DeiT-S), 224x224", call=PIXELS,
        config={"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
        attention="sdpa", dynamic_batch=True,
    ),
    "segformer_b0": hugging(
        "Segformer", image(256), dynamo=False, text="SegFormer-B0, segmentation, 256x256", call=PIXELS,
        suffix="ForSemanticSegmentation", result="logits",
    ),
    "mobilevit_small": hugging(
        "MobileViT", image(256), dynamo=True, text="MobileViT-Small, 256x256", call=PIXELS,
        suffix="ForImageClassification", result="logits",
    ),
    "levit_128s": hugging(
        "Levit", image(224), dynamo=False, text="LeViT-128S, 224x224", call=PIXELS,
        suffix="ForImageClassification", result="logits",
    ),
    "poolformer_s12": hugging(
        "PoolFormer", image(224), dynamo=True, text="PoolFormer-S12, 224x224", call=PIXELS,
        suffix="ForImageClassification", result="logits",
    ),
    "bert_small": hugging(
        "Bert", tokens(128, IDS, MASK), dynamo=False, text="BERT-Small, 4 layers of 512, 128 tokens",
        config={"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
                "intermediate_size": 2048},
    ),
    "distilbert": hugging(
        "DistilBert", tokens(64, IDS, MASK), dynamo=True, text="DistilBERT, 6 layers of 768, 64 tokens",
        dynamic_batch=True, is_quantised=True,
    ),
    "distilgpt2": hugging(
        "GPT2", tokens(64, IDS), dynamo=True, text="DistilGPT-2 with its head, 6 layers of 768, 64 tokens",
        config={"n_layer": 6}, suffix="LMHeadModel", result="logits",
    ),
    "t5_small_encoder": hugging(
        "T5", tokens(64, IDS), dynamo=False, text="encoder of T5-small, 6 layers of 512, 64 tokens",
        config={"num_layers": 6, "d_model": 512, "d_ff": 2048, "num_heads": 8}, suffix="EncoderModel",
    ),
    "mobilebert": hugging(
        "MobileBert", tokens(64, IDS, MASK), dynamo=True, text="MobileBERT, 24 layers, 64 tokens"
    ),
    "albert_base": hugging(
        "Albert", tokens(64, IDS, MASK), dynamo=False, text="ALBERT-Base, 12 layers of 768, 64 tokens",
        config={"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
    "wav2vec2_base": hugging(
        "Wav2Vec2", {"samples": noise(1, 16000)}, dynamo=False,
        text="wav2vec 2.0 Base, one second of speech", call={"samples": "input_values"},
    ),
    "whisper_tiny_encoder": hugging(
        "Whisper", {"features": noise(1, 80, 3000)}, dynamo=True, call={"features": "input_features"},
        text="encoder of Whisper-Tiny, 30 seconds of speech", part="encoder",
        config={"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536,
                "decoder_layers": 1},
    ),
}  # fmt: skip

EXPORTS: Mapping[str, Export] = {**KNOWN, **FRESH, **DEVELOPMENT}


def export(item: Export) -> ModelProto:
    """The model as the chosen exporter writes it, with its weights."""
    torch.manual_seed(0)
    model = item.make().eval()
    names, values = list(item.inputs), tuple(item.inputs.values())
    if item.dynamo:
        batch = torch.export.Dim("batch")
        axes = tuple({0: batch} for _ in values) if item.dynamic_batch else None
        if isinstance(model, Only):  # its inputs are one parameter, *values
            axes = None if axes is None else (axes,)
        if axes is not None:  # a batch of 1 would be taken for a constant
            values = tuple(torch.cat([value, value]) for value in values)
        program = torch.onnx.export(
            model, values, dynamo=True, input_names=names, output_names=list(item.outputs),
            dynamic_shapes=axes, verbose=False,
        )  # fmt: skip
        return program.model_proto
    file = io.BytesIO()
    torch.onnx.export(
        model, values, file, dynamo=False, opset_version=OPSET, input_names=names,
        output_names=list(item.outputs),
        dynamic_axes={name: {0: "batch"} for name in names} if item.dynamic_batch else None,
    )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


def quantise(model: ModelProto, item: Export, folder: Path) -> ModelProto:
    """The same model with INT8 weights and activations in QDQ form, calibrated on random inputs."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = [{name: value.numpy() for name, value in item.inputs.items()}] * 2

        def get_next(self) -> dict[str, Any] | None:
            return self._left.pop() if self._left else None

    whole, ready, result = (folder / f"{step}.onnx" for step in ("whole", "ready", "result"))
    onnx.save(model, whole)
    quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready), str(result), Samples(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return onnx.load(str(result))


def compact(model: ModelProto, name: str) -> bytes:
    """The file without weights and without notes on the Python code, checked to read as the same network."""
    data = model.SerializeToString()
    slim = ModelProto.FromString(strip_weights(data, name))
    slim.ClearField("doc_string")
    slim.ClearField("metadata_props")
    graph = slim.graph
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    scaled = [node for node in graph.node if node.op_type in ("DequantizeLinear", "QuantizeLinear")]
    dequantised = {name for node in scaled for name in node.input}
    for tensor in graph.initializer:
        size = 1
        for length in tensor.dims:
            size *= length
        if size > FEW and (tensor.data_type in _FLOATS or tensor.name in dequantised):
            for values in ("raw_data", "float_data", "int32_data", "double_data"):
                tensor.ClearField(values)
    before = network_from_onnx_bytes(data, name, batch=_batch(model))
    without_hints = ModelProto.FromString(slim.SerializeToString())
    del without_hints.graph.value_info[:]
    for candidate in (without_hints, slim):
        found = candidate.SerializeToString()
        if network_from_onnx_bytes(found, name, batch=_batch(model)).id == before.id:
            return found
    raise SystemExit(f"{name}: reads as another network once its weights are left out")


def _batch(model: ModelProto) -> int | None:
    """1 where the batch is open."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    return 1 if first.dim_param else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", help="export this network alone; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for the files with their weights")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Any] = {}
    for name in arguments.only or EXPORTS:
        item = EXPORTS[name]
        try:
            model = export(item)
        except Exception as err:  # noqa: BLE001  # which exporter can do what is the question here
            print(f"{name}: {type(err).__name__}: {str(err).splitlines()[0]}", flush=True)
            continue
        exporter = "torch.onnx.export(dynamo=True)" if item.dynamo else "torch.onnx.export(dynamo=False)"
        found = {name: (model, f"{item.text}; {exporter}")}
        if item.is_quantised:
            with tempfile.TemporaryDirectory() as folder:
                made = quantise(model, item, Path(folder))
            found[f"{name}_int8"] = made, f"{item.text}, INT8 in QDQ form; onnxruntime.quantization"
        for label, (whole, text) in found.items():
            data = compact(whole, label)
            (arguments.folder / f"{label}.onnx").write_bytes(data)
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                onnx.save(whole, arguments.keep / f"{label}.onnx")
            written[label] = {"text": text, "sha256": hashlib.sha256(data).hexdigest()}
            print(f"{label}: {len(data)} bytes", flush=True)
    _write_manifest(arguments.folder / "manifest.json", written)


def _write_manifest(path: Path, written: dict[str, Any]) -> None:
    packages = ("torch", "torchvision", "transformers", "timm", "onnx", "onnxscript", "onnxruntime")
    made_with = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    others = {name: entry for name, entry in known.get("networks", {}).items() if name not in written}
    versions = known["versions"] if others else made_with
    differ = {name: found for name, found in made_with.items() if versions.get(name) != found}
    entries = {name: {**entry, "versions": differ} if differ else entry for name, entry in written.items()}
    document = {
        "schema_version": 1,
        "made_by": "benchmarks/networks/export_networks.py",
        "versions": versions,
        "networks": dict(sorted({**others, **entries}.items())),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
