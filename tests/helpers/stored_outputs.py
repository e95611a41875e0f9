"""A few of a network's outputs, as files in `tests/golden` keep them."""

import numpy as np

TOLERANCE = 1e-4
STORED = 8


def stored(outputs: np.ndarray) -> dict[str, float | list[float]]:
    """What a file keeps of a network's outputs."""
    return {
        "argmax": int(outputs.argmax()),
        "scale": float(f"{np.abs(outputs).max():.8g}"),
        "outputs": [float(f"{value:.8g}") for value in outputs[:: len(outputs) // STORED][:STORED]],
    }


def assert_near(outputs: np.ndarray, golden: dict) -> None:
    """Holds a network's outputs to stored ones."""
    found = stored(outputs)
    assert found["argmax"] == golden["argmax"]
    np.testing.assert_allclose(
        found["outputs"], golden["outputs"], rtol=0, atol=TOLERANCE * golden["scale"]
    )
