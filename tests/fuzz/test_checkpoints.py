"""Damaged checkpoints: the one before is taken, or one line says that none is whole."""

import collections
import copy
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.errors import StoppedError, UserError
from keras_classics.training import RunOptions, checkpoint, train
from keras_classics.training.optimizer import copies
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.trainer import Progress, Trainer
from tests.fuzz import mutations
from tests.helpers.runs import MODERN

RECIPE = dataclasses.replace(MODERN, epochs=3, limit_train=24)


def arrays_of(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content)) as arrays:
        return dict(arrays)


def packed(arrays: dict[str, np.ndarray], save=np.savez) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def changed(name: str, change) -> mutations.Mutation:
    """A mutation that replaces an array; `*` is one of the variables, drawn."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        arrays = arrays_of(content)
        chosen = str(draw.integers(len(arrays) - 2)) if name == "*" else name
        arrays[chosen] = change(arrays[chosen], draw)
        return packed(arrays)

    return mutate


def progress(**changes) -> mutations.Mutation:
    def change(array: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return np.array(json.dumps({**json.loads(str(array)), **changes}))

    return changed("progress", change)


def without(content: bytes, draw: np.random.Generator) -> bytes:
    arrays = arrays_of(content)
    del arrays[list(arrays)[draw.integers(len(arrays))]]
    return packed(arrays)


def with_another(content: bytes, draw: np.random.Generator) -> bytes:
    return packed(arrays_of(content) | {str(draw.integers(100, 200)): np.zeros(3)})


def renamed(content: bytes, draw: np.random.Generator) -> bytes:
    arrays = arrays_of(content)
    name = list(arrays)[draw.integers(len(arrays))]
    return packed({f"{key}x" if key == name else key: value for key, value in arrays.items()})


def with_a_text(content: bytes, draw: np.random.Generator) -> bytes:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("readme.txt", draw.bytes(20))
    return file.getvalue()


def one_not_finite(array: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    value = draw.choice([np.nan, np.inf, -np.inf])
    if array.dtype.kind != "f":
        return np.full(array.shape, value)
    array = array.copy()
    array.reshape(-1)[draw.integers(array.size)] = value
    return array


ROW = {"epoch": 1}

FORMS = {
    "an array less": without,
    "an array more": with_another,
    "an array renamed": renamed,
    "a text more": with_a_text,
    "compressed": lambda content, draw: packed(arrays_of(content), np.savez_compressed),
    "another shape": changed("*", lambda array, draw: array[np.newaxis]),
    "cut short": changed("*", lambda array, draw: array.reshape(-1)[:1]),
    "another type": changed("*", lambda array, draw: array.astype("complex64")),
    "float64": changed("*", lambda array, draw: array.astype("float64")),
    "objects": changed("*", lambda array, draw: np.array([{}, None], object)),
    "texts": changed("*", lambda array, draw: np.array("x")),
    "not finite": changed("*", one_not_finite),
    "another recipe": changed("recipe", lambda array, draw: np.array("0" * 64)),
    "a number as recipe": changed("recipe", lambda array, draw: np.array(7)),
    "no JSON": changed("progress", lambda array, draw: np.array("{" * draw.integers(1, 9999))),
    "a list": changed("progress", lambda array, draw: np.array("[]")),
    "numbers as progress": changed("progress", lambda array, draw: np.zeros(3)),
    "another field": progress(speed=3),
    "another epoch": progress(epoch=9),
    "a huge epoch": progress(epoch=10**30),
    "a negative block": progress(block=-1),
    "a later block": progress(block=1),
    "other images": progress(images=12),
    "NaN as loss": progress(loss_sum=float("nan")),
    "a text as loss": progress(loss_sum="0"),
    "no history": progress(history=[]),
    "rows of another kind": progress(history=[ROW, ROW]),
    "texts as history": progress(history="ab"),
}


@dataclasses.dataclass
class Case:
    """A run that is stopped after two epochs, and a trainer that could resume it."""

    trainer: Trainer
    run: RunDirectory
    contents: dict[str, bytes]
    initial: list[np.ndarray]

    def set_up(self, newest: bytes | None, older: bytes | None) -> None:
        """Writes both checkpoints, and sets the trainer to its initial state."""
        for step, content in ((4, newest), (2, older)):
            path = self.run.checkpoints / f"step_{step:09d}.npz"
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
        for variable, value in zip(self.trainer.variables, self.initial, strict=True):
            copies(variable)[0].assign(value)
        self.trainer.progress = Progress()

    def state(self) -> tuple[list[bytes], dict]:
        variables = [copies(v)[0].numpy().tobytes() for v in self.trainer.variables]
        return variables, copy.deepcopy(vars(self.trainer.progress))

    def refusal(self) -> str | None:
        """Resumes; returns the line that says why it cannot, or None if it does."""
        try:
            checkpoint.Checkpoints(self.trainer, self.run, 1.0).restore()
        except UserError as error:
            return str(error)
        return None


@pytest.fixture(scope="module")
def case(few_digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")

    def stop_after_two(progress, plan):
        if progress.epoch == 2:
            raise StoppedError("enough")

    # The second epoch ends before its checkpoint is written.
    options = RunOptions(checkpoint_steps=1)
    data = few_digits.limited(24, 10)
    with pytest.raises(StoppedError):
        train(RECIPE, folder, data=data, on_progress=stop_after_two, options=options)
    trainer = Trainer(RECIPE, data, RECIPE.make_preprocessing(), tf.distribute.get_strategy())
    run = RunDirectory(folder)
    first = run.checkpoints / "step_000000002.npz"
    case = Case(trainer, run, {}, [copies(v)[0].numpy() for v in trainer.variables])
    case.contents["older"] = first.read_bytes()
    assert case.refusal() is None
    trainer.train_block(trainer.blocks())
    trainer.end_epoch()
    path = checkpoint.save(
        run.checkpoints, trainer.step, trainer.variables, vars(trainer.progress), RECIPE.digest
    )
    case.contents["newest"] = path.read_bytes()
    return case


SLOW = [range(first, first + 1000) for first in range(0, 5000, 1000)]


@pytest.mark.parametrize(
    "seeds",
    [range(25), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
def test_a_damaged_checkpoint_is_passed_over(case, caplog, seeds):
    older, newest = case.contents["older"], case.contents["newest"]
    case.set_up(None, None)
    initial = case.state()
    case.set_up(None, older)
    at_older = (case.refusal(), case.state())[1]
    case.set_up(newest, older)
    at_newest = (case.refusal(), case.state())[1]
    assert len({*map(repr, (initial, at_older, at_newest))}) == 3
    kinds = {**mutations.BYTES, **FORMS}
    counts = collections.Counter()
    for seed in seeds:
        kind, content = mutations.drawn(kinds, newest, seed)
        alone = seed % 3 == 2
        case.set_up(content, None if alone else older)
        caplog.clear()
        message, state = case.refusal(), case.state()
        if message is not None:
            assert alone
            assert state == initial
            assert "\n" not in message
            assert "step_000000004.npz cannot be read (" in message
            outcome = "refused"
        elif state == at_newest:
            assert kind not in FORMS
            assert not caplog.text
            outcome = "harmless"
        else:
            assert state == at_older
            assert "step_000000004.npz cannot be read (" in caplog.text
            outcome = "the one before"
        counts[kind, outcome] += 1
    print(*(f"{n:>6} {kind}: {outcome}" for (kind, outcome), n in sorted(counts.items())), sep="\n")
