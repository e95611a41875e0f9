"""Records of published weights: origin, licence, hash, preprocessing and accuracy.

Sources:
- torchvision 0.28, `torchvision.models.*_Weights`: URLs, accuracies, preprocessing. A file's name
  contains the first 8 digits of its SHA-256; a record has only these if no more are published.
- Keras 3.15, `keras.applications`: URLs and MD5 hashes; accuracies from the README of
  keras-applications.
- Caffe's model zoo and others: see `weights/caffe_records.py`.
- timm 1.0: copies of torchvision's first weights, only files with a known hash; accuracies from
  torchvision.
- ResNets that timm trained: see `weights/timm_records.py`.
- Trunks without a classifier: see `weights/trunk_records.py`. Classifiers without a published hash:
  see `weights/classifier_records.py`.
- timm 1.0, `timm/models/resnet.py` and `results/results-imagenet.csv`: URLs, licence, preprocessing
  and accuracies of Facebook AI's ResNets. The names of these files end in the first 8 digits of
  their SHA-256, as torch.hub wants it.

The licences are those that the publishers state. Users of the weights must also respect the terms
of ImageNet.
"""

import dataclasses
import difflib
import fnmatch
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError, natural_key
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from keras_classics.weights.caffe_records import CAFFE
from keras_classics.weights.caffe_records import builder_arguments as caffe_arguments
from keras_classics.weights.classifier_records import CLASSIFIERS
from keras_classics.weights.download import RemoteFile, is_intact
from keras_classics.weights.formats import caffe, keras_applications, torchvision
from keras_classics.weights.imagenet import CLASSES as IMAGENET
from keras_classics.weights.timm_records import TRAINED, views
from keras_classics.weights.trunk_records import TRUNKS

OWN = Path(__file__).parent / "own"


@dataclass(frozen=True)
class PackagedFile:
    """A file of weights in this package.

    Attributes:
        name: Name of the file in the folder `own`.
        digest: `sha256:` and the file's hash.
    """

    name: str
    digest: str

    def fetch(self) -> Path:
        """Returns the path of the file.

        Raises:
            UserError: If the file is missing or its hash is wrong.
        """
        path = OWN / self.name
        if not (path.is_file() and is_intact(path, self.digest)):
            raise UserError(f"{path} is missing or damaged. Reinstall keras-classics.")
        return path


@dataclass(frozen=True)
class WeightsRecord:
    """Published weights of one network.

    Attributes:
        model: Name of the network.
        name: Name of the weights, the value of the builder's argument `weights`.
        origin: The publisher, and the publisher's name for the weights.
        licence: Licence that the publisher states.
        file: The file of weights.
        file_without_top: The file of weights without the top, if published.
        preprocessing: Creates the preprocessing layer that the network was trained with.
        labels: Name of each class, in the order of the scores; empty for a file without top.
        top1: Published top-1 accuracy in percent; None if not published.
        top5: Published top-5 accuracy in percent; None if not published.
        protocol: Evaluation protocol of the published accuracies.
        epsilon: Epsilon of the batch normalisation in training; None without batch normalisation.
        momentum: Momentum of the batch normalisation in training, the fraction of the old
            statistics that an update keeps; None without batch normalisation.
        arguments: The builder's arguments that the weights were trained with.
    """

    model: str
    name: str
    origin: str
    licence: str
    file: RemoteFile | PackagedFile
    preprocessing: Callable[[], keras.layers.Layer]
    labels: tuple[str, ...] = field(repr=False)
    top1: float | None
    top5: float | None
    protocol: str
    epsilon: float | None
    momentum: float | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    file_without_top: RemoteFile | None = None

    @property
    def full_name(self) -> str:
        """The unique name of the weights, such as `resnet50/imagenet_keras`."""
        return f"{self.model}/{self.name}"

    @property
    def dataset(self) -> str:
        """The data that the network was trained on: `ImageNet`, or the name of the data set."""
        return "ImageNet" if self.labels is IMAGENET or not self.labels else self.name

    def fetch(self, with_top: bool = True) -> Path:
        """Returns the path of the file, after downloading it if necessary.

        Args:
            with_top: Whether the top's weights are needed.

        Raises:
            UserError: If the file cannot be downloaded, or its hash is wrong.
        """
        return (self.file if with_top else self.file_without_top or self.file).fetch()


# By network and version of the training recipe: file, SHA-256, (top-1, top-5) in percent.
TORCHVISION = {
    ("alexnet_owt", 1): (
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        (56.522, 79.066),
    ),
    ("vgg11", 1): ("vgg11-8a719046.pth", "8a719046", (69.020, 88.628)),
    ("vgg11_bn", 1): ("vgg11_bn-6002323d.pth", "6002323d", (70.370, 89.810)),
    ("vgg13", 1): ("vgg13-19584684.pth", "19584684", (69.928, 89.246)),
    ("vgg13_bn", 1): ("vgg13_bn-abd245e5.pth", "abd245e5", (71.586, 90.374)),
    ("vgg16", 1): (
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        (71.592, 90.382),
    ),
    ("vgg16_bn", 1): (
        "vgg16_bn-6c64b313.pth",
        "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
        (73.360, 91.516),
    ),
    ("vgg19", 1): (
        "vgg19-dcbb9e9d.pth",
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        (72.376, 90.876),
    ),
    ("vgg19_bn", 1): (
        "vgg19_bn-c79401a0.pth",
        "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6",
        (74.218, 91.842),
    ),
    ("resnet18", 1): (
        "resnet18-f37072fd.pth",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        (69.758, 89.078),
    ),
    ("resnet34", 1): (
        "resnet34-b627a593.pth",
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        (73.314, 91.420),
    ),
    ("resnet50", 1): (
        "resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        (76.130, 92.862),
    ),
    ("resnet50", 2): (
        "resnet50-11ad3fa6.pth",
        "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
        (80.858, 95.434),
    ),
    ("resnet101", 1): (
        "resnet101-63fe2227.pth",
        "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
        (77.374, 93.546),
    ),
    ("resnet101", 2): (
        "resnet101-cd907fc2.pth",
        "cd907fc2a0de2292b2ba2b27d2216bc672d84632d1cf20058d01c0c03b5e020e",
        (81.886, 95.780),
    ),
    ("resnet152", 1): (
        "resnet152-394f9c45.pth",
        "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
        (78.312, 94.046),
    ),
    ("resnet152", 2): ("resnet152-f82ba261.pth", "f82ba261", (82.284, 96.002)),
}

# By network: revision of the repository, SHA-256.
TIMM = {
    "vgg11": ("main", "682c023808812148d4e60c76d80ad83dbeaf5d50eb1a952a0b836895003151e5"),
    "vgg16": (
        "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
        "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
    ),
    "resnet18": (
        "bbd144b3e5565108aad885f145491d11bc6ce807",
        "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    ),
    "resnet34": (
        "1b7b21cca82ff974d341713f777bf740c2db38c4",
        "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235",
    ),
    "resnet50": (
        "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
    ),
}

# Facebook AI's, by network and kind of training: file, (top-1, top-5) in percent. `ssl`:
# semi-supervised on YFCC100M; `swsl`: semi-weakly supervised on a billion images of Instagram; both
# then on ImageNet.
FACEBOOK = {
    ("resnet18", "ssl"): ("semi_supervised_resnet18-d92f0530.pth", (72.594, 91.418)),
    ("resnet18", "swsl"): ("semi_weakly_supervised_resnet18-118f1556.pth", (73.282, 91.732)),
    ("resnet50", "ssl"): ("semi_supervised_resnet50-08389792.pth", (79.234, 94.826)),
    ("resnet50", "swsl"): ("semi_weakly_supervised_resnet50-16a12f1b.pth", (81.182, 95.992)),
}

# By network and its name in keras.applications: MD5 with and without top, (top-1, top-5) in
# percent.
KERAS = {
    ("vgg16", "vgg16"): (
        "64373286793e3c8b2b4e3219cbf3544b",
        "6d6bbae143d832006294945121d1f1fc",
        (71.268, 90.050),
    ),
    ("vgg19", "vgg19"): (
        "cbe5617147190e668d6c5d5026f83318",
        "253f8cb515780f3b799900260a226db6",
        (71.256, 89.988),
    ),
    ("resnet50", "resnet50"): (
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
        (74.928, 92.060),
    ),
    ("resnet50", "resnet50v2"): (
        "3ef43a0b657b3be2300d5770ece849e0",
        "fac2f116257151a9d068a22e544a4917",
        (75.960, 93.034),
    ),
    ("resnet101", "resnet101"): (
        "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        "88cf7a10940856eca736dc7b7e228a21",
        (76.420, 92.786),
    ),
    ("resnet101", "resnet101v2"): (
        "6343647c601c52e1368623803854d971",
        "c0ed64b8031c3730f411d2eb4eea35b5",
        (77.234, 93.816),
    ),
    ("resnet152", "resnet152"): (
        "100835be76be38e30d865e96f2aaae62",
        "ee4c566cf9a93f14d82f913c2dc6dd0c",
        (76.604, 93.118),
    ),
    ("resnet152", "resnet152v2"): (
        "a49b44d1979771252814e80f8ec446f9",
        "ed17cf2e0169df9d443503ef94b23b33",
        (78.032, 94.162),
    ),
}

TORCHVISION_URL = "https://download.pytorch.org/models"
TIMM_URL = "https://huggingface.co/timm"
FACEBOOK_URL = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files"
KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"

# Mean and standard deviation of ImageNet's training images, RGB, relative to 255.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TORCH_IMAGES = functools.partial(
    ImagePreprocessing,
    mean=tuple(255 * value for value in _MEAN),
    std=tuple(255 * value for value in _STD),
)
_CAFFE_IMAGES = functools.partial(ImagePreprocessing, mean=(103.939, 116.779, 123.68), bgr=True)
_SIGNED_IMAGES = functools.partial(ImagePreprocessing, mean=(127.5,) * 3, std=(127.5,) * 3)

_VIEW = "ImageNet's 50,000 validation images, one view: short side {}, the middle {}"
_BSD = "BSD-3-Clause (torchvision)"


def _torch_record(
    model: str, accuracy: tuple[float | None, float | None], **metadata: Any
) -> WeightsRecord:
    normalizes = model.startswith("resnet") or model.endswith("_bn")
    metadata = {
        "licence": _BSD,
        "preprocessing": _TORCH_IMAGES,
        "protocol": _VIEW.format(256, 224),
        "labels": IMAGENET,
        **metadata,
    }
    return WeightsRecord(
        model=model,
        top1=accuracy[0],
        top5=accuracy[1],
        epsilon=torchvision.EPSILON if normalizes else None,
        momentum=torchvision.MOMENTUM if normalizes else None,
        arguments=torchvision.builder_arguments(model),
        **metadata,
    )


def _torchvision_record(model: str, version: int) -> WeightsRecord:
    file, digest, accuracy = TORCHVISION[model, version]
    metadata: dict[str, Any] = {}
    if version == 2:
        metadata["preprocessing"] = functools.partial(_TORCH_IMAGES, resize=232)
        metadata["protocol"] = _VIEW.format(232, 224)
    return _torch_record(
        model,
        accuracy,
        name="imagenet_torchvision" + ("_v2" if version == 2 else ""),
        origin=f"torchvision, {model.removesuffix('_owt')}, IMAGENET1K_V{version}",
        file=RemoteFile(file, f"{TORCHVISION_URL}/{file}", f"sha256:{digest}"),
        **metadata,
    )


def _timm_record(model: str) -> WeightsRecord:
    revision, digest = TIMM[model]
    url = f"{TIMM_URL}/{model}.tv_in1k/resolve/{revision}/model.safetensors"
    return _torch_record(
        model,
        TORCHVISION[model, 1][2],
        name="imagenet_timm",
        origin=f"timm, {model}.tv_in1k, a copy of torchvision's",
        file=RemoteFile(f"{model}.tv_in1k.safetensors", url, f"sha256:{digest}"),
    )


def _of_torch_hub(folder: str, file: str) -> RemoteFile:
    """Returns a file whose name ends in the first digits of its SHA-256."""
    digest = Path(file).stem.rpartition("-")[2]
    return RemoteFile(file, f"{folder}/{file}", f"sha256:{digest}")


def _timm_trained_record(model: str, recipe: str) -> WeightsRecord:
    folder, file, accuracy = TRAINED[model, recipe]
    small, measured = views(model, recipe)
    return _torch_record(
        model,
        accuracy,
        name=f"imagenet_timm_{recipe}",
        origin=f"timm, {model}.{recipe}_in1k",
        licence="Apache-2.0 (timm)",
        file=_of_torch_hub(folder, file),
        preprocessing=functools.partial(
            _TORCH_IMAGES, resize=small.short_side, interpolation="bicubic"
        ),
        protocol=_VIEW.format(measured.short_side, measured.side),
    )


def _facebook_record(model: str, kind: str) -> WeightsRecord:
    file, accuracy = FACEBOOK[model, kind]
    return _torch_record(
        model,
        accuracy,
        name=f"imagenet_fb_{kind}",
        origin=f"Facebook AI, semi-supervised-ImageNet1K-models, {model}_{kind}",
        licence="CC BY-NC 4.0 (Facebook AI)",
        file=_of_torch_hub(FACEBOOK_URL, file),
    )


def _trunk_record(model: str, name: str) -> WeightsRecord:
    trunk = TRUNKS[model, name]
    record = _torch_record(
        model,
        (None, None),
        name=name,
        origin=trunk.origin,
        licence=trunk.licence,
        file=RemoteFile(trunk.file, trunk.url, trunk.digest),
        preprocessing=functools.partial(_TORCH_IMAGES, **trunk.images),
        protocol=trunk.protocol,
        labels=(),
    )
    return dataclasses.replace(record, arguments={**record.arguments, "include_top": False})


def _classifier_record(model: str, name: str) -> WeightsRecord:
    published = CLASSIFIERS[model, name]
    return _torch_record(
        model,
        (published.top1, None),
        name=name,
        origin=published.origin,
        licence=published.licence,
        file=RemoteFile(published.file, published.url, None),
        protocol=published.protocol or _VIEW.format(256, 224),
        labels=published.labels,
    )


def _keras_record(model: str, name_in_keras: str) -> WeightsRecord:
    digest, digest_without_top, accuracy = KERAS[model, name_in_keras]
    second_version = name_in_keras.endswith("v2")
    residual = model.startswith("resnet")
    folder = "resnet" if residual else model

    def file(ending: str, digest: str) -> RemoteFile:
        name = f"{name_in_keras}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
        return RemoteFile(name, f"{KERAS_URL}/{folder}/{name}", f"md5:{digest}")

    if second_version:
        licence, preprocessing = "BSD (facebook/fb.resnet.torch, as Keras says)", _SIGNED_IMAGES
        protocol = "ImageNet's 50,000 validation images, one view, images of 299x299"
    else:
        licence = "MIT (Kaiming He)" if residual else "CC BY 4.0 (VGG, University of Oxford)"
        preprocessing = _CAFFE_IMAGES
        protocol = _VIEW.format(256, 224)
    return WeightsRecord(
        model=model,
        name="imagenet_keras" + ("_v2" if second_version else ""),
        origin=f"keras.applications, {name_in_keras}",
        licence=licence,
        file=file("", digest),
        file_without_top=file("_notop", digest_without_top),
        preprocessing=preprocessing,
        labels=IMAGENET,
        top1=accuracy[0],
        top5=accuracy[1],
        protocol=protocol,
        epsilon=keras_applications.EPSILON if residual else None,
        momentum=keras_applications.MOMENTUM if residual else None,
        arguments=keras_applications.builder_arguments(model, second_version),
    )


def _caffe_record(model: str, name: str) -> WeightsRecord:
    published = CAFFE[model, name]
    crop = 224 if model.startswith(("vgg", "resnet")) else 227
    normalizes = model.startswith("resnet")
    return WeightsRecord(
        model=model,
        name=name,
        origin=published.origin,
        licence=published.licence,
        file=RemoteFile(published.file, published.url, published.digest, published.packed),
        preprocessing=functools.partial(
            ImagePreprocessing, crop=crop, mean=published.mean, bgr=True
        ),
        labels=published.labels,
        top1=published.accuracy[0],
        top5=published.accuracy[1],
        protocol=published.protocol,
        epsilon=caffe.EPSILON if normalizes else None,
        momentum=caffe.MOMENTUM if normalizes else None,
        arguments=caffe_arguments(model, name),
    )


def _own_record(path: Path) -> WeightsRecord:
    """Returns the record of weights in this package, from the result of their training run."""
    metadata = json.loads(path.read_text())
    environment = metadata["environment"]
    normalizes = metadata["model"].startswith("resnet")
    arguments = {k: v for k, v in metadata["preprocessing"].items() if k != "kind"}
    return WeightsRecord(
        model=metadata["model"],
        name=metadata["dataset"],
        origin=f"keras_classics, recipe {metadata['recipe']}, seed {metadata['seed']}, "
        f"{metadata['epochs']} epochs, commit {environment['commit'][:12]}",
        licence="Apache-2.0",
        file=PackagedFile(path.with_suffix(".weights.h5").name, metadata["weights_digest"]),
        preprocessing=functools.partial(CanvasPreprocessing, **arguments),
        labels=tuple(metadata["class_names"]),
        top1=100 * metadata["metrics"]["test_accuracy"],
        top5=None,
        protocol=f"{metadata['images']:,} images, {metadata['protocol']}",
        epsilon=torchvision.EPSILON if normalizes else None,
        momentum=torchvision.MOMENTUM if normalizes else None,
    )


# The first of a network's records with ImageNet weights is its "imagenet". Keras's files come
# first, because reading them needs no extra.
_RECORDS = {
    record.full_name: record
    for record in (
        *(_keras_record(*key) for key in KERAS),
        *map(_timm_record, TIMM),
        *(_torchvision_record(*key) for key in TORCHVISION),
        *(_facebook_record(*key) for key in FACEBOOK),
        *(_timm_trained_record(*key) for key in TRAINED),
        *(_caffe_record(*key) for key in CAFFE),
        *(_trunk_record(*key) for key in TRUNKS),
        *(_classifier_record(*key) for key in CLASSIFIERS),
        *map(_own_record, sorted(OWN.glob("*.json"))),
    )
}


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names of all known weights, `model/name`, that match a glob pattern.

    Args:
        pattern: Glob pattern, such as `"resnet*"` or `"*/imagenet_keras"`.
    """
    return sorted((n for n in _RECORDS if fnmatch.fnmatch(n, pattern)), key=natural_key)


def weights_names(model: str) -> list[str]:
    """Returns the names of a network's weights; the default `"imagenet"` comes first."""
    names = [record.name for record in _RECORDS.values() if record.model == model]
    return ["imagenet", *names] if any(n.startswith("imagenet_") for n in names) else names


def default_weights(model: str) -> str | None:
    """Returns the name of the weights that are meant if none are named.

    They are `"imagenet"`, or the network's only weights. Of other networks the result is None.
    """
    names = weights_names(model)
    return names[0] if names[:1] == ["imagenet"] or len(names) == 1 else None


def find_weights(name: str) -> WeightsRecord:
    """Returns the record of some weights.

    Args:
        name: One of `list_weights()`, such as `"resnet50/imagenet_torchvision"`; a network's
            default, such as `"resnet50/imagenet"`; or the name of a network that has this default
            or only one file of weights, such as `"resnet20"`.

    Raises:
        UserError: If there are no weights of this name, or the network has several.
    """
    model, _, weights = name.partition("/")
    weights = weights or default_weights(model) or ""
    if weights == "imagenet":
        for record in _RECORDS.values():
            if record.model == model and record.name.startswith("imagenet_"):
                return record
    if f"{model}/{weights}" not in _RECORDS:
        raise _unknown_weights(name, model, weights)
    return _RECORDS[f"{model}/{weights}"]


def record_of_file(file: Path, networks: Sequence[str]) -> WeightsRecord | None:
    """Returns the known weights of some networks that have the hash of a file."""
    records = [record for record in _RECORDS.values() if record.model in networks]
    digests: dict[str, str] = {}
    for record in records:
        for published in (record.file, record.file_without_top):
            # Of some files no hash is published.
            digest = published.digest if published is not None else None
            algorithm, _, expected = (digest or "").partition(":")
            if expected and algorithm not in digests:
                with open(file, "rb") as content:
                    digests[algorithm] = hashlib.file_digest(content, algorithm).hexdigest()
            if expected and digests[algorithm].startswith(expected):
                return record
    return None


def _unknown_weights(name: str, model: str, weights: str) -> UserError:
    """Returns the error for unknown weights: it lists all weights of the network."""
    own = weights_names(model)
    if not own:
        models = sorted({record.model for record in _RECORDS.values()}, key=natural_key)
        return UserError(
            f"Unknown weights {name!r}. Networks with known weights: {', '.join(models)}."
        )
    if not weights:
        listed = ", ".join(f"{model}/{known}" for known in own)
        return UserError(f"{model} has several weights. Name one of them: {listed}.")
    near = difflib.get_close_matches(weights, own, n=len(own), cutoff=0)
    listed = " or ".join(f"{model}/{known}" for known in near)
    return UserError(f"Unknown weights {name!r}. Did you mean {listed}?")
