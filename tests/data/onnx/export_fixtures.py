"""Makes the ONNX files beside it: small models in plain torch, both exporters, weights left out.

Run it in an environment with torch, onnx, onnxscript and transformers, with annette on the path:

    python tests/data/onnx/export_fixtures.py tests/data/onnx

Tests only read the files; they never run this.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional

from annette.graph.wire import strip_weights


class Residual(nn.Module):
    """A residual CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.a = self.block(32, 64, 2)
        self.skip = nn.Sequential(nn.Conv2d(32, 64, 1, 2, bias=False), nn.BatchNorm2d(64))
        self.b = self.block(64, 64, 1)
        self.head = nn.Linear(64, 100)

    @staticmethod
    def block(source: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(source, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        x = functional.relu(self.a(x) + self.skip(x))
        x = functional.relu(self.b(x) + x)
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Mobile(nn.Module):
    """Depthwise convolutions, squeeze and excitation, hard-swish."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Hardswish())
        self.expand = nn.Sequential(nn.Conv2d(16, 96, 1), nn.Hardswish())
        self.depth = nn.Sequential(nn.Conv2d(96, 96, 5, 2, 2, groups=96), nn.Hardswish())
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(96, 24, 1), nn.ReLU(), nn.Conv2d(24, 96, 1), nn.Hardsigmoid()
        )
        self.project = nn.Conv2d(96, 24, 1)
        self.grouped = nn.Conv2d(24, 48, (3, 1), padding=(1, 0), groups=4)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(48, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depth(self.expand(self.stem(x)))
        x = functional.relu6(self.grouped(self.project(x * self.squeeze(x))))
        return functional.log_softmax(self.head(x.mean((2, 3))), dim=1)


class Unet(nn.Module):
    """Encoder and decoder with a transposed convolution, an interpolation and a padded skip."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(16, 32, 3, padding=2, dilation=2), nn.LeakyReLU(0.1))
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.mix = nn.Conv2d(32, 16, 3, padding=1)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down(x)
        deep = self.deep(functional.max_pool2d(skip, 2))
        up = self.up(deep)
        up = functional.pad(up, (0, skip.shape[3] - up.shape[3], 0, skip.shape[2] - up.shape[2]))
        x = functional.relu(self.mix(torch.cat((skip, up), 1)))
        x = functional.interpolate(self.out(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(x)


class Speech(nn.Module):
    """One-dimensional convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(40, 16, 3), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 24, 9, 2, 4), nn.PReLU(24),
            nn.InstanceNorm1d(24, affine=True), nn.AvgPool1d(2), nn.Conv1d(24, 32, 9, 2, 4), nn.ELU(),
        )  # fmt: skip
        self.head = nn.Linear(32, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).amax(-1))


class Recurrent(nn.Module):
    """An LSTM over embedded tokens, then a bidirectional GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 32)
        self.lstm = nn.LSTM(32, 64, batch_first=True)
        self.gru = nn.GRU(64, 16, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x, _ = self.lstm(self.embed(tokens))
        x, _ = self.gru(x)
        return self.head(x[:, -1])


class Block(nn.Module):
    """A transformer block on scaled_dot_product_attention."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """A vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 48, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 48))
        self.position = nn.Parameter(torch.zeros(1, 17, 48))
        self.blocks = nn.Sequential(Block(48, 3, False), Block(48, 3, False))
        self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class Gpt(nn.Module):
    """A causal language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(500, 64), nn.Embedding(64, 64)
        self.blocks = nn.Sequential(Block(64, 4, True), Block(64, 4, True))
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 500, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.embed(tokens) + self.position(places))))


class Bert(nn.Module):
    """transformers' BertModel with a tiny random configuration."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
            max_position_embeddings=128,
        )  # fmt: skip
        self.bert = BertModel(config)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


IMAGE, TOKENS = {0: "batch"}, {0: "batch", 1: "sequence"}


def _ids(length: int) -> torch.Tensor:
    return torch.zeros(2, length, dtype=torch.int64)


CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, torch.Tensor], dict[str, dict[int, str]]]] = {
    "residual": (Residual, {"image": torch.zeros(2, 3, 64, 64)}, {"image": IMAGE}),
    "mobile": (Mobile, {"image": torch.zeros(1, 3, 64, 64)}, {}),
    "unet": (Unet, {"image": torch.zeros(2, 1, 50, 66)}, {"image": {0: "batch", 2: "height", 3: "width"}}),
    "speech": (Speech, {"features": torch.zeros(2, 40, 101)}, {"features": IMAGE}),
    "recurrent": (Recurrent, {"tokens": _ids(20)}, {"tokens": IMAGE}),
    "vit": (Vit, {"image": torch.zeros(2, 3, 32, 32)}, {"image": IMAGE}),
    "gpt": (Gpt, {"tokens": _ids(24)}, {"tokens": TOKENS}),
    "bert": (
        Bert,
        {"input_ids": _ids(16), "attention_mask": _ids(16) + 1},
        {"input_ids": TOKENS, "attention_mask": TOKENS},
    ),
}


def export(name: str, dynamo: bool) -> bytes:
    """The model as the chosen exporter writes it, without weights."""
    make, inputs, axes = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    arguments = tuple(inputs.values())
    if dynamo:
        dims = {name: torch.export.Dim(name) for item in axes.values() for name in item.values()}
        shapes = {
            key: {axis: dims[name] for axis, name in axes.get(key, {}).items()} or None for key in inputs
        }
        program = torch.onnx.export(
            model, arguments, dynamo=True, input_names=list(inputs), dynamic_shapes=tuple(shapes.values()),
            verbose=False,
        )  # fmt: skip
        data = program.model_proto.SerializeToString()
    else:
        file = io.BytesIO()
        torch.onnx.export(
            model, arguments, file, dynamo=False, opset_version=13 if name == "unet" else 17,
            input_names=list(inputs), dynamic_axes=axes,
        )  # fmt: skip
        data = file.getvalue()
    return without_traces(strip_weights(data, name))


def without_traces(data: bytes) -> bytes:
    """The model without what exporters note of the Python code: stack traces with paths of this machine."""
    model = onnx.ModelProto.FromString(data)
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graph = model.graph
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    return model.SerializeToString()


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    for name in CASES:
        for dynamo in (False, True):
            label = f"{name}_{'dynamo' if dynamo else 'torchscript'}"
            try:
                data = export(name, dynamo)
            except Exception as err:  # noqa: BLE001 - which exporter can do what is the question here
                print(f"{label}: {type(err).__name__}: {str(err).splitlines()[0]}")
                continue
            (folder / f"{label}.onnx").write_bytes(data)
            print(f"{label}: {len(data)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
