import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from foreign_files import Torch7Writer, caffe_net
from safetensors.torch import save_file
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.backbones import CAFFENET_WITHOUT_GROUPS
from cebench.models.caffenet import CaffeNetTrunk, he_weights, preprocess
from cebench.models.inpainting_gan import InpaintingGenerator
from cebench.transfer.inpainting.prediction import features_row
from cebench.weights.descriptions import PRESETS
from cebench.weights.files import Weights, load_weights
from cebench.weights.importing import Imported, import_weights
from cebench.weights.loading import load_backbone, load_module

PIXELS = torch.randint(0, 256, (1, 3, 227, 227), generator=torch.Generator().manual_seed(0))


def trunk(groups: bool = True) -> CaffeNetTrunk:
    network = CaffeNetTrunk(groups=groups)
    he_weights(network, torch.Generator().manual_seed(1))
    return network.eval()


def blobs(network: CaffeNetTrunk) -> dict[str, list[Tensor]]:
    state = network.state_dict()
    return {f"conv{n}": [state[f"conv{n}.weight"], state[f"conv{n}.bias"]] for n in range(1, 6)}


def written(folder: Path, layers: dict[str, list[Tensor]], **types: str) -> Path:
    file = folder / "net.caffemodel"
    file.write_bytes(caffe_net(layers, **types).SerializeToString())
    return file


def like(name: str, file: Path, **options: str) -> tuple[Imported, Weights]:
    out = file.parent / "out"
    imported = import_weights(file, None, None, out, like=name, **options)  # type: ignore[arg-type]
    return imported, load_weights(imported.path)


def pool5(weights: Weights) -> Tensor:
    with torch.no_grad():
        features: Tensor = load_backbone(weights)[0].trunk(preprocess(PIXELS))
    return features


@pytest.mark.parametrize("name", ["context-encoder", "wang-gupta", "agrawal"])
def test_caffe_nets_of_the_table_take_bgr_minus_the_mean(name: str, tmp_path: Path) -> None:
    theirs = trunk()
    fc7 = [torch.zeros(1024, 8), torch.zeros(1024)]  # Another size than ours: left out.
    file = written(tmp_path, {**blobs(theirs), "fc7": fc7}, fc7="InnerProduct")
    imported, weights = like(name, file)
    bgr = PIXELS.flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(pool5(weights), theirs(bgr), rtol=1e-3, atol=1e-3)
    assert weights.sidecar.method == PRESETS[name].method
    assert imported.proof.unexpected == ("fc7.weight", "fc7.bias")
    assert imported.transformed["conv1.weight"] == "BGR to RGB"


@pytest.mark.slow
def test_the_reference_caffenet_keeps_its_numbers_and_fc6_and_fc7(tmp_path: Path) -> None:
    fc = {"fc6": [torch.rand(4096, 9216), torch.rand(4096)]}
    fc["fc7"] = [torch.rand(4096, 4096), torch.rand(4096)]
    file = written(tmp_path, {**blobs(trunk()), **fc}, fc6="InnerProduct", fc7="InnerProduct")
    _, weights = like("caffenet", file)
    assert torch.equal(weights.tensors["conv1.weight"], trunk().conv1.weight.flip(1))
    assert torch.equal(weights.tensors["fc6.weight"], fc["fc6"][0])
    assert torch.equal(weights.tensors["fc7.bias"], fc["fc7"][1])


def test_doerschs_net_has_no_groups_and_its_normalisations_are_folded(tmp_path: Path) -> None:
    theirs = trunk(groups=False)
    torch.manual_seed(0)
    layers: dict[str, list[Tensor]] = {}
    statistics = {}
    for name, pair in blobs(theirs).items():
        layers[name] = pair
        if name in ("conv3", "conv4", "conv5"):
            mean, variance = torch.randn(len(pair[1])), torch.rand(len(pair[1])) + 0.5
            statistics[name] = (mean, variance)
            layers[f"bn{name[-1]}"] = [mean * 2, variance * 2, torch.tensor([2.0])]
    file = written(tmp_path, layers, bn3="BatchNorm", bn4="BatchNorm", bn5="BatchNorm")
    imported, weights = like("doersch", file)
    assert weights.sidecar.architecture == CAFFENET_WITHOUT_GROUPS
    assert imported.transformed["conv4.weight"] == "bn4 folded in"
    with torch.no_grad():
        x = theirs.norm2(theirs.pool1_and_pool2(preprocess(PIXELS))[1])
        for name, (mean, variance) in statistics.items():
            x = F.relu(F.batch_norm(getattr(theirs, name)(x), mean, variance))
        torch.testing.assert_close(pool5(weights), theirs.pool5(x), rtol=1e-3, atol=1e-3)


def test_a_net_without_groups_says_which_trunk_fits(tmp_path: Path) -> None:
    file = written(tmp_path, blobs(trunk(groups=False)))
    message = "its conv2 takes 96 channels, so it is a caffenet-nogroups; give --as"
    with pytest.raises(InputError, match=message):
        like("context-encoder", file)
    file = written(tmp_path, blobs(trunk()))
    with pytest.raises(InputError, match="so it is a caffenet; give --as caffenet"):
        like("doersch", file)


def test_layers_of_other_names_are_found_by_their_shapes(tmp_path: Path) -> None:
    layers = {f"c{name[-1]}": pair for name, pair in blobs(trunk()).items()}
    imported, _ = like("agrawal", written(tmp_path, layers))
    assert imported.transformed["conv5.bias"] == "named c5.bias"
    twins = {f"{name}_{twin}": pair for name, pair in blobs(trunk()).items() for twin in "ab"}
    (tmp_path / "two").mkdir()
    with pytest.raises(InputError, match=r"0 of 10 tensors fit; missing conv1\.weight"):
        like("agrawal", written(tmp_path / "two", twins))


def torch7_generator(ours: InpaintingGenerator, bias: float, last_bias: float) -> bytes:
    """Our generator as train.lua nests it: the encoder, a normalisation, then the decoder."""
    modules = []
    layers = [
        m for m in ours.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
    ]
    for layer in layers:
        weight = layer.weight.detach()
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            fields = {
                "weight": weight,
                "bias": layer.bias.detach(),
                "running_mean": layer.running_mean + bias,
                "running_var": layer.running_var,
            }
            modules.append(("nn.SpatialBatchNormalization", fields))
            continue
        first_or_last = layer is layers[0] or layer is layers[-1]
        channels = weight.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
        value = torch.full((channels,), last_bias if first_or_last else bias)
        matrix = isinstance(layer, nn.Conv2d) and layer is not layers[0]  # As the oldest files.
        modules.append(
            (
                "nn.SpatialConvolution",
                {"weight": weight.flatten(1) if matrix else weight, "bias": value},
            )
        )
    encoder = ("nn.Sequential", {"modules": modules[:10]})
    return Torch7Writer().write(("nn.Sequential", {"modules": [encoder, *modules[10:]]})).bytes()


@pytest.fixture(scope="module")
def generator() -> InpaintingGenerator:
    network = InpaintingGenerator(bottleneck=20, generator=torch.Generator().manual_seed(3)).eval()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features) / 10)
            module.running_var.copy_(torch.rand(module.num_features) + 0.5)
    return network


def test_a_released_inpainting_model_predicts_what_it_predicted(
    generator: InpaintingGenerator, tmp_path: Path
) -> None:
    file = tmp_path / "paris.t7"
    file.write_bytes(torch7_generator(generator, bias=0.25, last_bias=0.001))
    imported, weights = like("inpaint-center", file)
    assert imported.path.name == "model.safetensors"
    values = weights.sidecar.recipe_values
    assert (values["side"], values["bottleneck"], values["overlap"]) == (128, 20, 4)
    assert features_row(weights.sidecar) == "nn-features"
    ours = InpaintingGenerator(bottleneck=20).eval()
    load_module(ours, weights, "inpainting-generator")
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(images), generator(images), rtol=1e-4, atol=1e-5)
    assert imported.transformed["encoder.0.weight"] == "named 0.0, biases up to 0.001 left out"
    assert imported.transformed["encoder.3.weight"] == "named 0.2, the bias before it folded in"


@pytest.mark.parametrize("name", ["main.{}", "{}"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_generator_of_pytorch_comes_back_from_any_file_and_under_our_own_names(
    generator: InpaintingGenerator, tmp_path: Path, name: str, suffix: str
) -> None:
    """safetensors sorts by name: decoder before encoder, main.10 before main.2."""
    layers = [(n, m) for n, m in generator.named_modules() if not list(m.children())]
    state = {
        f"{name.format(number if name == 'main.{}' else own)}.{kind}": value
        for number, (own, module) in enumerate(layers)
        for kind, value in module.state_dict().items()
    }
    file = tmp_path / f"generator{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    _, weights = like("inpaint-center", file)
    for own, value in generator.state_dict().items():
        torch.testing.assert_close(weights.tensors[own], value, rtol=0, atol=0)


def test_what_a_generator_of_ours_cannot_hold_is_refused(
    generator: InpaintingGenerator, tmp_path: Path
) -> None:
    file = tmp_path / "a.t7"
    file.write_bytes(torch7_generator(generator, bias=0.0, last_bias=0.5))
    with pytest.raises(InputError, match=r"0\.0\.bias is up to 0\.5, and this layer of our"):
        like("inpaint-center", file)
    file.write_bytes(
        Torch7Writer()
        .write(("nn.Sequential", {"modules": [("nn.Linear", {"weight": torch.ones(2)})]}))
        .bytes()
    )
    with pytest.raises(InputError, match="1 layers with weights, expected the 20 of a generator"):
        like("inpaint-center", file)


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    file = tmp_path / "a.caffemodel"
    with pytest.raises(
        InputError, match="--like alexnet: expected one of context-encoder, doersch"
    ):
        like("alexnet", file)
    with pytest.raises(InputError, match="--as and --method are missing; give both, or --like"):
        import_weights(file, None, "x", tmp_path / "out")
    with pytest.raises(InputError, match=r"--method 'a\\tb': a name stands in one line"):
        import_weights(file, "caffenet", "a\tb", tmp_path / "out")
    with pytest.raises(InputError, match="--as caffenet: --like doersch is a caffenet-nogroups"):
        import_weights(file, "caffenet", None, tmp_path / "out", like="doersch")
    with pytest.raises(InputError, match=re.escape("a.caffemodel: no such file")):
        like("doersch", file)
    with pytest.raises(InputError, match=r"m\.toml: inpainting-generator is read by its"):
        import_weights(
            file, None, None, tmp_path / "out", like="inpaint-center", mapping=tmp_path / "m.toml"
        )
