"""Class weights and balanced sampling in a run; neither changes a run on equal classes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from keras_classics.data import ImageData, plan
from keras_classics.errors import UserError
from keras_classics.training import Recipe, loop, train
from keras_classics.training.class_weights import weights_of_classes
from keras_classics.training.optimizer import copies
from keras_classics.training.trainer import Trainer
from keras_classics.training.typed_json import Text
from tests.helpers.replicas import mirrored
from tests.helpers.runs import MODERN, assert_same_bits, history

NAMES = ("cat", "dog", "1")
LABELS = np.int32([0, 0, 0, 1, 1, 2])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=30))
def test_balanced_weights_are_scikit_learn_s(labels):
    present = np.unique(labels)
    expected = np.ones(8)
    expected[present] = compute_class_weight("balanced", classes=present, y=labels)
    got = weights_of_classes("balanced", np.array(labels), "abcdefgh")
    np.testing.assert_allclose(got, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ((1, 2.5, 0), [1, 2.5, 0]),
        ({"dog": 3}, [1, 3, 1]),
        # A name comes before a label.
        ({"1": 3, 0: 2}, [2, 1, 3]),
        ("balanced", [2 / 3, 1, 2]),
    ],
)
def test_forms_of_class_weights(given, expected):
    got = weights_of_classes(given, LABELS, NAMES)
    assert got is expected or np.array_equal(got, np.float32(expected))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("auto", "class_weights must be 'balanced', a list of .* Received: 'auto'"),
        ((1.0, -2.0, 1.0), "class_weights must be from 0 to 1e\\+09. Received: -2"),
        ({"cat": 1e12}, "class_weights must be from 0 to 1e\\+09. Received: 1e\\+12"),
        ((1.0, float("nan"), 1.0), r"class_weights\[1\] must be a finite number"),
        ((1.0, 2.0), "a number for each of the 3 classes. Received: 2 numbers"),
        ((0.0, 0.0, 0.0), "above 0 for a class that has training images. Received: 0 for all"),
        ({"cow": 2.0}, "Unknown class in class_weights 'cow'"),
        ({"cat": 2.0, "0": 1.0}, "name each class once. Received: 'cat' and '0' for cat"),
    ],
)
def test_wrong_class_weights_are_refused(given, message):
    def take(given):
        recipe = dataclasses.replace(MODERN, class_weights=given)
        weights_of_classes(recipe.class_weights, LABELS, NAMES)

    with pytest.raises(UserError, match=message):
        take(given)


def test_what_a_user_types_and_what_a_recipe_holds():
    for typed, expected in [
        ("balanced", "balanced"),
        ("[1, 2.5]", (1, 2.5)),
        ("{'cat': 2, '3': 0.5}", {"cat": 2, "3": 0.5}),
        ("null", None),
    ]:
        recipe = MODERN.with_fields({"class_weights": Text(typed)})
        assert recipe.class_weights == expected
        assert Recipe.from_json(recipe.to_json()) == recipe
    assert dataclasses.replace(MODERN, class_weights={3: 2.0}).to_json()["class_weights"] == {
        "3": 2.0
    }
    with pytest.raises(UserError, match="Unknown sampling 'even'"):
        MODERN.with_fields({"sampling": Text("even")})
    old = MODERN.to_json()
    del old["class_weights"], old["sampling"]
    assert Recipe.from_json(old) == MODERN


def first_of_classes(digits, counts) -> ImageData:
    """The first training images of each class, so many of each."""
    labels = digits.train.labels
    chosen = [np.flatnonzero(labels == label)[:count] for label, count in enumerate(counts)]
    train_split = digits.train.take(np.sort(np.concatenate(chosen)))
    return dataclasses.replace(digits, train=train_split, test=digits.test.limited(20))


def trained(recipe: Recipe, data: ImageData, strategy) -> list:
    """Trains for one epoch; returns all variables, the sum of the losses and the right answers."""
    run = Trainer(recipe, data, recipe.make_preprocessing(), strategy)
    blocks = run.blocks()
    while not run.at_end_of_epoch:
        run.train_block(blocks)
    weights = [copies(variable)[0].numpy() for variable in run.variables]
    return [*weights, run.progress.loss_sum, run.progress.correct]


@pytest.mark.parametrize("replicas", [1, 2])
def test_equal_classes_and_weights_of_one_give_the_bits_of_a_plain_run(digits, replicas):
    data = first_of_classes(digits, [5] * 10)
    plain = dataclasses.replace(MODERN, limit_train=None, limit_test=None)
    weights = "balanced" if replicas == 1 else (1.0,) * 10
    changed = dataclasses.replace(plain, class_weights=weights, sampling="balanced")
    one, other = (
        trained(recipe, data, mirrored(2) if replicas == 2 else tf.distribute.get_strategy())
        for recipe in (plain, changed)
    )
    for got, value in zip(other, one, strict=True):
        np.testing.assert_array_equal(got, value)


def test_a_run_on_unequal_classes_resumes_with_the_same_bits(digits, tmp_path, monkeypatch):
    data = first_of_classes(digits, [20, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    monkeypatch.setattr(plan, "BLOCK_STEPS", 2)
    recipe = dataclasses.replace(
        MODERN,
        epochs=2,
        limit_train=None,
        limit_test=None,
        last_batch="carry",
        sampling="balanced",
        class_weights={"3": 2.0},
    )
    train(recipe, tmp_path / "whole", data=data)
    assert [row["step"] for row in history(tmp_path / "whole")] == [6, 11]

    class CutError(Exception):
        pass

    def cut(progress, plan):
        if (progress.epoch, progress.block) == (1, 1):
            raise CutError

    options = loop.RunOptions(checkpoint_steps=1)
    with pytest.raises(CutError):
        train(recipe, tmp_path / "cut", data=data, on_progress=cut, options=options)
    train(recipe, tmp_path / "cut", data=data)
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")
