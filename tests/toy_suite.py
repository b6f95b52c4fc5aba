"""A suite file of the toy world, and what the fixture `planned` makes of it."""

from collections.abc import Callable

from cebench.suite.cells import Cell

TOY = """
title = "a toy suite"
recipe = "smoke"
pretrainings = 2
seeds = 2

[data]
toy = { draw = 4 }

[rows.random]

[rows.context]
data = ["{toy}/unlabeled"]

[rows.context-gan]
data = ["{toy}/facades/train"]
tasks = ["inpainting"]

[tasks.classification]
data = "{toy}/VOCdevkit"

[tasks.inpainting]
data = "{toy}/facades"
rows = ["context-gan"]
"""

Planned = Callable[..., dict[str, Cell]]
