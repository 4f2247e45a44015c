"""How models of torchvision, transformers and timm are made, with random weights, and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
import torchvision
import transformers
from timm.utils.model import reparameterize_model
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Export:
    """One model and how to export it."""

    make: Callable[[], nn.Module]
    inputs: Mapping[str, torch.Tensor]
    dynamo: bool
    """Which of torch's exporters."""
    dynamic_batch: bool = False
    """Whether the first dimension of every input is left open."""
    is_quantised: bool = False
    """Whether an INT8 version in QDQ form is made as well."""
    text: str = ""
    """What it is, in one line."""
    outputs: tuple[str, ...] = field(default=("output",))


def noise(*shape: int) -> torch.Tensor:
    """Random numbers, always the same for one shape: the INT8 versions are calibrated on them."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def image(size: int, *, batch: int = 1) -> dict[str, torch.Tensor]:
    """A random picture of ``size`` x ``size``."""
    return {"image": noise(batch, 3, size, size)}


def tokens(length: int, *names: str) -> dict[str, torch.Tensor]:
    """Token ids, and what else is named: an attention mask of ones."""
    ids = torch.arange(length, dtype=torch.int64).remainder(97).unsqueeze(0)
    return {name: torch.ones_like(ids) if name == "attention_mask" else ids for name in names}


class Only(nn.Module):
    """A model whose inputs come by position, whatever they are called, and that hands out tensors alone."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], pick: Callable[[Any], Any]) -> None:
        super().__init__()
        self.model, self.names, self.pick = model, inputs, pick

    def forward(self, *values: torch.Tensor) -> Any:
        if not self.names:
            return self.pick(self.model(*values))
        return self.pick(self.model(**dict(zip(self.names, values, strict=True))))


class DetectionHead(nn.Module):
    """Backbone and head of a detector, without the selection of boxes that depends on data."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.head(list(self.backbone(image).values()))
        return found["bbox_regression"], found["cls_logits"]


def vision(name: str, size: int = 224, *, dynamo: bool, text: str, **options: bool) -> Export:
    """A classifier of torchvision."""

    def make() -> nn.Module:
        return getattr(torchvision.models, name)(weights=None)

    return Export(make=make, inputs=image(size), dynamo=dynamo, text=f"{text}, {size}x{size}", **options)


def timm_image(name: str, size: int = 224, *, dynamo: bool, text: str, **options: bool) -> Export:
    """A classifier of timm; branches that are only for training are merged, as whoever deploys it does."""

    def make() -> nn.Module:
        return reparameterize_model(timm.create_model(name, pretrained=False, exportable=True).eval())

    return Export(make=make, inputs=image(size), dynamo=dynamo, text=f"{text}, {size}x{size}", **options)


def segmentation(name: str, size: int, *, dynamo: bool, text: str) -> Export:
    """A segmentation network of torchvision."""

    def make() -> nn.Module:
        model = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None)
        return Only(model, (), lambda found: found["out"])

    return Export(make=make, inputs=image(size), dynamo=dynamo, text=f"{text}, {size}x{size}")


def ssdlite() -> nn.Module:
    return DetectionHead(
        torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    )


def hugging(
    family: str,
    inputs: Mapping[str, torch.Tensor],
    *,
    dynamo: bool,
    text: str,
    config: Mapping[str, Any] | None = None,
    suffix: str = "Model",
    part: str = "",
    result: str = "last_hidden_state",
    attention: str = "eager",
    call: Mapping[str, str] | None = None,
    **options: bool,
) -> Export:
    """A model of transformers, made from its configuration; ``part`` picks an encoder out of it."""

    def make() -> nn.Module:
        settings = getattr(transformers, f"{family}Config")(**(config or {}))
        settings.use_cache = False
        settings._attn_implementation = attention
        model = getattr(transformers, f"{family}{suffix}")(settings)
        for name in filter(None, part.split(".")):
            model = getattr(model, name)
        names = tuple((call or {}).get(name, name) for name in inputs)
        return Only(model, names, lambda found: getattr(found, result))

    return Export(make=make, inputs=inputs, dynamo=dynamo, text=text, **options)


IDS, MASK = "input_ids", "attention_mask"
PIXELS = {"image": "pixel_values"}
