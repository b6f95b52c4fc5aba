import contextlib
import math
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_files import Torch7Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from cebench.errors import InputError
from cebench.weights.readers.content import DamagedError
from cebench.weights.readers.torch7 import (
    MAX_DEPTH,
    Table,
    TorchObject,
    named_tensors,
    parse_torch7,
    read_torch7,
)


def parsed(value: Any) -> Any:
    return parse_torch7(Torch7Writer().write(value).bytes())


def ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def text(value: str) -> bytes:
    return ints(len(value)) + value.encode()


def tensor(shape: list[int], strides: list[int], offset: int, kind: str = "Float") -> bytes:
    """A tensor over a storage of 6 floats 0..5, whatever it says of itself."""
    longs = struct.pack(f"<{2 * len(shape) + 1}q", *shape, *strides, offset)
    storage = (
        ints(4, 2) + text("V 1") + text("torch.FloatStorage") + struct.pack("<q6f", 6, *range(6))
    )
    return (
        ints(4, 1) + text("V 1") + text(f"torch.{kind}Tensor") + ints(len(shape)) + longs + storage
    )


def test_plain_values_and_tables() -> None:
    table = parsed({"a": 1, "b": 2.5, "c": True, "d": None, "e": "text", "f": [7, "x"]})
    assert {**table, "f": dict(table["f"])} == {
        "a": 1,
        "b": 2.5,
        "c": True,
        "d": None,
        "e": "text",
        "f": {1: 7, 2: "x"},
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_tensors(dtype: torch.dtype) -> None:
    value = torch.arange(24).reshape(2, 3, 4).to(dtype)
    assert torch.equal(parsed(value), value)
    assert parsed(value).dtype == dtype


def test_strides_and_offsets_select_from_the_storage() -> None:
    assert parse_torch7(tensor([2, 2], [1, 2], 3)).tolist() == [[2, 4], [3, 5]]
    assert parse_torch7(tensor([3], [0], 6)).tolist() == [5, 5, 5]
    assert parse_torch7(tensor([0, 4], [4, 1], 1)).shape == (0, 4)
    cuda = tensor([6], [1], 1).replace(text("torch.FloatTensor"), text("torch.CudaTensor"))
    cuda = cuda.replace(text("torch.FloatStorage"), text("torch.CudaStorage"))
    assert parse_torch7(cuda).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensor([7], [1], 1), "leaves its storage: number 6 of 6"),
        (tensor([2, 2], [5, 1], 1), "leaves its storage: number 6 of 6"),
        (tensor([2], [1], 0), "from -1"),
        (tensor([-2], [1], 1), r"a tensor of shape \[-2\]"),
        (tensor([2], [-1], 5), r"with strides \[-1\]"),
        (tensor([2**40], [0], 1), "a tensor of 1,099,511,627,776 numbers over a storage of 6"),
        (tensor([6], [1], 1, "Double"), "whose storage is something else"),
        (tensor([1] * 65, [1] * 65, 1), "a tensor of 65 axes"),
        (tensor([6], [1], 1)[:-4], "24 bytes where 20 are left"),
        (ints(4, 1) + text("V 1") + text("torch.FloatStorage") + struct.pack("<q", 2**60), "left"),
        (ints(4, 1) + text("torch.Tensor"), "abstract"),
        (ints(2, 2**31 - 1), "2,147,483,647 bytes where 0 are left"),
        (ints(2, -1), "-1 bytes"),
        (ints(3, 1, -5), "a table of -5 entries"),
        (ints(3, 1, 2**30), "4 bytes where 0 are left"),
        (ints(9), "an object of unknown kind 9"),
        (b"".join(ints(3, n, 1) for n in range(MAX_DEPTH + 2)), "objects within objects, 10,000"),
        (b"".join(ints(3, 0, 1_000_001) + ints(0) * 2_000_002 for _ in "1"), "1,000,000 objects"),
    ],
)
def test_damaged_and_hostile_files_are_named(content: bytes, message: str) -> None:
    with pytest.raises(DamagedError, match=message):
        parse_torch7(content)


def test_an_object_may_contain_itself() -> None:
    module: tuple[str, dict[str, Any]] = ("nn.Sequential", {})
    module[1]["self"] = module
    found = parsed(module)
    assert isinstance(found, TorchObject)
    assert found.fields["self"] is found
    key = parse_torch7(ints(3, 1, 1, 3, 1, 3, 1))  # A table whose key and value are itself.
    assert key[key] is key
    assert named_tensors(found) == named_tensors(key) == {}


def test_tables_that_share_tables_are_short_to_write_and_to_walk() -> None:
    shared: Any = {"weight": torch.ones(2)}
    for _ in range(60):
        shared = {"a": shared, "b": shared}
    found = parsed(shared)
    assert repr(found) == "Table of 2"
    assert len(named_tensors(found)) == 1


def test_tensors_of_modules_are_named_by_their_places() -> None:
    convolution = ("nn.SpatialConvolution", {"weight": torch.ones(2), "gradWeight": torch.ones(2)})
    relu = ("nn.ReLU", {"output": torch.ones(9)})
    inner = ("nn.Sequential", {"modules": [convolution, relu], "output": torch.ones(1)})
    linear = ("cudnn.Linear", {"weight": torch.ones(1), "bias": torch.zeros(1)})
    outer = {"model": ("nn.gModule", {"modules": [inner, linear]}), "mean": torch.ones(3)}
    assert [*named_tensors(parsed(outer))] == [
        "model.0.0.weight",
        "model.1.weight",
        "model.1.bias",
        "mean",
    ]


def test_functions_are_skipped_and_old_classes_have_no_version() -> None:
    function = ints(8, 5) + text("byte code") + ints(0)
    found = parse_torch7(
        ints(4, 1) + text("nn.Old") + ints(3, 2, 1) + ints(2) + text("f") + function
    )
    assert (found.class_name, found.fields["f"].class_name) == ("nn.Old", "function")
    assert parse_torch7(ints(6) + text("code") + ints(0)).class_name == "function"


def test_ascii_files_say_the_same() -> None:
    content = (
        b"3\n1\n2\n2\n1\na\n1\n2.5\n2\n1\nt\n4\n2\n3\nV 1\n17\ntorch.FloatTensor\n2\n2 3\n3 1\n1\n"
        b"4\n3\n3\nV 1\n18\ntorch.FloatStorage\n6\n0 1 2 3 4 nan\n"
    )
    table = parse_torch7(content)
    assert table["a"] == 2.5
    assert table["t"][:, :2].tolist() == [[0, 1], [3, 4]]
    assert math.isnan(table["t"][1, 2])
    for broken in (
        content[:-8],
        content.replace(b"2 3\n", b"2 x\n"),
        content.replace(b"6\n", b"99\n"),
    ):
        with pytest.raises(DamagedError):
            parse_torch7(broken)


NETWORK = Torch7Writer().write(
    ("nn.Sequential", {"modules": [("nn.Linear", {"weight": torch.ones(3, 2)})], "train": False})
)


@settings(max_examples=300)
@given(st.data())
def test_mutated_files_end_in_an_object_or_one_error(data: st.DataObject) -> None:
    content = bytearray(NETWORK.bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(DamagedError):
        named_tensors(parse_torch7(bytes(content[:cut]) + data.draw(st.binary(max_size=20))))


@pytest.mark.shared_data
def test_the_cases_of_another_reader(foreign_files: Path) -> None:
    """bshillingford/python-torchfile: what its own tests expect of its files."""
    folder = foreign_files / "python-torchfile" / "testfiles_x86_64"

    def read(name: str) -> Any:
        return read_torch7(folder / f"{name}.t7")

    assert dict(read("hello=123")) == {"hello": 123}
    assert read("custom_class").class_name == "Blah"
    assert read("doubletensor").tolist() == [[1, 2, 3], [4, 5, 6.9]]
    assert read("floattensor").sum().item() == pytest.approx(12.97241666913, abs=1e-5)
    assert read("function_upvals").class_name == "function"
    assert (itself := read("recursive_class")).fields["a"] is itself
    assert (table := read("recursive_kv_table"))[table] is table
    assert dict(read("list_table")) == {1: "hello", 2: "world", 3: "third item", 4: 123}
    hashed = read("tds_hash").fields
    assert (len(hashed), hashed[1], hashed[10]) == (3, 2, 11)
    assert dict(read("tds_vec").fields) == {1: 123, 2: 456}
    assert [*named_tensors(read("gmodule_with_linear_identity"))] == ["2.weight", "2.bias"]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "deepLearningA2/results/model.net",
            {"1.weight": (64, 25), "4.weight": (128, 1600), "9.weight": (128, 128)},
        ),
        ("DeepLearning_HW1/model.t7", {"1.weight": (64, 784), "5.weight": (10, 128)}),
        ("AS_Exam/model.t7", {"2.1.weight": (100, 5), "3.0.weight": (5, 100)}),
    ],
)
def test_real_networks(foreign_files: Path, name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    found = named_tensors(read_torch7(foreign_files / name))
    assert {name: tuple(found[name].shape) for name in shapes} == shapes
    assert all(bool(value.isfinite().all()) for value in found.values())


@pytest.mark.shared_data
def test_a_real_networks_answer_equals_an_explicit_computation(foreign_files: Path) -> None:
    """The network keeps the output of its last batch, and so do its layers."""
    root = read_torch7(foreign_files / "DeepLearning_HW1" / "model.t7")
    modules: Table = root.fields["modules"]
    checked = 0
    for index in range(2, len(modules) + 1):
        layer, below = modules[index], modules[index - 1]
        x, y = below.fields["output"], layer.fields["output"]
        if layer.class_name != "nn.Linear" or not x.numel() or not y.numel():
            continue
        weight, bias = layer.fields["weight"].double(), layer.fields["bias"].double()
        expected = x.double().reshape(len(y), -1) @ weight.T + bias
        torch.testing.assert_close(y.double(), expected, rtol=1e-3, atol=1e-3)
        checked += 1
    assert checked


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.t7").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"a\.t7: is a web page"):
        read_torch7(tmp_path / "a.t7")
    (tmp_path / "a.t7").write_bytes(b"PK\3\4 and more")
    with pytest.raises(InputError, match=r"a\.t7: not a Torch7 file: an object of unknown kind"):
        read_torch7(tmp_path / "a.t7")
