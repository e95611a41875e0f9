"""The training loop: its losses, its devices, its warnings, and what it refuses."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import plan
from keras_classics.errors import NonFiniteLossError, UserError
from keras_classics.evaluation import recompute_batch_norm
from keras_classics.models import get_model
from keras_classics.training import Recipe, load_run, loop, recipes, train
from keras_classics.training.schedules import PiecewiseConstant
from tests.helpers.replicas import mirrored
from tests.helpers.runs import MODERN, final_weights, history


def test_the_first_loss_is_that_of_the_initial_network(digits, monkeypatch, tmp_path):
    # One batch with all images, rate 0: loss and accuracy can be computed without the loop.
    recipe = dataclasses.replace(
        MODERN, batch_size=96, epochs=1, schedule=PiecewiseConstant((0.0,), (1,)), limit_test=None
    )
    train(recipe, tmp_path)
    keras.utils.set_random_seed(recipe.seed)
    model = get_model("lenet5")
    train_split = digits.train.limited(96)
    probabilities = model(recipe.make_preprocessing()(tf.constant(train_split.images))).numpy()
    losses = -np.log(probabilities[np.arange(96), train_split.labels])
    row = history(tmp_path)[0]
    assert row["train_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    hits = probabilities.argmax(axis=1) == train_split.labels
    assert row["train_accuracy"] == pytest.approx(hits.mean())
    assert row["learning_rate"] == 0


# In a process of its own for each number of replicas: TensorFlow keeps the group of replicas that
# a process has summed gradients over.
MIRRORED = """
import sys
from keras_classics.training import make_strategy, train
from tests.helpers.runs import MODERN

train(MODERN, sys.argv[1], make_strategy("mirrored", int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_equal_one_device_at_the_same_global_batch(
    run_program, tmp_path, finished, replicas
):
    done = run_program("-c", MIRRORED, str(tmp_path), str(replicas))
    assert done.returncode == 0, done.stderr
    run_dir, _ = finished
    one, many = final_weights(run_dir), final_weights(tmp_path)
    for name in one:
        np.testing.assert_allclose(many[name], one[name], atol=1e-5, err_msg=name)
    for row, other in zip(history(run_dir), history(tmp_path), strict=True):
        assert other["train_loss"] == pytest.approx(row["train_loss"], rel=1e-5)
        assert other["test_loss"] == pytest.approx(row["test_loss"], rel=1e-5)


def test_bfloat16_trains_like_float32(tmp_path, few_digits, finished):
    result = train(
        dataclasses.replace(MODERN, dtype_policy="mixed_bfloat16"), tmp_path, data=few_digits
    )
    _, in_float32 = finished
    loss = in_float32["metrics"]["train_loss"]
    assert result["metrics"]["train_loss"] == pytest.approx(loss, rel=0.05)


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_last_checkpoint(
    tmp_path, few_digits
):
    recipe = dataclasses.replace(MODERN, schedule=PiecewiseConstant((0.01, 1e38), (1, 1)))
    with pytest.raises(NonFiniteLossError, match="no longer finite in epoch 2"):
        train(recipe, tmp_path, data=few_digits)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step_000000008.npz"
    with np.load(checkpoint) as content:
        arrays = [content[n] for n in content.files if n not in ("progress", "recipe")]
    assert all(np.isfinite(array).all() for array in arrays)
    assert not (tmp_path / "result.json").exists()


@dataclasses.dataclass(frozen=True)
class WildLastStep:
    """A rate that no network survives, in the last step of the second pass."""

    def __call__(self, info):
        return float("inf") if info.epoch == 2 - 1 / 8 else 0.01


def test_a_network_lost_in_the_last_step_of_an_epoch_is_not_saved(tmp_path, few_digits):
    recipe = dataclasses.replace(MODERN, schedule=WildLastStep())
    with pytest.raises(NonFiniteLossError, match="test loss is no longer finite after epoch 2"):
        train(recipe, tmp_path, data=few_digits)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step_000000008.npz"


def test_a_run_may_end_in_the_midst_of_an_epoch(tmp_path, few_digits):
    recipe = dataclasses.replace(MODERN, epochs=None, steps=11)
    result = train(recipe, tmp_path, data=few_digits)
    assert result["steps"] == 11
    assert result["epochs"] == 2
    assert [row["step"] for row in history(tmp_path)] == [8, 11]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step_000000008.npz", "step_000000011.npz"]


GUESSING = dataclasses.replace(
    MODERN,
    model="vgg9",
    model_arguments={
        "filters": (2, 2, 2, 2),
        "hidden": (4,),
        "kernel_initializer": "zeros",
    },
    preprocessing_arguments={"channels": 3},
    schedule=PiecewiseConstant((0.0,), (1,)),
)


def test_a_network_that_only_guesses_is_told_of_once(tmp_path, few_digits, monkeypatch, caplog):
    assert loop.STUCK_STEPS == 500
    monkeypatch.setattr(loop, "STUCK_STEPS", 9)
    monkeypatch.setattr(plan, "BLOCK_STEPS", 1)
    recipe = dataclasses.replace(GUESSING, epochs=None, steps=12, batch_size=1)
    train(recipe, tmp_path, data=few_digits)
    (message,) = [r.getMessage() for r in caplog.records if "guesses" in r.getMessage()]
    assert message.startswith("The loss has stayed at ln(classes), 2.303, for 9 steps")


def test_one_that_learns_is_not(finished, tmp_path, few_digits, monkeypatch, caplog):
    monkeypatch.setattr(loop, "STUCK_STEPS", 9)
    train(MODERN, tmp_path, data=few_digits)
    assert "guesses" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1. Received: 0"),
        ({"limit_test": -4}, "limit_test must be at least 1. Received: -4"),
        ({"loss": "cros_entropy"}, "Unknown loss 'cros_entropy'. Did you mean cross_entropy"),
        ({"preprocessing": "canvass"}, "Unknown preprocessing 'canvass'. Did you mean canvas"),
        ({"dtype_policy": "float61"}, "Unknown dtype_policy"),
    ],
)
def test_recipes_that_are_not_right(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(MODERN, **changes)


NORMALISED = dataclasses.replace(
    MODERN,
    model="vgg9",
    model_arguments={
        "input_shape": (32, 32, 1),
        "filters": (2, 2, 2, 2),
        "hidden": (4,),
        "batch_norm": "first",
    },
    epochs=1,
    batch_size=12,
    limit_train=30,
)


def test_exact_statistics_replace_the_moving_averages(tmp_path, few_digits):
    recipe = dataclasses.replace(NORMALISED, batch_norm_group=3, exact_batch_norm=20)
    train(recipe, tmp_path, mirrored(2), data=few_digits)
    run = load_run(tmp_path)
    weights = run.model.get_weights()
    # Of whole groups, in the order in which a split is limited.
    images = few_digits.limited(30, None).train.limited(18).images
    batches = [run.preprocessing(images[first : first + 3]) for first in range(0, 18, 3)]
    recompute_batch_norm(run.model, batches)
    for trained, exact in zip(weights, run.model.get_weights(), strict=True):
        np.testing.assert_allclose(trained, exact, rtol=1e-4, atol=1e-6)


def test_groups_that_do_not_fit(tmp_path, few_digits):
    with pytest.raises(UserError, match=r"batch_norm_group must divide .* Received: 5, of 12\."):
        train(dataclasses.replace(NORMALISED, batch_norm_group=5), tmp_path / "a", data=few_digits)
    with pytest.raises(UserError, match="Received: batch_norm='synchronized'"):
        dataclasses.replace(NORMALISED, batch_norm_group=4, batch_norm="synchronized")


def test_recipes_of_before_there_were_groups():
    content = recipes.RESNET_CIFAR10_PAPER.to_json()
    for name in ("batch_norm_group", "exact_batch_norm"):
        assert content.pop(name) is None
    assert Recipe.from_json(content) == recipes.RESNET_CIFAR10_PAPER


def test_batches_that_do_not_fit(tmp_path, few_digits):
    with pytest.raises(UserError, match="a multiple of the 2 replicas. Received: 3"):
        train(
            dataclasses.replace(MODERN, batch_size=3), tmp_path / "a", mirrored(2), data=few_digits
        )
    with pytest.raises(UserError, match="at most the 96 training images. Received: 97"):
        train(dataclasses.replace(MODERN, batch_size=97), tmp_path / "b", data=few_digits)


def test_recipe_as_json():
    content = json.loads(json.dumps(recipes.LENET5_PAPER.to_json()))
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert content.keys() == fields
    assert content["optimizer"]["kind"] == "LevenbergMarquardt"
    assert content["schedule"]["epochs"] == [2, 3, 3, 4, 8]
    assert set(content["sources"]) <= fields
