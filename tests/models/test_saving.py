"""Saved networks in a process that has done no more than import the package."""

import json
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.models.initializers import UntruncatedHeNormal
from tests.helpers.golden import second_shape
from tests.helpers.programs import ROOT

# A file for each layer, initializer, function and loss of this package, saved by the version before
# the first release (commit 0f2759b), and outputs or losses that it had there. Its class names and
# modules may change; these files still have to load.
SAVED_BEFORE = ROOT / "tests" / "golden" / "saved_layers"

# The small ones with the most kinds of layers.
NETWORKS = ("lenet5_1998", "resnet20")

LOAD = """
import json, pickle, sys
from pathlib import Path
import keras_classics, keras
import numpy as np

assert sys.getrecursionlimit() == 1000, "importing changes nothing"
folder, before = map(Path, sys.argv[1:])
stored = json.loads((before / "outputs.json").read_text())
for name, expected in stored.items():
    model = keras.models.load_model(before / f"{name}.keras")
    generator = np.random.default_rng(1)
    if model.compiled:
        images = generator.uniform(-1, 1, (2, 4)).astype("float32")
        labels = np.array([0, 2])
        if name == "BinaryCrossEntropy":
            labels = np.eye(model.output_shape[-1])[labels]
        elif name in ("LPIPS", "PerceptualLoss"):
            labels = generator.uniform(0, 1, (2, *model.output_shape[1:])).astype("float32")
        found = [float(model.evaluate(images, labels, verbose=0))]
    else:
        images = generator.uniform(-1, 1, (1, *model.input_shape[1:])).astype("float32")
        found = np.ravel(model(images))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=name)
for path in sorted(folder.glob("*.keras")):
    loaded = keras.models.load_model(path)
    pickled = pickle.loads(path.with_suffix(".pickle").read_bytes())
    of_config = keras.models.model_from_json(path.with_suffix(".json").read_text())
    for model in (pickled, of_config, keras.models.clone_model(loaded)):
        assert model.count_params() == loaded.count_params()
    images = np.ones((1, *loaded.input_shape[1:]), "float32")
    outputs = np.load(path.with_suffix(".npy"))
    np.testing.assert_array_equal(loaded(images), outputs, err_msg=path.stem)
    np.testing.assert_array_equal(pickled(images), outputs, err_msg=path.stem)
print("all loaded")
"""


def save(name: str, folder: Path) -> None:
    """Saves a network in each of Keras's ways."""
    model = kc.get_model(name, input_shape=second_shape(name))
    model.save(folder / f"{name}.keras")
    (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))
    (folder / f"{name}.json").write_text(model.to_json())
    np.save(folder / f"{name}.npy", model(np.ones((1, *model.input_shape[1:]), "float32")))


def assert_load(run_python, names, folder: Path) -> None:
    for name in names:
        save(name, folder)
        keras.backend.clear_session()
    done = run_python("-c", LOAD, str(folder), str(SAVED_BEFORE))
    assert done.returncode == 0, done.stderr
    assert "all loaded" in done.stdout


def test_load_in_a_fresh_process(run_python, tmp_path):
    assert_load(run_python, NETWORKS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["alexnet*", "c*", "lenet*", "vgg*", "plain*", "resnet*"])
def test_every_network_loads_in_a_fresh_process(run_python, tmp_path, pattern):
    assert_load(run_python, kc.list_models(pattern), tmp_path)


def registered() -> dict[str, object]:
    """What this package registers with Keras, by registered name."""
    known = keras.saving.get_custom_objects()
    return {name: known[name] for name in known if name.startswith("keras_classics>")}


def test_a_file_of_every_registered_class():
    names = {name.removeprefix("keras_classics>") for name in registered()}
    stored = set(json.loads((SAVED_BEFORE / "outputs.json").read_text()))
    # The activation stands in the files of subsampling, convolution and FanInUniform.
    assert names == stored | {"scaled_tanh"}
    assert sum(path.stat().st_size for path in SAVED_BEFORE.iterdir()) < 300_000


def test_plain_names_are_not_keras_own():
    """Keras finds layers by module and name, but initializers, losses and functions by name."""
    for thing in registered().values():
        for module in (keras.initializers, keras.losses, keras.activations, keras.metrics):
            assert not hasattr(module, thing.__name__), thing.__name__


def test_without_the_import_the_error_names_what_is_missing(monkeypatch):
    layer = keras.layers.Conv2D(2, 3, kernel_initializer=UntruncatedHeNormal())
    config = keras.saving.serialize_keras_object(layer)
    for name in registered():
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    with pytest.raises((TypeError, ValueError), match="UntruncatedHeNormal"):
        keras.saving.deserialize_keras_object(config)
