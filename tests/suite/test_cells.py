import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cebench.errors import InputError
from cebench.suite.cells import Cell, blocked, check_names, content_key, in_order, ready


def cell(name: str, *needs: str) -> Cell:
    return Cell(name=name, verb="pretrain", key=content_key(name), needs=needs)


DIAMOND = [cell("toy"), cell("a", "toy"), cell("b", "toy"), cell("top", "a", "b")]


def test_a_cell_lies_in_a_folder_of_its_name_and_key() -> None:
    one = Cell(name="context-p0", verb="pretrain", key="0123456789abcdef")
    assert one.folder == "runs/context-p0-01234567"
    assert one.result == "runs/context-p0-01234567/record.json"
    drawn = Cell(name="toy", verb="draw", key="0123456789abcdef")
    assert drawn.result == "data/toy-01234567/toy.json"


def test_keys_depend_on_every_part_and_not_on_the_order_of_names() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    parts = [("draw", 1), ("draw", 2), ("track", 1), ("draw", [1]), ("draw", "1")]
    assert len({content_key(*part) for part in parts}) == len(parts)


def test_cells_are_ready_when_all_that_they_need_is_finished() -> None:
    assert [c.name for c in ready(DIAMOND, [], [])] == ["toy"]
    assert [c.name for c in ready(DIAMOND, ["toy"], ["b"])] == ["a"]
    assert ready(DIAMOND, ["toy", "a"], ["b"]) == []
    assert [c.name for c in ready(DIAMOND, ["toy", "a", "b"], [])] == ["top"]


def test_what_needs_a_failed_cell_names_it() -> None:
    assert blocked(DIAMOND, ["a"]) == {"top": "a"}
    assert blocked(DIAMOND, ["toy"]) == {"a": "toy", "b": "toy", "top": "toy"}
    assert blocked(DIAMOND, []) == {}


def test_two_cells_of_one_name_are_refused() -> None:
    check_names(DIAMOND)
    with pytest.raises(InputError, match=r"two cells are called 'a' \(pretrain and pretrain\)"):
        check_names([*DIAMOND, cell("a")])


def test_a_cycle_is_shown() -> None:
    with pytest.raises(InputError, match="b -> c -> b: a cycle"):
        in_order({"a": ["b"], "b": ["c"], "c": ["b"]})
    with pytest.raises(InputError, match="a -> a: a cycle"):
        in_order({"a": ["a"]})


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_the_order_holds_every_need_before_what_needs_it_or_there_is_a_cycle(
    pairs: set[tuple[int, int]],
) -> None:
    needs = {str(n): [str(b) for a, b in sorted(pairs) if a == n] for n in range(7)}
    # By brute force: an order exists if and only if some permutation keeps all pairs.
    possible = any(
        all(order.index(b) < order.index(a) for a, b in pairs)
        for order in itertools.permutations(range(7))
    )
    if not possible:
        with pytest.raises(InputError, match="a cycle"):
            in_order(needs)
        return
    order = in_order(needs)
    assert sorted(order) == sorted(needs)
    assert all(order.index(str(b)) < order.index(str(a)) for a, b in pairs)
