"""Kernels as programs of instructions, timed cycle for cycle: the cross-check of the tile engines.

The simulator times a kernel by a closed form of its load / compute / store pipeline, and that stays so. The
closed form looks at thousands of tilings of a kernel at once, as arrays, and takes the fastest; a program
of instructions is of one tiling, and takes about as long to evaluate as all tilings do in closed form. So
the tile engines choose, and the instruction engine checks what they chose, with nothing averaged. It would
not make the simulator simpler to have it underneath: the closed form would still be needed to choose.

What the two say of a kernel differs where a pipeline is not fluid. The closed form spreads loads, stores
and merged work evenly over all tiles; in a program a tile at the edge is smaller, the results of a
reduction are stored at its end and not on the way, a merged pool works on what is complete, the first and
the last tile are alone, an answer of the memory is awaited while the bus stores something else (the closed
form adds the two), transfers take whole cycles, and a front-end issues only so many instructions a cycle.
Single kernels of few tiles, or of tiles that are short beside the memory's latency, differ most, in both
directions; over a network that nearly evens out. How much is in
``benchmarks/results/instruction_engine.json``, written by ``benchmarks/studies/instruction_engine.py``.
"""
