"""Kernels as programs of instructions, timed cycle for cycle: the cross-check of the tile engines.

The simulator times a kernel by a closed form of its load / compute / store pipeline, and that stays so. The
closed form looks at thousands of tilings of a kernel at once, as arrays, and takes the fastest; a program
of instructions is of one tiling, and takes about as long to evaluate as all tilings do in closed form. So
the tile engines choose, and the instruction engine checks what they chose, with nothing averaged. It would
not make the simulator simpler to have it underneath: the closed form would still be needed to choose.

What the two say of a kernel differs where a pipeline is not fluid. Instructions take longer where the
closed form spreads evenly over the tiles what comes at once: weights that stay are all there before the
first tile begins, the results of a reduction are stored at its end, a merged pool works on what is
complete, a tile at the edge is smaller, the first and the last are alone. They take less time where the
closed form adds what can overlap: the memory's answer with stores on the bus, and an exchange of weights
with the filling of the array. Transfers take whole cycles, and a front-end issues only so many instructions
a cycle.

One limit is the program's own: the bus is granted for a whole transfer, in the order of the program. A real
one changes between loads and stores burst by burst, so a long store behind a long reduction holds up loads
here more than it would. Over most networks all this nearly evens out; over some it does not. How much is in
``benchmarks/results/instruction_engine.json``, written by ``benchmarks/studies/instruction_engine.py``.
"""
