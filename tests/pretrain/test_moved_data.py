"""A run that goes on learns from the images that it began with, wherever they lie."""

import shutil
from pathlib import Path

import pytest
from blurred_photos import save_photos
from power_cuts import power_cut

from cebench.data.store.packing import prepare_store
from cebench.errors import InputError
from cebench.pretrain.egomotion import Egomotion
from cebench.pretrain.reconstruction import Reconstruction
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.sources import load_source

OF_METHOD = {
    "autoencoder": ("steps=2", "batch_size=2", "held_out_images=1"),
    "egomotion": ("steps=2", "batch_size=4", "held_out_pairs=8", "batch_norm=false"),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two folders of two images each, by whose names they are ordered."""
    for year in ("2019", "2020"):
        save_photos(tmp_path / "p" / year, [(60, 40), (50, 50)], colours=int(year) - 2015)
    return tmp_path / "p"


def request(photos: Path, out: Path, method: str = "autoencoder") -> Request:
    changes = (*OF_METHOD[method], "checkpoint_every=1", "log_every=1")
    return Request(
        method=method, data=(photos,), out=out, recipe="smoke", device="cpu", changes=changes
    )


def test_a_renamed_folder_is_another_order_of_the_same_data(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "elsewhere")
    prepare_store([photos], tmp_path / "store", short_side=24)
    before, elsewhere, packed = (
        load_source([tmp_path / name], [], "train", 24) for name in ("p", "elsewhere", "store")
    )
    assert elsewhere.order == packed.order == before.order
    (photos / "2019").rename(photos / "archive-2019")
    after = load_source([photos], [], "train", 24)
    assert after.fingerprint == before.fingerprint
    assert after.order != before.order


@pytest.mark.parametrize(
    ("method", "program"),
    [
        ("autoencoder", Reconstruction),
        pytest.param("egomotion", Egomotion, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_in_its_own_order_alone(
    photos: Path, tmp_path: Path, method: str, program: type
) -> None:
    with power_cut(program, 1):
        run_pretraining(request(photos, tmp_path / "run", method))
    shutil.copytree(photos, tmp_path / "elsewhere")
    (photos / "2019").rename(photos / "archive-2019")
    with pytest.raises(InputError, match=r"began with, but in another order.*--no-resume"):
        run_pretraining(request(photos, tmp_path / "run", method))
    resumed = run_pretraining(request(tmp_path / "elsewhere", tmp_path / "run", method))
    # Finished, its numbers are those of the same images in whatever order they now stand.
    assert run_pretraining(request(photos, tmp_path / "run", method)) == resumed
