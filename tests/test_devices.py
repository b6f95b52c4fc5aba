import warnings
from functools import partial

import pytest
import torch

from cebench.devices import choose_device, compiled
from cebench.errors import InputError


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    for name in ("auto", "cuda"):
        with pytest.raises(InputError, match=r"process 2 on this machine has no GPU: .* sees 2;"):
            choose_device(name)


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


def test_what_the_compiler_says_of_tensor_cores_is_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    said = "TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled."
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        compiled(abs, compile=True, cuda_graphs=False)
        warnings.warn(said, stacklevel=1)
    assert heard == []
