"""Optimises the pixels of images, by Adam or L-BFGS. Needs TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_classics.backend import tf
from keras_classics.errors import NonFiniteLossError, UserError, require

OPTIMIZERS = ("lbfgs", "adam")

# Standard deviation of the noise at the start, around the middle grey.
NOISE = 8.0

# Past steps from which L-BFGS estimates the curvature, and most evaluations per step.
MEMORY, EVALUATIONS = 20, 20

# Called with the number of a step, from 1, and the mean over the images of each term.
OnStep = Callable[[int, dict[str, float]], None]

# From pixels to each image's loss, and to each image's terms by name.
Objective = Callable[["tf.Tensor"], tuple["tf.Tensor", dict[str, "tf.Tensor"]]]


@dataclass(frozen=True)
class Inversion:
    """Images that were optimised.

    Attributes:
        images: float32, 0..255, shape (batch, height, width, channels).
        history: For each term of the loss its values at the start and after each step, shape
            (steps + 1, batch).
    """

    images: np.ndarray
    history: dict[str, np.ndarray]

    @property
    def rounded(self) -> np.ndarray:
        """The images as uint8."""
        return np.rint(self.images).astype("uint8")


class _History:
    """Collects the terms of each step, and refuses those that are not finite."""

    def __init__(self, on_step: OnStep | None):
        self._rows: list[dict[str, np.ndarray]] = []
        self._on_step = on_step

    def add(self, loss: np.ndarray, terms: dict[str, np.ndarray]) -> None:
        step = len(self._rows)
        if not np.isfinite(loss).all():
            raise NonFiniteLossError(
                f"The loss is not finite after {step} steps. Use a smaller rate, or images and "
                "weights that are finite."
            )
        self._rows.append({**terms, "loss": loss})
        if step and self._on_step:
            self._on_step(step, {name: float(np.mean(v)) for name, v in self._rows[-1].items()})

    def inversion(self, images: np.ndarray) -> Inversion:
        names = self._rows[0]
        return Inversion(images, {n: np.stack([row[n] for row in self._rows]) for n in names})


def noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns images of a grey with a little noise."""
    return generator.normal(127.5, NOISE, shape).astype("float32")


def check_optimizer(name: str) -> None:
    """Raises a `UserError` if there is no such optimiser."""
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer must be 'lbfgs' or 'adam'. Received: {name!r}.")


def optimized(
    optimizer: str,
    objective: Objective,
    start: np.ndarray,
    steps: int,
    rate: float,
    on_step: OnStep | None,
) -> Inversion:
    """Minimises by an optimizer in `OPTIMIZERS`; the rate is Adam's."""
    if optimizer == "lbfgs":
        return by_lbfgs(objective, start, steps, on_step)
    return by_adam(objective, start, steps, rate, on_step)


def by_lbfgs(
    objective: Objective, start: np.ndarray, steps: int, on_step: OnStep | None
) -> Inversion:
    """Minimises the sum of the images' losses by L-BFGS, with pixels in 0..255."""
    optimize = require("scipy.optimize", "train")

    @tf.function(autograph=False)
    def evaluate(pixels):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            loss, terms = objective(pixels)
        return tape.gradient(loss, pixels), loss, terms

    latest: dict[float, tuple[np.ndarray, dict]] = {}

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        pixels = tf.constant(255 * flat.reshape(start.shape), tf.float32)
        gradient, loss, terms = evaluate(pixels)
        value = float(np.sum(loss.numpy(), dtype="float64"))
        latest[value] = (loss.numpy(), {name: term.numpy() for name, term in terms.items()})
        return value, 255 * gradient.numpy().astype("float64").ravel()

    history = _History(on_step)
    flat = start.astype("float64").ravel() / 255
    history.add(*latest[value_and_gradient(flat)[0]])

    def after_step(intermediate_result) -> None:
        history.add(*latest[float(intermediate_result.fun)])
        latest.clear()

    found = optimize.minimize(
        value_and_gradient,
        flat,
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(0, 1),
        callback=after_step,
        options={
            "maxiter": steps,
            "maxfun": EVALUATIONS * steps,
            "maxcor": MEMORY,
            "ftol": 0,
            "gtol": 0,
        },
    )
    return history.inversion((255 * found.x).reshape(start.shape).astype("float32"))


def by_adam(
    objective: Objective,
    start: np.ndarray,
    steps: int,
    rate: float,
    on_step: OnStep | None,
    *,
    scales: int = 1,
    jitter: Callable[[], np.ndarray] | None = None,
    blur: float = 0.0,
    blur_every: int = 4,
) -> Inversion:
    """Minimises the images' losses by Adam. See `invert.maximize` for the arguments.

    Args:
        objective: The losses.
        start: The images to start from.
        steps: Steps in all.
        rate: Learning rate, in values of pixels.
        on_step: Called after each step.
        scales: Number of sizes, the smallest first.
        jitter: Draws a shift in rows and columns for each step.
        blur: Standard deviation of a Gaussian filter, in pixels.
        blur_every: Steps after which it is applied.
    """
    sides = start.shape[1:3]
    history = _History(on_step)
    pixels, done = start, 0
    for scale in reversed(range(scales)):
        small = [max(1, side >> scale) for side in sides]
        variable = keras.Variable(_resized(pixels, small), trainable=True, name="pixels")
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build([variable])
        step = _adam_step(objective, variable, optimizer, sides)
        end = steps * (scales - scale) // scales
        for number in range(done, end):
            shift = jitter() if jitter else (0, 0)
            loss, terms = step(tf.constant(shift, tf.int32))
            history.add(loss.numpy(), {name: term.numpy() for name, term in terms.items()})
            if blur and (number + 1) % blur_every == 0:
                variable.assign(blurred(variable.value, blur / 2**scale))
        pixels, done = variable.numpy(), end
    loss, terms = objective(tf.constant(pixels))
    history.add(loss.numpy(), {name: term.numpy() for name, term in terms.items()})
    return history.inversion(pixels)


def _adam_step(
    objective: Objective, variable: keras.Variable, optimizer: keras.optimizers.Optimizer, sides
) -> Callable:
    @tf.function(autograph=False)
    def step(shift):
        with tf.GradientTape() as tape:
            pixels = variable.value
            if tuple(pixels.shape[1:3]) != tuple(sides):
                pixels = tf.image.resize(pixels, sides)
            loss, terms = objective(tf.roll(pixels, shift, axis=(1, 2)))
            total = tf.reduce_sum(loss)
        optimizer.apply([tape.gradient(total, variable.value)], [variable])
        variable.assign(tf.clip_by_value(variable.value, 0.0, 255.0))
        return loss, terms

    return step


def _resized(pixels: np.ndarray, sides: list[int]) -> np.ndarray:
    return tf.image.resize(pixels, sides, antialias=True).numpy()


def blurred(images: "tf.Tensor", deviation: float) -> "tf.Tensor":
    """Returns images after a Gaussian filter, mirrored at the border.

    Args:
        images: Shape (batch, height, width, channels).
        deviation: Standard deviation in pixels.
    """
    channels = images.shape[-1]
    for axis in (1, 2):
        radius = min(int(np.ceil(3 * deviation)), images.shape[axis])
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
        kernel = np.zeros((2 * radius + 1, 1, channels, 1), "float32")
        kernel[:, 0, :, 0] = (weights / weights.sum())[:, None]
        padding = [[0, 0] for _ in range(4)]
        padding[axis] = [radius, radius]
        padded = tf.pad(images, padding, "SYMMETRIC")
        kernel = kernel if axis == 1 else kernel.transpose(1, 0, 2, 3)
        images = tf.nn.depthwise_conv2d(padded, kernel, [1] * 4, "VALID")
    return images
