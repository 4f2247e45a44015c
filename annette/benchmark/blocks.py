"""Every kind of multi-layer block that plans can ask for; blocks expose what a compiler merges and drops."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.blocks_branch import BRANCH_BLOCKS
from annette.benchmark.blocks_chain import CHAIN_BLOCKS
from annette.benchmark.blocks_scale import SCALE_BLOCKS
from annette.benchmark.blocks_token import TOKEN_BLOCKS
from annette.benchmark.micro_matrix import Sampler

__all__ = ["BLOCKS"]

BLOCKS: Mapping[str, Sampler] = MappingProxyType(
    {**CHAIN_BLOCKS, **BRANCH_BLOCKS, **SCALE_BLOCKS, **TOKEN_BLOCKS}
)
"""Samplers by the name that plans use; each adds its layers and returns the network's outputs."""
