"""The networks that were published for Caffe: files, origins, hashes, licences and accuracies.

Sources:
- BVLC/caffe, models/*/readme.md, for AlexNet, CaffeNet and R-CNN.
- K. Simonyan's readmes of VGG-16 and VGG-19 (gists 211839e770f7b538e2d8 and 3785162f95cd2d5fee77):
  addresses, mean; accuracies from the paper, Table 3. O. Parkhi's of VGG-Face: mean colour.
- KaimingHe/deep-residual-networks, README.md: accuracies of the authors' ResNets, published on
  OneDrive. The addresses are those of the copies that Apache MXNet keeps.
- Apache MXNet, tools/caffe_converter/model_zoo.py: SHA-1 of VGG's and of ResNet's files.
- CSAILVision/places365, README.md; wanglimin/Places205-VGGNet, README.md. The mean colour of
  Places365 is that of others' code for its networks: its authors publish a mean image.

Where no hash is published, a file is checked by its structure alone. Mean colours stand for mean
images, which `keras_classics.weights.caffe_mean` reads if you have the file.
"""

from pathlib import Path
from typing import Any, NamedTuple

from keras_classics.weights.imagenet import CLASSES as IMAGENET

BVLC = "http://dl.caffe.berkeleyvision.org"
OXFORD = "https://www.robots.ox.ac.uk/~vgg/software"
MXNET = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/caffe/models"
PLACES = "http://places2.csail.mit.edu/models_places365"
SIAT = "http://mmlab.siat.ac.cn/Places205-VGGNet"

_WARPED = "ImageNet's 50,000 validation images, one view: warped to 256x256, the middle 227"
_ONE_VIEW = "ImageNet's 50,000 validation images, one view: short side 256, the middle 224"
_DENSE = "ImageNet's 50,000 validation images, dense, short side 384"
_PLACES365 = "Places365's 36,500 validation images, ten views"
_PLACES205 = "Places205's 20,500 validation images, ten views"
NOT_PUBLISHED = "no accuracy on images of its classes is published"

_BVLC_LICENCE = "unrestricted (BVLC)"
_OXFORD_LICENCE = "CC BY 4.0 (VGG, University of Oxford)"
PLACES_LICENCE = "CC BY (MIT CSAIL)"

# Mean colours, BGR.
_ILSVRC = (104.00698793, 116.66876762, 122.67891434)
_VGG = (103.939, 116.779, 123.68)
_RESNET = (103.0626238, 115.90288257, 123.15163084)
_PLACES365_MEAN = (104.051, 112.514, 116.676)
_PLACES205_MEAN = (105.487823486, 113.741088867, 116.060394287)
_FACES = (93.5940, 104.7624, 129.1863)


def _names(file: str) -> tuple[str, ...]:
    return tuple((Path(__file__).parent / file).read_text().splitlines())


def _numbers(count: int) -> tuple[str, ...]:
    """Names of classes of which the package has no list: their numbers."""
    return tuple(map(str, range(count)))


PLACES365 = _names("places365_classes.txt")
ILSVRC2013 = _names("ilsvrc2013_classes.txt")


class Published(NamedTuple):
    """A published file.

    Attributes:
        file: Its name.
        url: Its address, or that of the archive that it is in.
        digest: Its hash as published, or None.
        origin: Who published it, and as what.
        licence: Licence that the publisher states.
        accuracy: Top-1 and top-5 in percent; None if not published.
        protocol: How the accuracies were measured.
        mean: Mean colour, BGR.
        labels: Name of each class.
        packed: Whether the address is that of an archive.
    """

    file: str
    url: str
    digest: str | None
    origin: str
    licence: str
    accuracy: tuple[float | None, float | None]
    protocol: str
    mean: tuple[float, float, float]
    labels: tuple[str, ...] = IMAGENET
    packed: bool = False


def _vgg(depth: int, sha1: str, accuracy: tuple[float, float]) -> Published:
    file = f"VGG_ILSVRC_{depth}_layers.caffemodel"
    return Published(
        file,
        f"{OXFORD}/very_deep/caffe/{file}",
        f"sha1:{sha1}",
        f"VGG, University of Oxford, {depth} layers",
        _OXFORD_LICENCE,
        accuracy,
        _DENSE,
        _VGG,
    )


def _resnet(depth: int, sha1: str, accuracy: tuple[float, float]) -> Published:
    file = f"ResNet-{depth}-model.caffemodel"
    return Published(
        file,
        f"{MXNET}/resnet/{file}",
        f"sha1:{sha1}",
        f"Kaiming He, deep-residual-networks, ResNet-{depth}, from the copy of Apache MXNet",
        "MIT (Kaiming He)",
        accuracy,
        _ONE_VIEW,
        _RESNET,
    )


def _places365(file: str, network: str, top5: float | None = None) -> Published:
    return Published(
        file,
        f"{PLACES}/{file}",
        None,
        f"MIT CSAIL, places365, {network}",
        PLACES_LICENCE,
        (None, top5),
        _PLACES365 if top5 else NOT_PUBLISHED,
        _PLACES365_MEAN,
        PLACES365,
    )


def _places205(depth: int, accuracy: tuple[float, float]) -> Published:
    file = f"siat_scene_vgg_{depth}.caffemodel"
    return Published(
        file,
        f"{SIAT}/{file}",
        None,
        f"SIAT, Places205-VGGNet-{depth}",
        "non-commercial (SIAT)",
        accuracy,
        _PLACES205,
        _PLACES205_MEAN,
        _numbers(205),
    )


# By network and name of the weights. Caffe warped images to 256x256, as BVLC's accuracies were
# measured; the preprocessing here keeps their aspect ratio. Places' AlexNets pool before they
# normalise, as CaffeNet does.
CAFFE: dict[tuple[str, str], Published] = {
    ("alexnet", "imagenet_caffe"): Published(
        "bvlc_alexnet.caffemodel",
        f"{BVLC}/bvlc_alexnet.caffemodel",
        "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
        "BVLC, bvlc_alexnet, by Evan Shelhamer",
        _BVLC_LICENCE,
        (57.1, 80.2),
        _WARPED,
        _ILSVRC,
    ),
    ("caffenet", "imagenet_caffe"): Published(
        "bvlc_reference_caffenet.caffemodel",
        f"{BVLC}/bvlc_reference_caffenet.caffemodel",
        "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        "BVLC, bvlc_reference_caffenet",
        _BVLC_LICENCE,
        (57.4, 80.4),
        _WARPED,
        _ILSVRC,
    ),
    ("caffenet", "ilsvrc2013"): Published(
        "bvlc_reference_rcnn_ilsvrc13.caffemodel",
        f"{BVLC}/bvlc_reference_rcnn_ilsvrc13.caffemodel",
        "sha1:bdd8abb885819cba5e2fe1eb36235f2319477e64",
        "BVLC, bvlc_reference_rcnn_ilsvrc13, by Ross Girshick; its scores are those of SVMs",
        _BVLC_LICENCE,
        (None, None),
        NOT_PUBLISHED,
        _ILSVRC,
        ILSVRC2013,
    ),
    ("caffenet", "places365"): _places365("alexnet_places365.caffemodel", "AlexNet"),
    ("caffenet", "places205"): Published(
        "places205CNN_iter_300000_upgraded.caffemodel",
        "http://places.csail.mit.edu/model/placesCNN_upgraded.tar.gz",
        None,
        "MIT CSAIL, Places205-AlexNet",
        PLACES_LICENCE,
        (None, None),
        NOT_PUBLISHED,
        _PLACES205_MEAN,
        _numbers(205),
        packed=True,
    ),
    ("vgg11", "places205"): _places205(11, (58.6, 87.6)),
    ("vgg13", "places205"): _places205(13, (60.2, 88.1)),
    ("vgg16", "imagenet_caffe"): _vgg(16, "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24", (74.4, 91.9)),
    ("vgg16", "places365"): _places365("vgg16_places365.caffemodel", "VGG16"),
    ("vgg16", "places205"): _places205(16, (60.6, 88.5)),
    ("vgg16", "vgg_face"): Published(
        "VGG_FACE.caffemodel",
        f"{OXFORD}/vgg_face/src/vgg_face_caffe.tar.gz",
        None,
        "VGG, University of Oxford, VGG-Face; the archive lists its 2,622 people",
        "the publisher's own (VGG, University of Oxford)",
        (None, None),
        NOT_PUBLISHED,
        _FACES,
        _numbers(2622),
        packed=True,
    ),
    ("vgg19", "imagenet_caffe"): _vgg(19, "239785e7862442717d831f682bb824055e51e9ba", (74.5, 92.0)),
    ("resnet50", "imagenet_caffe"): _resnet(
        50, "b7c79ccc21ad0479cddc0dd78b1d20c4d722908d", (75.3, 92.2)
    ),
    ("resnet101", "imagenet_caffe"): _resnet(
        101, "1dbf5f493926bb9b6b3363b12d5133c0f8b78904", (76.4, 92.9)
    ),
    ("resnet152", "imagenet_caffe"): _resnet(
        152, "251edb93604ac8268c7fd2227a0f15144310e1aa", (77.0, 93.3)
    ),
    ("resnet152", "places365"): _places365(
        "resnet152_places365.caffemodel", "ResNet152, fine-tuned from ImageNet's", 85.08
    ),
}


def builder_arguments(model: str, name: str) -> dict[str, Any]:
    """Returns the builder's arguments for a network that was published for Caffe."""
    if name == "ilsvrc2013":
        # The scores of R-CNN's SVMs are no logits of a softmax.
        return {**builder_arguments(model, ""), "classifier_activation": None}
    if model.startswith("resnet"):
        return {"version": "v1_caffe", "shortcut": "B"}
    return {"batch_norm": None} if model.startswith("vgg") else {"lrn": "caffe", "towers": 2}
