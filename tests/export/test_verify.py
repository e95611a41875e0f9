"""Exports just within and just beyond the bounds."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_classics.errors import UserError, VerificationError
from keras_classics.export import verify
from keras_classics.export.verify import BOUNDS, LATENCY_RUNS, WARM_UP_RUNS, Bound


def fake_source(images: int, labels: bool = True) -> SimpleNamespace:
    """Source of a network that gives its first class 0.8 and its second 0.2."""
    return SimpleNamespace(
        model=SimpleNamespace(name="net"),
        images=np.zeros((images, 1, 1, 1), "uint8"),
        inputs=np.zeros((images, 1, 1, 1), "float32"),
        expected=np.tile(np.array([0.8, 0.2, 0.0]), (images, 1)),
        image_labels=np.zeros(images, int) if labels else None,
        exclusive=True,
    )


@pytest.fixture(autouse=True)
def untimed(monkeypatch):
    monkeypatch.setattr(verify, "WARM_UP_RUNS", 0)
    monkeypatch.setattr(verify, "LATENCY_RUNS", 1)


def altered(source: SimpleNamespace, other: int = 0, more: float = 0.0) -> np.ndarray:
    """Returns the expected probabilities, with other classes or a larger first probability."""
    probabilities = source.expected.copy()
    probabilities[:other] = probabilities[:other, [1, 0, 2]]
    probabilities[:, 0] += more
    return probabilities


def check(source: SimpleNamespace, found: np.ndarray, quantize: str = "none") -> verify.Check:
    rows = iter(found)
    # In batches, then one image for the time.
    return verify.check(
        source, lambda batch: np.array([next(rows, found[0]) for _ in batch]), quantize=quantize
    )


def test_numbers_of_timed_runs():
    # As they are when the module is imported, before `untimed`.
    assert (LATENCY_RUNS, WARM_UP_RUNS) == (50, 5)


def test_bounds_of_the_formats():
    assert {
        "none": Bound(1e-4, None, None),
        "float16": Bound(0.02, None, None),
        "dynamic": Bound(None, 0.98, 0.02),
        "int8": Bound(None, 0.98, 0.02),
        "int16x8": Bound(None, 0.98, 0.01),
    } == BOUNDS


# Relative to the largest probability, 0.8.
@pytest.mark.parametrize(
    ("quantize", "within", "beyond"), [("none", 0.99e-4, 1.01e-4), ("float16", 0.0199, 0.0201)]
)
def test_differences_of_probabilities(quantize, within, beyond):
    source = fake_source(4)
    agreement = check(source, altered(source, more=0.8 * within), quantize).agreement
    assert agreement.max_difference == pytest.approx(within)
    with pytest.raises(VerificationError, match="largest relative difference"):
        check(source, altered(source, more=0.8 * beyond), quantize)


# 98 % of 200 images are 196; accuracy may be lost on 2 % of them, or on 1 %.
@pytest.mark.parametrize(("quantize", "within"), [("dynamic", 4), ("int8", 4), ("int16x8", 2)])
def test_predictions_that_8_bits_may_change(quantize, within):
    source = fake_source(200)
    agreement = check(source, altered(source, within), quantize).agreement
    assert agreement.same_prediction == agreement.accuracy == 1 - within / 200
    assert agreement.model_accuracy == 1.0
    with pytest.raises(VerificationError) as error:
        check(source, altered(source, within + 1), quantize)
    assert "accuracy" in str(error.value)
    assert ("same prediction" in str(error.value)) == (within == 4)


@pytest.mark.parametrize("quantize", ["dynamic", "int8", "int16x8"])
def test_one_changed_image_is_always_allowed(quantize):
    source = fake_source(10)
    assert check(source, altered(source, 1), quantize).agreement.accuracy == 0.9
    with pytest.raises(VerificationError, match="same prediction on 80.00 %.*allowed loss 10"):
        check(source, altered(source, 2), quantize)


@pytest.mark.parametrize("quantize", ["dynamic", "int8", "int16x8"])
def test_without_labels_8_bits_may_change_predictions_of_nearly_tied_classes(quantize):
    source = fake_source(10, labels=False)
    source.expected[:] = [0.5, 0.41, 0.09]
    agreement = check(source, altered(source, 10), quantize).agreement
    assert (agreement.same_prediction, agreement.accuracy) == (1, None)
    source.expected[:] = [0.5, 0.39, 0.11]
    assert check(source, altered(source, 1), quantize).agreement.same_prediction == 0.9
    with pytest.raises(VerificationError, match="same prediction on 80.00 %"):
        check(source, altered(source, 2), quantize)


@pytest.mark.parametrize("quantize", ["none", "float16"])
def test_no_prediction_may_change_in_floating_point(quantize):
    source = fake_source(200, labels=False)
    source.expected[:] = [0.5, 0.5 - 1e-3, 0.0]
    found = altered(source)
    found[0] = found[0, [1, 0, 2]]
    within = BOUNDS[quantize].max_difference > 2e-3
    if within:
        # So near to each other, the two classes are the same prediction.
        assert check(source, found, quantize).agreement.same_prediction == 1
    else:
        with pytest.raises(VerificationError, match="same prediction on 99.50 %"):
            check(source, found, quantize)


def test_run_raw_is_compared_instead_of_run():
    source = fake_source(3)
    found = altered(source)
    checked = verify.check(
        source, lambda batch: found[: len(batch)] + 1, run_raw=lambda batch: found[: len(batch)]
    )
    assert checked.agreement.max_difference == 0
    assert checked.latency.threads == verify.processors() >= 1


def test_latency_leaves_out_the_first_runs(monkeypatch):
    clock = iter([0, 100, *(t for start in (0, 10, 20, 30) for t in (start, start + 0.001))])
    monkeypatch.setattr(verify.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(verify, "WARM_UP_RUNS", 1)
    monkeypatch.setattr(verify, "LATENCY_RUNS", 4)
    source = fake_source(1)
    found = altered(source)
    calls = []
    latency = verify.check(
        source, lambda batch: calls.append(len(batch)) or found, threads=3
    ).latency
    # Once to compare, then as often as it is timed.
    assert calls == [1] * 6
    assert (latency.p50_ms, latency.p95_ms) == (1.0, 1.0)
    assert (latency.runs, latency.threads) == (4, 3)


def test_only_overwrite_replaces_a_file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_text("old")
    with pytest.raises(UserError, match="model.tflite"), verify.output(path, overwrite=False):
        pass
    assert path.read_text() == "old"
    with verify.output(path, overwrite=True) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
