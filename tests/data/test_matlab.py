import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from cebench.data.matlab import LIMIT, check_nesting, uint8_matrix

LABELS = np.arange(60, dtype=np.uint8).reshape(6, 10)
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


def mat_file(content: dict[str, object], *, compressed: bool = True) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


def sbd_file(labels: np.ndarray = LABELS, *, compressed: bool = True) -> bytes:
    """As SBD writes it: the labels between a cell array and a row of numbers."""
    cells = np.empty((3, 1), dtype=object)
    cells[:] = [[np.zeros((2, 3))], ["text"], [{"deep": 1}]]
    fields = {"Boundaries": cells, "Segmentation": labels, "CategoriesPresent": np.arange(4)}
    return mat_file({"other": "first", "GTcls": fields, "last": 1}, compressed=compressed)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array_header(array_class: int, shape: tuple[int, int], name: bytes) -> bytes:
    flags = element(6, struct.pack("<II", array_class, 0))
    return flags + element(5, struct.pack("<2i", *shape)) + element(1, name)


def packed(*variables: bytes) -> bytes:
    content = HEADER
    for variable in variables:
        data = zlib.compress(variable)
        content += struct.pack("<II", 15, len(data)) + data
    return content


def numbers(count: int) -> bytes:
    """A variable of `count` zero bytes."""
    return element(14, array_header(9, (1, count), b"numbers") + element(2, bytes(count)))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(6, 10), (1, 1), (1, 3), (500, 375)])
def test_what_scipy_writes_is_read(shape: tuple[int, int], compressed: bool) -> None:
    labels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = uint8_matrix(sbd_file(labels, compressed=compressed), "GTcls", "Segmentation")
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, labels)


def test_a_file_of_a_big_endian_machine_is_read() -> None:
    def big(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def array(array_class: int, name: bytes, values: bytes) -> bytes:
        flags = big(6, struct.pack(">II", array_class, 0))
        shape = (1, 1) if array_class == 2 else (2, 3)
        return big(14, flags + big(5, struct.pack(">2i", *shape)) + big(1, name) + values)

    labels = array(9, b"", big(2, bytes([0, 3, 1, 4, 2, 5])))
    names = big(5, struct.pack(">i", 32)) + big(1, b"Segmentation".ljust(32, b"\0"))
    content = HEADER[:-4] + struct.pack(">H", 0x0100) + b"MI" + array(2, b"GTcls", names + labels)
    assert uint8_matrix(content, "GTcls", "Segmentation").tolist() == [[0, 1, 2], [3, 4, 5]]


def five_thousand_nested_cells() -> bytes:
    """10 kB on which scipy.io.loadmat ends the process (segmentation fault)."""
    nested, name = b"", b"GTcls"
    levels = [array_header(1, (1, 1), b"" if depth else name) for depth in range(5000)]
    sizes = np.cumsum([len(level) + 8 for level in reversed(levels)])[::-1]
    for level, size in zip(levels, sizes.tolist(), strict=True):
        nested += struct.pack("<II", 14, size - 8) + level
    return packed(nested)


def test_five_thousand_nested_cells_are_stepped_over_or_refused() -> None:
    content = five_thousand_nested_cells()
    with pytest.raises(ValueError, match="expected that GTcls is a struct"):
        uint8_matrix(content, "GTcls", "Segmentation")
    with pytest.raises(ValueError, match="has no Other"):
        uint8_matrix(content, "Other", "Segmentation")


def test_deep_nesting_is_refused_before_scipy_sees_it() -> None:
    with pytest.raises(ValueError, match="at most 4 deep"):
        check_nesting(five_thousand_nested_cells())
    boxes = np.empty((2, 1), dtype=object)
    boxes[:] = [[np.zeros((3, 4))], [np.ones((1, 4))]]
    for compressed in (True, False):
        check_nesting(mat_file({"boxes": boxes, "images": boxes}, compressed=compressed))


def test_no_file_unpacks_to_more_than_the_limit() -> None:
    bomb = packed(struct.pack("<II", 14, LIMIT) + bytes(LIMIT))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="below 16 MiB"):
        uint8_matrix(bomb, "GTcls", "Segmentation")
    with pytest.raises(ValueError, match="more than 16 MiB"):
        uint8_matrix(HEADER + bytes(LIMIT), "GTcls", "Segmentation")


def test_the_variables_of_a_file_share_one_limit() -> None:
    """Each fits, all together do not: 100 variables of 16 MiB would otherwise all be unpacked."""
    three = packed(*[numbers(LIMIT // 2)] * 3)
    with pytest.raises(ValueError, match="below 16 MiB in all"):
        uint8_matrix(three, "GTcls", "Segmentation")
    with pytest.raises(ValueError, match="has no GTcls"):
        uint8_matrix(packed(numbers(LIMIT // 2)), "GTcls", "Segmentation")


def test_a_file_for_scipy_is_unpacked_within_bounds_one_variable_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = packed(*[numbers(1 << 20)] * 40)
    tracemalloc.start()
    try:
        check_nesting(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    monkeypatch.setattr("cebench.data.matlab._LARGEST", 20 << 20)
    with pytest.raises(ValueError, match="below 20 MiB in all"):
        check_nesting(content)


@pytest.mark.parametrize("shape", [(60000, 60000), (-6, -10), (0, 60), (6, 11)])
def test_a_shape_that_the_values_do_not_fill_is_refused(shape: tuple[int, int]) -> None:
    labels = element(14, array_header(9, shape, b"") + element(2, bytes(60)))
    names = element(5, struct.pack("<i", 32)) + element(1, b"Segmentation".ljust(32, b"\0"))
    gtcls = element(14, array_header(2, (1, 1), b"GTcls") + names + labels)
    with pytest.raises(ValueError, match="as many values as its shape"):
        uint8_matrix(HEADER + gtcls, "GTcls", "Segmentation")


@pytest.mark.parametrize(
    "content",
    [
        {"GTcls": np.zeros((2, 2))},
        {"GTcls": {"Labels": LABELS}},
        {"GTcls": {"Segmentation": LABELS.astype(np.uint16)}},
        {"GTcls": {"Segmentation": "text"}},
        {"GTcls": {"Segmentation": {"Segmentation": LABELS}}},
        {"GTcls": np.array([[LABELS, LABELS]], dtype=object)},
        {"GTcls": np.array([[(LABELS,), (LABELS,)]], dtype=[("Segmentation", object)])},
    ],
)
def test_anything_but_a_struct_with_a_uint8_matrix_is_refused(content: dict[str, object]) -> None:
    for compressed in (True, False):
        with pytest.raises(ValueError, match=r"has no|expected"):
            uint8_matrix(mat_file(content, compressed=compressed), "GTcls", "Segmentation")


@settings(max_examples=300)
@given(
    compressed=st.booleans(),
    cut=st.integers(0, 2000),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
)
def test_any_damage_is_an_error_of_one_kind_or_harmless(
    compressed: bool, cut: int, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(sbd_file(compressed=compressed))
    for place, value in changes:
        content[place % len(content)] = value
    damaged = bytes(content[: len(content) - cut % len(content)])
    try:
        found = uint8_matrix(damaged, "GTcls", "Segmentation")
    except ValueError:
        return
    assert found.ndim == 2
    assert found.size == 60
