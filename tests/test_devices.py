from functools import partial

import pytest
import torch

from cebench.devices import compiled


def test_more_shapes_than_pytorchs_limit_are_all_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    double = compiled(lambda x: 2 * x, compile=True, cuda_graphs=False)
    for _ in range(2):
        for side in range(1, 13):
            assert torch.equal(double(torch.ones(side)), torch.full((side,), 2.0))
    assert len(graphs) == 12
