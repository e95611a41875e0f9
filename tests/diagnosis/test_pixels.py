"""Pixels of another range or channel order than the weights were trained on."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.diagnosis import examine, make_case
from keras_classics.diagnosis.pixels import KINDS, pixels_of_weights
from tests.diagnosis.networks import digit_images, names

COUNT = 512


def coloured() -> tuple[np.ndarray, np.ndarray]:
    """Digits 0..255 of side 16, more red than blue as photographs are."""
    images, labels = digit_images(COUNT, 16, 3)
    tint = np.random.default_rng(100).uniform(0.6, 1.0, (COUNT, 1, 1, 3)) * [1.0, 0.8, 0.5]
    return np.round(images * tint * 255).astype("float32"), labels


PIXELS, LABELS = coloured()


def trained(kind: str, batch_norm: bool) -> keras.Model:
    keras.utils.set_random_seed(100)
    x = image = keras.Input((16, 16, 3))
    for number in range(2):
        x = keras.layers.Conv2D(12, 3, strides=2, padding="same")(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.8)(x)
        x = keras.layers.Activation("relu", name=f"relu{number}")(x)
    x = keras.layers.Dense(10, "softmax", name="scores")(keras.layers.Flatten()(x))
    model = keras.Model(image, x, name="trained")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(KINDS[kind].apply(PIXELS), LABELS, batch_size=32, epochs=6, verbose=0)
    return model


@pytest.fixture(scope="module", params=[("torch", True), ("unit", False)], ids=str)
def case_of(request):
    kind, batch_norm = request.param
    return kind, trained(kind, batch_norm)


def found(model, inputs, **options):
    return list(pixels_of_weights(make_case(model, (inputs, LABELS), **options)))


def rounded(pixels: np.ndarray) -> np.ndarray:
    """torch's preprocessing, its constants rounded to a tenth of a pixel."""
    return ((pixels - [123.7, 116.3, 103.5]) / [58.4, 57.1, 57.4]).astype("float32")


@pytest.mark.parametrize("given", ["pixels", "unit", "tf", "torch", "caffe", "twice", "rounded"])
def test_range_by_labels(case_of, given):
    kind, model = case_of
    if given == "rounded" and kind != "torch":
        return
    apply = rounded if given == "rounded" else KINDS[kind if given == "twice" else given].apply
    inputs = apply(apply(PIXELS)) if given in ("twice", "rounded") else apply(PIXELS)
    findings = found(model, inputs)
    if given == kind:
        assert not findings
    # Without biases, a network with ReLUs would answer alike whatever the scale of its inputs.
    elif findings or kind == "torch":
        (finding,) = findings
        assert finding.check == "wrong_preprocessing", finding
        assert KINDS[kind].says in finding.mend
        case = make_case(model, (inputs, LABELS))
        assert not examine(finding.trial(case), [pixels_of_weights])


def test_range_and_order_by_statistics(case_of):
    kind, model = case_of
    if kind != "torch":
        return
    head = keras.layers.Dense(4, "softmax")(model.get_layer("relu1").output[:, 0, 0])
    fresh = keras.Model(model.input, head, name="fresh")
    assert not list(pixels_of_weights(make_case(fresh, (KINDS[kind].apply(PIXELS), LABELS % 4))))
    for given in ("pixels", "unit", "tf", "caffe"):
        case = make_case(fresh, (KINDS[given].apply(PIXELS), LABELS % 4))
        assert names(examine(case, [pixels_of_weights])) == ["wrong_preprocessing"], given
    reversed_ = KINDS[kind].apply(PIXELS[..., ::-1])
    case = make_case(fresh, (reversed_, LABELS % 4))
    assert names(examine(case, [pixels_of_weights])) == ["channel_order"]


def test_published_weights():
    model = kc.resnet20(weights="fashion_mnist")
    data = kc.data.load("digits").limited(train=64, test=40)
    right = make_case(model, data, weights="resnet20/fashion_mnist")
    assert not list(pixels_of_weights(right))
