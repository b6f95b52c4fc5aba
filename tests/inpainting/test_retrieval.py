"""The exact search for neighbours, against all distances in float64."""

import pytest
import torch

from cebench.inpainting import retrieval
from cebench.inpainting.retrieval import nearest_neighbours


@pytest.fixture(params=[torch.bfloat16, torch.float32], autouse=True)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer must not depend on how coarse the first look is."""
    monkeypatch.setattr(retrieval, "_product_precision", lambda _: request.param)


def noise(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_neighbours_are_those_of_all_distances_in_float64(scale: float) -> None:
    gallery, queries = noise(300, 40) * scale + 10, noise(50, 40, seed=1) * scale + 10
    distances = torch.cdist(queries.double(), gallery.double())
    expected = distances.sort(dim=1)
    index, distance = nearest_neighbours(queries, gallery, 3)
    assert torch.equal(index, expected.indices[:, :3])
    torch.testing.assert_close(distance, expected.values[:, :3])


def test_neighbours_are_those_of_the_written_out_loop() -> None:
    gallery, queries = noise(70, 5).clamp(min=0), noise(9, 5, seed=1).clamp(min=0)
    for query, found in zip(queries, nearest_neighbours(queries, gallery)[0], strict=True):
        best, best_distance = 0, float("inf")
        for number, row in enumerate(gallery):
            distance = sum((a - b) ** 2 for a, b in zip(query.tolist(), row.tolist(), strict=True))
            if distance < best_distance:
                best, best_distance = number, distance
        assert found.tolist() == [best]


def test_equal_neighbours_are_settled_by_the_lowest_index() -> None:
    gallery = noise(20, 7).repeat(30, 1)
    index, distance = nearest_neighbours(gallery[200:240].clone(), gallery, 2)
    assert torch.equal(index[:, 0], torch.arange(200, 240) % 20)
    assert torch.equal(index[:, 1], index[:, 0] + 20)
    assert not distance.any()


def test_near_ties_are_decided_exactly_where_float32_products_cannot() -> None:
    # 1e4 + 0.002 and 1e4 + 0.001 from 1e4: squared norms of 1e8 swallow the difference.
    gallery = torch.full((2, 1), 1e4)
    gallery[0] += 0.002
    gallery[1] += 0.001
    index, distance = nearest_neighbours(torch.full((1, 1), 1e4), gallery)
    assert index.tolist() == [[1]]
    assert distance.item() == pytest.approx((gallery[1].double() - 1e4).item())


def test_rows_that_are_all_equal_are_found_in_their_order() -> None:
    index, distance = nearest_neighbours(noise(3, 9), torch.full((200, 9), 0.1), 2)
    assert index.tolist() == [[0, 1]] * 3
    assert torch.equal(distance[:, 0], distance[:, 1])


def test_bytes_are_searched_as_they_are() -> None:
    # Squared distances to (10, 250): 100 + 0, 0 + 1, 4 + 1.
    gallery = torch.tensor([[0, 250], [10, 249], [12, 251]], dtype=torch.uint8)
    index, distance = nearest_neighbours(torch.tensor([[10, 250]], dtype=torch.uint8), gallery, 3)
    assert index.tolist() == [[1, 2, 0]]
    assert distance.square().tolist() == [[1, pytest.approx(5), pytest.approx(100)]]
