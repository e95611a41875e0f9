"""The libraries themselves beside the networks here: needs the extra `torch`, and torchvision.

pip install torch torchvision timm
pytest -m torch
"""

import json
import pickle
import zipfile

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.conversion import convert_weights
from keras_classics.weights.formats import torchvision
from keras_classics.weights.records import TIMM, TORCHVISION
from keras_classics.weights.timm_records import TRAINED, views
from tests.helpers import parity
from tests.helpers.images import photograph
from tests.helpers.stored_outputs import TOLERANCE, assert_near
from tests.helpers.weight_files import assert_refused

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def models():
    return parity.import_torchvision()


@pytest.mark.parametrize("name", parity.TORCHVISION)
def test_state_dicts_of_torchvision(models, name, tmp_path):
    ours = parity.TORCHVISION[name]
    torch.manual_seed(0)
    network = getattr(models, name)(weights=None).eval()
    for tensor_name, tensor in network.state_dict().items():
        if "running" in tensor_name:
            tensor.copy_(torch.from_numpy(parity.generated(tensor_name, tuple(tensor.shape))))
    path = tmp_path / "there.pth"
    torch.save(network.state_dict(), path)
    image = parity.image((224, 224, 3))
    with torch.no_grad():
        expected = network(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy()
    model = kc.get_model(ours, weights=path, input_shape=(224, 224, 3), classifier_activation=None)
    found = model.predict(image, verbose=0)
    assert found.argmax() == expected.argmax()
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)

    # And back, to the same bits.
    torchvision.write(model, tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    state = network.state_dict()
    assert set(back) == {n for n in state if not n.endswith("num_batches_tracked")}
    for tensor_name, tensor in back.items():
        assert torch.equal(tensor, state[tensor_name])
    network.load_state_dict(back)


@pytest.mark.parametrize("case", parity.CASES)
def test_stored_outputs_are_what_the_libraries_give(models, case):
    pytest.importorskip("timm")
    stored = json.loads(parity.PATH.read_text())[case]
    assert_near(parity.theirs(case), stored)


def test_there_and_back_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    torchvision.write(kc.resnet18(), first)
    convert_weights(first, "resnet18", tmp_path / "a.weights.h5")
    convert_weights(tmp_path / "a.weights.h5", "resnet18", second, "torchvision")
    there, back = (torch.load(path, weights_only=True) for path in (first, second))
    assert list(there) == list(back)
    assert all(torch.equal(there[name], back[name]) for name in there)


def test_a_conversion_is_proven_in_torchvision(models, tmp_path):
    theirs = models.resnet50(weights=None, num_classes=3)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "a.pth")
    arguments = {"classes": 3, "input_shape": (64, 64, 3)}
    target = tmp_path / "a.safetensors"
    converted = convert_weights(
        tmp_path / "a.pth", "resnet50", target, "torchvision", version="v1.5", **arguments
    )
    for side in converted.proof:
        assert side.library.startswith("torchvision")
        assert side.difference < TOLERANCE
    with pytest.raises(UserError, match="must equal those of torchvision"):
        convert_weights(
            tmp_path / "a.pth", "resnet50", tmp_path / "b.weights.h5", version="v1", **arguments
        )
    assert not (tmp_path / "b.weights.h5").exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {}),
        ("resnet18", {"pooling": "avg"}),
        ("vgg11_bn", {"pooling": "max"}),
        ("alexnet_owt", {}),
    ],
    ids=str,
)
def test_a_conversion_of_a_trunk_is_proven(models, name, arguments, tmp_path):
    theirs = getattr(models, name.removesuffix("_owt"))(weights=None, num_classes=3)
    trunk = {n: t for n, t in theirs.state_dict().items() if not n.startswith(("fc", "classif"))}
    torch.save({"model": {f"backbone.{n}": t for n, t in trunk.items()}}, tmp_path / "a.pth")
    arguments = {"include_top": False, "input_shape": (64, 64, 3), **arguments}
    converted = convert_weights(
        tmp_path / "a.pth", name, tmp_path / "a.weights.h5", "keras", **arguments
    )
    (proof,) = converted.proof
    assert proof.library.startswith("torchvision")
    assert proof.difference < TOLERANCE


@pytest.mark.parametrize(
    "arguments", [{"shortcut": "C"}, {"shortcut": "none", "include_top": False}], ids=str
)
def test_a_network_that_torchvision_has_not_is_not_compared(models, arguments, tmp_path):
    arguments = {"input_shape": (64, 64, 3), **arguments}
    kc.resnet18(**arguments).save_weights(tmp_path / "a.weights.h5")
    converted = convert_weights(
        tmp_path / "a.weights.h5", "resnet18", tmp_path / "a.pth", "torchvision", **arguments
    )
    (proof,) = converted.proof
    assert proof.difference is None
    assert "only one of the two has a tensor 'layer" in proof.reason


def test_records_are_torchvisions(models):
    for (name, version), (file, digest, accuracy) in TORCHVISION.items():
        theirs = models.get_model_weights(name.removesuffix("_owt"))[f"IMAGENET1K_V{version}"]
        record = kc.find_weights(f"{name}/imagenet_torchvision" + ("_v2" if version == 2 else ""))
        assert theirs.url == record.file.url
        assert digest.startswith(file.rsplit("-", 1)[1].removesuffix(".pth"))
        metrics = theirs.meta["_metrics"]["ImageNet-1K"]
        assert accuracy == (metrics["acc@1"], metrics["acc@5"])
        assert record.labels == tuple(theirs.meta["categories"])
        transforms, layer = theirs.transforms(), record.preprocessing()
        assert transforms.crop_size == [layer.crop]
        assert transforms.resize_size == [layer.short_side]
        np.testing.assert_allclose(np.multiply(transforms.mean, 255), layer.mean)
        np.testing.assert_allclose(np.multiply(transforms.std, 255), layer.std)


def test_records_are_timms(models):
    timm = pytest.importorskip("timm")
    for name in TIMM:
        theirs = timm.get_pretrained_cfg(f"{name}.tv_in1k")
        record = kc.find_weights(f"{name}/imagenet_timm")
        assert f"huggingface.co/{theirs.hf_hub_id}/" in record.file.url
        assert theirs.license in record.licence.lower()
        layer = record.preprocessing()
        assert theirs.input_size == (3, layer.crop, layer.crop)
        assert layer.short_side == int(layer.crop / theirs.crop_pct)
        assert theirs.interpolation == "bilinear"


@pytest.mark.parametrize(("name", "recipe"), TRAINED)
def test_records_of_what_timm_trained(name, recipe):
    timm = pytest.importorskip("timm")
    theirs = timm.get_pretrained_cfg(f"{name}.{recipe}_in1k")
    record = kc.find_weights(f"{name}/imagenet_timm_{recipe}")
    # The project has moved; its old address leads to the new one.
    assert theirs.url.replace("/rwightman/pytorch-image", "/huggingface/pytorch-image") == (
        record.file.url
    )
    assert theirs.license in record.licence.lower()
    layer, (small, measured) = record.preprocessing(), views(name, recipe)
    assert layer.interpolation == theirs.interpolation
    np.testing.assert_allclose(np.multiply(theirs.mean, 255), layer.mean)
    np.testing.assert_allclose(np.multiply(theirs.std, 255), layer.std)
    assert (layer.crop, layer.short_side) == (small.side, small.short_side)
    there = {(theirs.input_size[1], theirs.crop_pct)}
    if theirs.test_input_size:
        there.add((theirs.test_input_size[1], theirs.test_crop_pct or theirs.crop_pct))
    assert there >= {(measured.side, measured.share)}
    assert small == measured or (small.side, small.share) in there


def test_bicubic_preprocessing_is_timms():
    data = pytest.importorskip("timm.data")
    from PIL import Image

    photo = photograph()
    for recipe in ("a1", "bt", "gluon"):
        view, _ = views("resnet50", recipe)
        transform = data.create_transform(
            (3, view.side, view.side), interpolation="bicubic", crop_pct=view.share
        )
        expected = transform(Image.fromarray(photo)).permute(1, 2, 0).numpy()
        found = kc.preprocessing(f"resnet50/imagenet_timm_{recipe}")(photo).numpy()
        levels = np.abs(found - expected) * 255 * np.array([0.229, 0.224, 0.225])
        assert levels.max() < 2
        assert np.mean(levels < 1) > 0.99


class Harm:
    """Unpickling an object of this class writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, zipped):
    path, trace = tmp_path / "harm.pth", tmp_path / "was_run"
    if zipped:
        torch.save({"conv1.weight": Harm(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"conv1.weight": Harm(trace)}))
    assert_refused(
        kc.resnet20(), path, "objects besides tensors, which are not|not an intact torch"
    )
    assert not trace.exists()


def test_a_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "network.pth")
    assert_refused(kc.resnet20(), tmp_path / "network.pth", "a whole model .*Linear")


def test_an_archive_with_a_path_out_of_it_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torchvision.write(kc.resnet20(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", "")
    assert_refused(kc.resnet20(), path, r"leads out of it, '\.\./outside'")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "a.pth"
    torchvision.write(kc.resnet20(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(kc.resnet20(), path, "cannot be loaded into resnet20")


def test_bfloat16_is_loaded(tmp_path):
    source = kc.resnet20()
    torchvision.write(source, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({name: tensor.bfloat16() for name, tensor in state.items()}, tmp_path / "a.pth")
    model = kc.resnet20(weights=tmp_path / "a.pth")
    np.testing.assert_allclose(model.weights[0], source.weights[0], rtol=2**-8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "not a state_dict"),
        ([1, 2], "not a state_dict"),
        ({1: torch.zeros(2)}, "no tensor that the network has.* It has 1"),
        ({"a": torch.eye(2).to_sparse()}, "no tensor that the network has.* It has a"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    assert_refused(kc.resnet20(), tmp_path / "a.pth", message)


def test_preprocessing_is_torchvisions(models):
    from PIL import Image

    for name in ("resnet50/imagenet_torchvision", "resnet50/imagenet_torchvision_v2"):
        version = "IMAGENET1K_V2" if name.endswith("_v2") else "IMAGENET1K_V1"
        transforms = models.get_model_weights("resnet50")[version].transforms()
        photo = photograph()
        expected = transforms(Image.fromarray(photo)).permute(1, 2, 0).numpy()
        found = kc.preprocessing(name)(photo[np.newaxis])[0].numpy()
        levels = np.abs(found - expected) * 255 * np.array([0.229, 0.224, 0.225])
        assert levels.max() < 2
        assert levels.mean() < 0.5
