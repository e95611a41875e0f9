"""Records of published weights, and builders that take their names."""

import dataclasses
import hashlib
import inspect
import re

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.weights import records
from keras_classics.weights.download import RemoteFile
from keras_classics.weights.formats import torchvision
from keras_classics.weights.imagenet import CLASSES as IMAGENET
from tests.helpers.golden import fill
from tests.helpers.programs import ROOT

NAMES = kc.list_weights()

# Its hashes of weights have no public name.
keras_resnet = inspect.getmodule(keras.applications.ResNet50)

# Published without accuracies on images of their classes.
UNMEASURED = {
    *(f"caffenet/{name}" for name in ("ilsvrc2013", "places365", "places205")),
    *(f"vgg16/{name}" for name in ("places365", "vgg_face")),
    *(f"{model}/places365" for model in ("alexnet_owt", "resnet18", "resnet50")),
}

# Without a classifier; those of the second set have no published hash.
SELF_SUPERVISED = {
    f"resnet50/imagenet_{name}"
    for name in (
        *("barlow_twins", "deepcluster_v2", "dino", "sela_v2"),
        *("swav", "swav_100", "swav_200", "swav_400", "vicreg"),
    )
}
TRUNKS = {
    "vgg16/imagenet_torchvision_features",
    *(f"resnet50/imagenet_moco_{name}" for name in ("v1", "v2", "v2_200")),
    *SELF_SUPERVISED,
}
MOCO_V3 = {f"resnet50/imagenet_moco_v3{epochs}" for epochs in ("", "_100", "_300")}
UNMEASURED |= TRUNKS

# Published without a hash.
WITHOUT_HASH = {
    *(f"{model}/places365" for model in ("caffenet", "vgg16", "resnet152")),
    *(f"{model}/places205" for model in ("caffenet", "vgg11", "vgg13", "vgg16")),
    "vgg16/vgg_face",
    *(f"{model}/places365" for model in ("alexnet_owt", "resnet18", "resnet50")),
    *SELF_SUPERVISED,
    *MOCO_V3,
}
HTTP_ALONE = (
    "http://dl.caffe.berkeleyvision.org/",
    "http://places.csail.mit.edu/",
    "http://places2.csail.mit.edu/",
    "http://mmlab.siat.ac.cn/",
)

# Accuracies as torchvision's and Keras's pages print them, to one digit.
PUBLISHED = {
    "alexnet_owt/imagenet_torchvision": (56.5, 79.1),
    "vgg16/imagenet_torchvision": (71.6, 90.4),
    "vgg19_bn/imagenet_torchvision": (74.2, 91.8),
    "resnet18/imagenet_timm": (69.8, 89.1),
    "resnet50/imagenet_torchvision": (76.1, 92.9),
    "resnet50/imagenet_torchvision_v2": (80.9, 95.4),
    "resnet152/imagenet_torchvision_v2": (82.3, 96.0),
    "resnet18/imagenet_fb_ssl": (72.6, 91.4),
    "resnet18/imagenet_fb_swsl": (73.3, 91.7),
    "resnet50/imagenet_fb_ssl": (79.2, 94.8),
    "resnet50/imagenet_fb_swsl": (81.2, 96.0),
    "resnet18/imagenet_timm_a1": (73.2, 91.0),
    "resnet50/imagenet_timm_a1": (81.2, 95.1),
    "resnet50/imagenet_timm_gluon": (77.6, 93.7),
    "resnet152/imagenet_timm_a1h": (83.5, 96.5),
    "vgg16/imagenet_keras": (71.3, 90.1),
    "resnet50/imagenet_keras": (74.9, 92.1),
    "resnet101/imagenet_keras_v2": (77.2, 93.8),
    "alexnet/imagenet_caffe": (57.1, 80.2),
    "caffenet/imagenet_caffe": (57.4, 80.4),
    "resnet50/imagenet_caffe": (100 - 24.7, 100 - 7.8),
    "resnet101/imagenet_caffe": (100 - 23.6, 100 - 7.1),
    "resnet152/imagenet_caffe": (100 - 23.0, 100 - 6.7),
    "vgg16/imagenet_caffe": (100 - 25.6, 100 - 8.1),
    "vgg19/imagenet_caffe": (100 - 25.5, 100 - 8.0),
}


# The recipes of timm's ResNets-50.
OF_TIMM = ("a1", "a1h", "a2", "a3", "am", "b1k", "b2k", "bt", "c1", "c2", "d", "gluon", "ra", "ram")


def test_every_network_that_others_publish_has_its_records():
    of_torchvision = {n for n in kc.list_models() if find_model(n).torchvision}
    assert {n.split("/")[0] for n in NAMES if n.endswith("/imagenet_torchvision")} == of_torchvision
    of_keras = {n for n in kc.list_models() if find_model(n).keras_applications}
    assert {n.split("/")[0] for n in NAMES if n.endswith("/imagenet_keras")} == of_keras
    published = (
        *("caffe", "fb_ssl", "fb_swsl", "keras", "keras_v2", "moco_v1", "moco_v2", "moco_v2_200"),
        *("timm", *(f"timm_{recipe}" for recipe in OF_TIMM), "torchvision", "torchvision_v2"),
    )
    assert set(kc.list_weights("resnet50/*")) == {
        *(f"resnet50/imagenet_{name}" for name in published),
        *SELF_SUPERVISED,
        *MOCO_V3,
        "resnet50/places365",
    }
    assert kc.list_weights("vgg*/imagenet_keras") == [
        "vgg16/imagenet_keras",
        "vgg19/imagenet_keras",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_complete(name):
    record = kc.find_weights(name)
    assert record.full_name == name
    parameters = inspect.signature(find_model(record.model).builder).parameters
    assert set(record.arguments) <= set(parameters)
    imagenet_or_own = record.labels == IMAGENET or record.name in ("digits", "fashion_mnist")
    assert imagenet_or_own == (len(record.labels) == parameters["classes"].default)
    assert len(set(record.labels)) >= len(record.labels) - 2  # ImageNet has two names twice.
    assert record.licence
    assert record.origin
    assert record.top1 is None or 50 < record.top1 < 100
    assert None in (record.top1, record.top5) or record.top1 < record.top5
    assert "images" in record.protocol
    assert (record.top1, record.top5) != (None, None) or record.full_name in UNMEASURED
    normalizes = record.model.startswith("resnet") or record.model.endswith("_bn")
    assert (record.epsilon is not None) == (record.momentum is not None) == normalizes
    files = [f for f in (record.file, record.file_without_top) if f is not None]
    for file in files:
        digest = (
            r"sha256:([0-9a-f]{8}|[0-9a-f]{64})|md5:([0-9a-f]{8}|[0-9a-f]{32})|sha1:[0-9a-f]{40}"
        )
        if record.full_name in WITHOUT_HASH:
            assert file.digest is None
        else:
            assert re.fullmatch(digest, file.digest)
        if isinstance(file, RemoteFile):
            # Servers of Caffe's time may have no HTTPS; a hash stands for it, where there is one.
            assert file.url.startswith(("https://", *HTTP_ALONE))
    side = find_model(record.model).input_shape[0]
    assert record.preprocessing().compute_output_shape((1, 8, 9, 3))[1:3] == (side, side)


def test_files_do_not_share_a_name():
    every = [kc.find_weights(name) for name in NAMES]
    files = [f for r in every for f in (r.file, r.file_without_top) if f is not None]
    assert len({file.name for file in files}) == len(files)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracies(name):
    record = kc.find_weights(name)
    assert (record.top1, record.top5) == pytest.approx(PUBLISHED[name], abs=0.051)


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize("version", ["", "v2"])
def test_hashes_of_keras_applications(depth, version):
    name = f"imagenet_keras{'_v2' if version else ''}"
    record = kc.find_weights(f"resnet{depth}/{name}")
    files = (record.file, record.file_without_top)
    hashes = keras_resnet.WEIGHTS_HASHES[f"resnet{depth}{version}"]
    assert tuple(f.digest for f in files) == tuple(f"md5:{h}" for h in hashes)
    for file in files:
        assert file.url == keras_resnet.BASE_WEIGHTS_PATH + file.name


def test_the_default_needs_the_fewest_extras():
    assert kc.find_weights("resnet50/imagenet").name == "imagenet_keras"
    assert kc.find_weights("resnet18/imagenet").name == "imagenet_timm"
    assert kc.find_weights("vgg13_bn/imagenet").name == "imagenet_torchvision"


def test_the_table_on_the_page_of_weights():
    from reproduce.report.zoo_table import weights_table

    assert weights_table() in (ROOT / "docs/weights.md").read_text()


def test_weights_without_a_classifier(tmp_path, monkeypatch):
    assert {n for n in NAMES if not kc.find_weights(n).labels} == TRUNKS
    with pytest.raises(UserError, match="has no top: it needs include_top=False"):
        kc.vgg16(weights="imagenet_torchvision_features")
    record = kc.find_weights("vgg16/imagenet_torchvision_features")
    grey = np.full((1, 256, 256, 3), 128, "uint8")
    # torchvision standardises with mean 0.48235, 0.45882, 0.40784 and deviation 1 / 255.
    expected = (128 / 255 - np.array([0.48235, 0.45882, 0.40784])) * 255
    found = keras.ops.convert_to_numpy(record.preprocessing()(grey))[0, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert record.dataset == "ImageNet"
    found = kc.preprocessing("resnet50/imagenet_swav")(grey)[0, 0, 0]
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.228, 0.224, 0.225])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)
    assert kc.preprocessing("resnet50/imagenet_dino").interpolation == "bicubic"


def test_unknown_weights():
    with pytest.raises(UserError, match="Did you mean resnet50/imagenet_torchvision"):
        kc.find_weights("resnet50/imagenet_torchvison")
    with pytest.raises(UserError, match="vgg13 has no weights 'imagenet_keras'.*imagenet_torch"):
        kc.vgg13(weights="imagenet_keras")


@pytest.fixture
def local(monkeypatch, tmp_path):
    """Replaces the published files with small files on this machine."""

    def replace(name: str, model, without_top=None) -> None:
        def local_file(published, network) -> RemoteFile:
            path = tmp_path / "models" / published.name.replace(".pth", ".safetensors")
            path.parent.mkdir(exist_ok=True)
            if path.suffix == ".safetensors":
                torchvision.write(network, path)
            else:
                network.save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            return RemoteFile(path.name, "https://weights.invalid/", f"sha256:{digest}")

        record = records.find_weights(name)
        changes = {"file": local_file(record.file, model)}
        if without_top is not None:
            changes["file_without_top"] = local_file(record.file_without_top, without_top)
        changed = dataclasses.replace(record, **changes)
        monkeypatch.setitem(records._RECORDS, name, changed)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return replace


SMALL = {"input_shape": (40, 48, 3), "classifier_activation": None}


def outputs(model) -> np.ndarray:
    shape = model.input_shape[1:]
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    return model(image, training=False).numpy()


def test_a_record_decides_the_version(local):
    source = kc.resnet50(version="v1.5", **SMALL)
    fill(source)
    local("resnet50/imagenet_torchvision", source)
    model = kc.resnet50(weights="imagenet_torchvision", **SMALL)
    np.testing.assert_array_equal(outputs(model), outputs(source))
    same = kc.resnet50(weights="imagenet_torchvision", version="v1.5", **SMALL)
    np.testing.assert_array_equal(outputs(same), outputs(source))
    with pytest.raises(UserError, match=r"needs version='v1.5'.*Received: version='v1'"):
        kc.resnet50(weights="imagenet_torchvision", version="v1")
    with pytest.raises(UserError, match="needs shortcut='B'"):
        kc.resnet50(weights="imagenet_torchvision", shortcut="C")
    record = kc.find_weights("resnet50/imagenet_torchvision")
    np.testing.assert_array_equal(outputs(kc.resnet50(weights=record, **SMALL)), outputs(source))
    with pytest.raises(UserError, match="are weights of resnet50, not of resnet101"):
        kc.resnet101(weights=record)


def test_a_record_has_a_file_without_top(local):
    source = kc.resnet50(**SMALL)
    features = kc.resnet50(include_top=False, input_shape=(40, 48, 3))
    fill(features)
    local("resnet50/imagenet_keras", source, without_top=features)
    model = kc.resnet50(weights="imagenet", include_top=False, input_shape=(40, 48, 3))
    np.testing.assert_array_equal(outputs(model), outputs(features))
    with pytest.raises(UserError, match="needs version='v1'"):
        kc.resnet50(weights="imagenet", version="v1.5")


def test_the_record_decides_the_normalisation():
    with pytest.raises(UserError, match="needs batch_norm_after='conv'"):
        kc.vgg16_bn(weights="imagenet", batch_norm_after="activation")
    with pytest.raises(UserError, match="needs batch_norm=None"):
        kc.vgg16(weights="imagenet", batch_norm="all")
    with pytest.raises(UserError, match="needs lrn=None"):
        kc.alexnet_owt(weights="imagenet", lrn="paper")
