"""What a dry run lists is what the run leaves."""

from pathlib import Path

import pytest
from blurred_photos import save_photos

from cebench.pretrain.dry_run import plan
from cebench.pretrain.run import Request, run_pretraining

FEW = ("steps=2", "batch_size=2", "held_out_images=1", "log_every=1")
BOOKKEEPING = {"run.lock", "data_stamp.txt", "region_shapes_stamp.txt"}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("random", ()),
        ("imagenet", ("units=8", "weights_at=[1]")),
        *(
            pytest.param(*run, marks=pytest.mark.slow)
            for run in (
                ("autoencoder", ()),
                ("context", ("held_out_images=0",)),
                ("context", ("pooling=none", "side=227", "short_side=227")),
                ("context-gan", ("bottleneck=4", "weights_at=[1]")),
                ("relative-context", ("units=16",)),
                ("egomotion", ("held_out_images=2",)),
            )
        ),
    ],
)
def test_a_dry_run_lists_what_the_run_leaves(
    tmp_path: Path, method: str, changes: tuple[str, ...]
) -> None:
    for name in ("a", "b"):
        save_photos(tmp_path / "photos" / name, [(60, 40), (40, 60), (50, 50)])
    request = Request(
        method=method,
        data=() if method == "random" else (tmp_path / "photos",),
        out=tmp_path / "run",
        recipe="smoke",
        changes=(*FEW, *changes) if method != "random" else (),
        device="cpu",
    )
    listed = plan(request)["outputs"]
    run_pretraining(request)
    left = [f"{path.name}/" if path.is_dir() else path.name for path in request.out.iterdir()]
    assert sorted(listed) == sorted({*left} - BOOKKEEPING)
