"""The networks of the zoo by name, and the one way from what a user wrote to a network."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from annette.errors import GraphError, UsageError
from annette.graph.network import Network
from annette.zoo.parameters import Parameters, ParameterValue, nearest, parameters_of, split_parameters

__all__ = ["ZooEntry", "list_networks", "open_network", "zoo_network", "zoo_parameters"]

_ZOO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "lenet5": ("lenet", "LeNet-5, handwritten digits, 32x32 grey"),
        "alexnet": ("alexnet", "AlexNet (one tower), ImageNet, 224x224"),
        "vgg16": ("vgg", "VGG-16, ImageNet, 224x224"),
        "vgg19": ("vgg", "VGG-19, ImageNet, 224x224"),
        "inception_v1": ("inception", "Inception v1 (GoogLeNet), ImageNet, 224x224"),
        "inception_v3": ("inception", "Inception v3, ImageNet, 299x299"),
        "inception_v4": ("inception", "Inception v4, ImageNet, 299x299"),
        "resnet18": ("resnet", "ResNet-18, ImageNet, 224x224"),
        "resnet34": ("resnet", "ResNet-34, ImageNet, 224x224"),
        "resnet50": ("resnet", "ResNet-50 v1.5, ImageNet, 224x224"),
        "resnet101": ("resnet", "ResNet-101 v1.5, ImageNet, 224x224"),
        "densenet121": ("densenet", "DenseNet-121, ImageNet, 224x224"),
        "squeezenet1_0": ("squeezenet", "SqueezeNet 1.0, ImageNet, 224x224"),
        "squeezenet1_1": ("squeezenet", "SqueezeNet 1.1, ImageNet, 224x224"),
        "mobilenet_v1": ("mobilenet", "MobileNet v1, ImageNet, 224x224"),
        "mobilenet_v2": ("mobilenet", "MobileNet v2, ImageNet, 224x224"),
        "mobilenet_v3_small": ("mobilenet", "MobileNet v3 small, ImageNet, 224x224"),
        "mobilenet_v3_large": ("mobilenet", "MobileNet v3 large, ImageNet, 224x224"),
        "mnasnet": ("mnasnet", "MNASNet-B1, ImageNet, 224x224"),
        "shufflenet_v2": ("shufflenet", "ShuffleNet v2, ImageNet, 224x224"),
        "efficientnet_b0": ("efficientnet", "EfficientNet-B0, ImageNet, 224x224"),
        "regnety_400mf": ("regnet", "RegNetY-400MF, ImageNet, 224x224"),
        "yolov3": ("yolo", "YOLOv3 on Darknet-53, detection, COCO, 416x416"),
        "yolov3_tiny": ("yolo", "YOLOv3-tiny, detection, COCO, 416x416"),
        "ssd_mobilenet_v2": ("ssd", "SSD on MobileNet v2, detection, COCO, 300x300 (lite=true: SSDLite)"),
        "openpose": ("openpose", "OpenPose, multi-person pose, COCO, 368x368"),
        "deeplabv3_mobilenet_v2": ("deeplab", "DeepLabv3 on MobileNet v2, segmentation, VOC, 513x513"),
        "fpn_resnet18": ("fpn", "FPN on ResNet-18, segmentation, Cityscapes, 256x512"),
        "unet": ("unet", "U-Net with padded convolutions, segmentation, 256x256"),
        "tc_resnet8": ("tc_resnet", "TC-ResNet8, keyword spotting, 1-D, 40x101"),
        "vit_tiny": ("vit", "ViT-Tiny (DeiT-Ti) with patches of 16, ImageNet, 224x224"),
        "vit_base": ("vit", "ViT-Base with patches of 16, ImageNet, 224x224"),
        "swin_tiny": ("swin", "Swin-Tiny, ImageNet, 224x224"),
        "convnext_tiny": ("convnext", "ConvNeXt-Tiny, ImageNet, 224x224"),
        "bert_mini": ("bert", "BERT-Mini encoder, 4 layers of 256, 128 tokens"),
        "bert_base": ("bert", "BERT-Base encoder, 12 layers of 768, 128 tokens"),
    }
)
"""Module and description of each network; its function has the network's name."""

_PREFIX = "zoo:"
_LARGEST_INT = 1 << 20
_LARGEST_REPETITION = 1000
_REPETITIONS = frozenset({"depth", "stages"})
"""Parameters that multiply layers instead of sizes."""
_LARGEST_WIDTH = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEntry:
    """A network of the zoo, without building it."""

    name: str
    """What `zoo_network` takes."""
    description: str
    """One line: what it is for, and its default input."""


def list_networks() -> tuple[ZooEntry, ...]:
    """Every network of the zoo, in the zoo's order; imports none of them."""
    return tuple(ZooEntry(name=name, description=text) for name, (_, text) in _ZOO.items())


def zoo_parameters(name: str) -> Mapping[str, ParameterValue]:
    """The parameters of a zoo network and their defaults.

    Raises
    ------
    UsageError
        If the zoo has no such network.

    Examples
    --------
    >>> dict(zoo_parameters("bert_mini"))["sequence"]
    128
    """
    return _parameters(name).defaults


def zoo_network(name: str, **parameters: ParameterValue) -> Network:
    """The zoo network of that name, with the given parameters in place of its defaults.

    Raises
    ------
    UsageError
        If the zoo has no such network, or the network no such parameter or of another type.
    GraphError
        If a parameter's size makes no network.

    Examples
    --------
    >>> zoo_network("mobilenet_v2", width=0.5, resolution=160).name
    'mobilenet_v2'
    """
    function = _function(name)
    known = _parameters(name)
    return function(**{key: _checked(known, key, value) for key, value in parameters.items()})


def open_network(
    spec: str | os.PathLike[str],
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
) -> Network:
    """The network that ``spec`` means: a file, ``zoo:NAME``, or ``zoo:NAME,width=0.5,resolution=160``.

    A file is an ONNX file, or a JSON graph of the original ANNETTE where its name ends in ``.json``.

    Parameters
    ----------
    shapes : mapping or None
        Shapes to bind to an ONNX file's inputs by name; a zoo network takes parameters instead.
    batch : int or None
        Binds a file's dynamic batch, or is a zoo network's parameter ``batch``.

    Raises
    ------
    UsageError
        If there is no such file or zoo network, or a parameter is wrong.
    GraphError
        If the file is not a network that annette can read, or a parameter's size makes no network.
    """
    text = os.fspath(spec)
    if text.startswith(_PREFIX):
        if shapes:
            raise UsageError(
                f"{text}: shapes are for ONNX files; give parameters such as resolution=160 instead"
            )
        name, parameters = _parse_zoo(text)
        if batch is not None and parameters.setdefault("batch", batch) != batch:
            given = parameters["batch"]
            raise UsageError(f"{text}: batch is {given} here and {batch} beside; give it once")
        return zoo_network(name, **parameters)
    if not Path(text).is_file():
        raise UsageError(_no_such_file(text))
    if Path(text).suffix.lower() == ".json":
        from annette.graph.annette_json import read_annette_json

        if shapes:
            raise UsageError(
                f"{text}: shapes are for ONNX files; a JSON graph has its own, but for the batch"
            )
        return read_annette_json(text, batch=batch)
    from annette.graph.onnx_reader import read_onnx  # loads onnx, which zoo networks do without

    return read_onnx(text, shapes=shapes, batch=batch)


def _parse_zoo(text: str) -> tuple[str, dict[str, ParameterValue]]:
    name, items = split_parameters(text[len(_PREFIX) :])
    return name, _parameters(name).parse(text, items)


def _checked(parameters: Parameters, key: str, value: ParameterValue) -> ParameterValue:
    kind = parameters.type_of(key)
    fits = isinstance(value, bool) == (kind is bool) and isinstance(value, (kind, int))
    if not fits or isinstance(value, str):
        raise parameters.wrong_value(key, value)
    if kind is int:
        largest = _LARGEST_REPETITION if key in _REPETITIONS else _LARGEST_INT
        if not 1 <= value <= largest:
            raise GraphError(f"{parameters.owner}: {key}={value}, expected 1 to {largest}")
    elif kind is float and not (math.isfinite(value) and 0 < value <= _LARGEST_WIDTH):
        raise GraphError(
            f"{parameters.owner}: {key}={value}, expected more than 0 and at most {_LARGEST_WIDTH:g}"
        )
    return float(value) if kind is float else value


@cache
def _parameters(name: str) -> Parameters:
    return parameters_of(_function(name), f"{_PREFIX}{name}")


def _function(name: str) -> Callable[..., Network]:
    if name not in _ZOO:
        raise UsageError(
            f"{_PREFIX}{name}: no such network in the zoo{nearest(name, _ZOO)}; `annette networks` lists them"
        )
    module = import_module(f"annette.zoo.{_ZOO[name][0]}")
    function: Callable[..., Network] = getattr(module, name)
    return function


def _no_such_file(text: str) -> str:
    name = text.split(",")[0]
    if name in _ZOO:
        return f"{text}: no such file; the zoo has a network of that name: write {_PREFIX}{text}"
    if Path(text).exists():
        return f"{text}: not a file, expected an ONNX file or {_PREFIX}NAME"
    found = difflib.get_close_matches(name.lower().replace("-", "_"), _ZOO, n=1, cutoff=0.7)
    hint = f"; did you mean {_PREFIX}{found[0]}?" if found else ""
    return f"{text}: no such file, expected an ONNX file or {_PREFIX}NAME{hint}"
