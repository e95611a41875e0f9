"""Networks of rectified linear units learn in fewer steps than networks of saturating units."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from keras_classics.analysis import plots
from keras_classics.evaluation.statistics import mean_difference
from keras_classics.training import Recipe
from keras_classics.training.optimizer import Momentum
from keras_classics.training.schedules import Constant
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import Steps
from reproduce.claims.results import Results
from reproduce.claims.verdicts import NOT_SEARCHED, Hypothesis
from reproduce.harness.tables import NOT_RUN, Row, markdown, spread

NAMES = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "logistic"}

# The start of training: AlexNet's, with weights of standard deviation 0.01 and images of 0..255
# minus their mean; or Glorot's weights and images of standard deviation 1.
STARTS = {"2012": "as in 2012", "glorot": "Glorot"}

RATES = {
    ("2012", "relu"): (0.002, 0.005, 0.01),
    ("2012", "tanh"): (0.01, 0.02, 0.05, 0.1),
    ("2012", "sigmoid"): (0.01, 0.02, 0.05, 0.1),
    ("glorot", "relu"): (0.01, 0.02, 0.05, 0.1),
    ("glorot", "tanh"): (0.01, 0.02, 0.05, 0.1),
    ("glorot", "sigmoid"): (0.005, 0.01, 0.02, 0.05),
}

# Runs of this seed choose the rate. They are not among the runs that are then compared.
CHOOSING_SEED = 100

# Training error to reach, by recipe. The paper's is 25 %; Fashion-MNIST is easier.
LEVELS = {"fashion": 0.2, "paper": 0.25}
# All data sets here have ten classes.
GUESSING = 0.9

# Mean and standard deviation of Fashion-MNIST's pixels; standard deviations of CIFAR-10's.
MEAN, DEVIATION = 72.94, 90.02
DEVIATIONS = (63.0, 62.1, 66.7)

# No regularisation: no weight decay, dropout or augmentation. No response normalisation either.
FASHION = Recipe(
    name="fashion",
    model="cuda_convnet",
    dataset="fashion_mnist",
    limit_train=5000,
    limit_test=1000,
    epochs=24,
    batch_size=64,
    optimizer=Momentum(momentum=0.9),
    schedule=Constant(0.01),
    model_arguments={"input_shape": (28, 28, 1), "lrn": None},
    preprocessing="canvas",
    preprocessing_arguments={
        "size": 28,
        "border": 0,
        "background": -MEAN,
        "foreground": 255.0 - MEAN,
    },
)

PAPER = dataclasses.replace(
    FASHION,
    name="paper",
    dataset="cifar10",
    limit_train=None,
    limit_test=None,
    epochs=60,
    batch_size=128,
    model_arguments={"lrn": None},
    preprocessing="image",
    preprocessing_arguments={"resize": 32, "crop": 32, "mean": "per_pixel"},
    sources={
        "dataset": "Krizhevsky et al. 2012, Figure 1",
        "batch_size": "Krizhevsky et al. 2012, section 5",
        "optimizer": "Krizhevsky et al. 2012, section 5; Figure 1: no regularisation of any kind",
        "model_arguments": "Krizhevsky et al. 2012, section 5: initial weights",
        "preprocessing_arguments": "Krizhevsky et al. 2012, section 2: minus the mean image",
    },
)

# Arguments that scale images to standard deviation 1, by preprocessing.
SCALED = {
    "canvas": {"background": -MEAN / DEVIATION, "foreground": (255.0 - MEAN) / DEVIATION},
    "image": {"std": DEVIATIONS},
}


def _variant(recipe: Recipe, start: str, activation: str, rate: float) -> Recipe:
    arguments, preprocessing = dict(recipe.model_arguments), recipe.preprocessing_arguments
    if start == "glorot":
        arguments["kernel_initializer"] = "glorot_uniform"
        preprocessing = {**preprocessing, **SCALED[recipe.preprocessing]}
    return dataclasses.replace(
        recipe,
        schedule=Constant(rate),
        model_arguments={**arguments, "activation": activation},
        preprocessing_arguments=preprocessing,
    )


def _name(start: str, activation: str, rate: float) -> str:
    return f"{activation}_{start}_{rate}"


VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    _name(start, activation, rate): partial(_variant, start=start, activation=activation, rate=rate)
    for (start, activation), rates in RATES.items()
    for rate in rates
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of the runs of a variant.

    Attributes:
        steps: For each run that reached the level, its steps until then.
        longest: For each other run, all its steps.
        errors: Training error of each run in its last epoch.
        steps_per_epoch: Steps of an epoch.
    """

    steps: list[float]
    longest: list[int]
    errors: list[float]
    steps_per_epoch: int

    @property
    def seeds(self) -> int:
        """Number of runs."""
        return len(self.errors)

    @property
    def at_least(self) -> float:
        """Mean of the steps; a run that did not reach the level counts with all its steps."""
        return fmean([*self.steps, *self.longest])

    def shown(self, unit: int = 1, digits: int = 0) -> str:
        """Returns mean and deviation, or how many runs did not reach the level.

        Args:
            unit: Steps that count as one.
            digits: Digits after the point.
        """
        if not self.longest:
            return spread([value / unit for value in self.steps], digits)
        most = f"more than {max(self.longest) / unit:,.{digits}f}"
        return most if self.seeds == 1 else f"{most} in {len(self.longest)} of {self.seeds}"


def steps_to(level: float, epochs: Sequence[Row]) -> float | None:
    """Returns after how many steps the training error reached a level; None if it did not.

    The error of an epoch is its mean and stands for its middle. Between two middles the error is
    interpolated linearly; at the start it is that of guessing.

    Args:
        level: 0 to 1.
        epochs: Rows of a run.
    """
    end, step_before, error_before = 0, 0.0, GUESSING
    for epoch in epochs:
        step, error = (end + int(epoch["step"])) / 2, 1 - float(epoch["train_accuracy"])
        if error <= level:
            fraction = (error_before - level) / (error_before - error)
            return step_before + fraction * (step - step_before)
        end, step_before, error_before = int(epoch["step"]), step, error
    return None


def outcome(results: Results, variant: str, seeds: Callable[[int], bool]) -> Outcome | None:
    """Returns the outcome of the runs of a variant with some seeds; None if there are none."""
    steps, longest, errors, steps_per_epoch = [], [], [], 0
    for run, epochs in zip(results.of(variant), results.histories(variant), strict=True):
        if seeds(int(run["seed"])):
            steps_per_epoch = int(epochs[0]["step"])
            errors.append(1 - float(run["train_accuracy"]))
            reached = steps_to(LEVELS[run["recipe"]], epochs)
            if reached is None:
                longest.append(int(run["steps"]))
            else:
                steps.append(reached)
    return Outcome(steps, longest, errors, steps_per_epoch) if errors else None


def chosen_rate(results: Results, start: str, activation: str) -> float | None:
    """Returns the rate with the fewest steps; None if nothing was run.

    Runs of `CHOOSING_SEED` decide; if there are none, all runs do. If no run reaches the level, the
    last error decides.
    """
    for seeds in (_chooses, _is_compared):
        outcomes = {
            rate: found
            for rate in RATES[start, activation]
            if (found := outcome(results, _name(start, activation, rate), seeds))
        }
        if outcomes:
            return min(outcomes, key=lambda rate: _order(outcomes[rate]))
    return None


def _order(found: Outcome) -> tuple[int, float, float]:
    return len(found.longest), found.at_least, fmean(found.errors)


def _chooses(seed: int) -> bool:
    return seed == CHOOSING_SEED


def _is_compared(seed: int) -> bool:
    return seed != CHOOSING_SEED


def compared(results: Results, start: str) -> dict[str, Outcome]:
    """Returns the outcome of each activation at its own rate, if it was run."""
    found = {
        activation: outcome(results, _name(start, activation, rate), _is_compared)
        for activation in NAMES
        if (rate := chosen_rate(results, start, activation)) is not None
    }
    return {activation: runs for activation, runs in found.items() if runs}


def times(slow: Outcome, fast: Outcome) -> str:
    """Returns the ratio of the steps of two activations, with the 95 % interval.

    The mean is geometric, and the interval is that of a difference of logarithms. If a run of the
    slow one did not reach the level, the ratio is a lower bound.
    """
    if fast.longest:
        return "-"
    if slow.longest:
        return f"more than {slow.at_least / fast.at_least:.1f}"
    if min(slow.seeds, fast.seeds) < 2:
        return f"{slow.at_least / fast.at_least:.1f}"
    logs = [[math.log(value) for value in found.steps] for found in (slow, fast)]
    ratio, low, high = map(math.exp, mean_difference(*logs))
    return f"{ratio:.1f} ({low:.1f} to {high:.1f})"


def _table(results: Results) -> str:
    rows = []
    for start, activation in RATES:
        found = compared(results, start)
        rate = chosen_rate(results, start, activation)
        cells = [STARTS[start], NAMES[activation], "-" if rate is None else f"{rate:g}"]
        if activation in found:
            runs = found[activation]
            ratio = "-"
            if activation != "relu" and "relu" in found:
                ratio = times(runs, found["relu"])
            cells += [runs.shown(), runs.shown(runs.steps_per_epoch, 1), ratio, str(runs.seeds)]
        else:
            cells += [NOT_RUN, "-", "-", "-"]
        rows.append(cells)
    head = ["start", "units", "rate", "steps", "epochs", "times ReLU's (95 %)", "seeds"]
    return f"{markdown(head, rows, left=2)}\n\n{_rates_table(results)}"


def _rates_table(results: Results) -> str:
    """Steps at every rate, from the runs that choose the rate."""
    rates = sorted({rate for several in RATES.values() for rate in several})

    def cell(start: str, activation: str, rate: float) -> str:
        if rate not in RATES[start, activation]:
            return "-"
        found = outcome(results, _name(start, activation, rate), _chooses)
        if found is None:
            return NOT_RUN
        best = rate == chosen_rate(results, start, activation)
        return f"**{found.shown()}**" if best else found.shown()

    rows = [
        [STARTS[start], NAMES[activation], *(cell(start, activation, rate) for rate in rates)]
        for start, activation in RATES
    ]
    head = ["start", f"units: steps at a rate of (seed {CHOOSING_SEED})"]
    return markdown([*head, *(f"{rate:g}" for rate in rates)], rows, left=2)


def _draw(results: Results, path: Path) -> None:
    panels = {f"start: {name}": _lines(results, start) for start, name in STARTS.items()}
    panels = {title: lines for title, lines in panels.items() if lines}
    if panels:
        plots.lines(panels, "epoch", "training error, %", path, solid="training error")


def _lines(results: Results, start: str) -> list[plots.Line]:
    """A line for each activation at its own rate, and one for the level."""
    lines, level = [], []
    for activation in compared(results, start):
        rate = chosen_rate(results, start, activation)
        variant = _name(start, activation, rate)
        runs = []
        for run, history in zip(results.of(variant), results.histories(variant), strict=True):
            if _is_compared(int(run["seed"])):
                runs.append([100 * (1 - float(epoch["train_accuracy"])) for epoch in history])
                level = [100 * LEVELS[run["recipe"]]] * len(history)
        lines.append(plots.Line(f"{NAMES[activation]}, rate {rate:g}", runs))
    return [*lines, plots.Line(f"level of {level[0]:g} %", [level], faint=True)] if lines else []


def _steps(results: Results, arm: str, level: float | None = None) -> list[tuple[float, bool]]:
    """Steps of each compared run of an arm until a level, or all its steps, and whether it got it.

    Args:
        results: The rows.
        arm: Start and activation.
        level: Training error; the recipe's if None.
    """
    start, activation = arm.split()
    runs: list[tuple[float, bool]] = []
    if (rate := chosen_rate(results, start, activation)) is None:
        return runs
    variant = _name(start, activation, rate)
    for run, epochs in zip(results.of(variant), results.histories(variant), strict=True):
        if _is_compared(int(run["seed"])):
            reached = steps_to(LEVELS[run["recipe"]] if level is None else level, epochs)
            runs.append((reached or float(run["steps"]), reached is not None))
    return runs


def _rate_of(results: Results, arm: str) -> str:
    """The rate that the runs of a seed of their own chose by the steps that are compared."""
    start, activation = arm.split()
    rates = RATES[start, activation]
    tried = [
        rate
        for rate in rates
        if any(_chooses(int(run["seed"])) for run in results.of(_name(start, activation, rate)))
    ]
    if tried != list(rates):
        return NOT_SEARCHED
    chosen = chosen_rate(results, start, activation)
    return f"{chosen:g} of {', '.join(f'{rate:g}' for rate in rates)}"


def _hypotheses() -> list[Hypothesis]:
    steps = Steps(_steps)
    at_25 = Steps(partial(_steps, level=LEVELS["paper"]))
    return [
        Hypothesis(
            "start of 2012: tanh takes more steps than ReLU", "2012 tanh", "2012 relu", steps
        ),
        Hypothesis(
            "start of 2012: tanh takes more than six times as many",
            "2012 tanh",
            "2012 relu",
            Steps(_steps, factor=6.0),
        ),
        Hypothesis(
            "start of 2012, to the paper's 25 %: tanh takes more", "2012 tanh", "2012 relu", at_25
        ),
        Hypothesis("Glorot: tanh takes more steps than ReLU", "glorot tanh", "glorot relu", steps),
        Hypothesis(
            "start of 2012: the logistic function takes more than ReLU",
            "2012 sigmoid",
            "2012 relu",
            steps,
        ),
    ]


CLAIM = Claim(
    name="alexnet_relu",
    title="ReLUs learn in fewer steps than saturating units",
    says="Krizhevsky et al. 2012, section 3.1 and Figure 1: on CIFAR-10 a network of four layers "
    "reaches 25 % training error six times as fast with ReLUs as with tanh, each at the rate at "
    "which it learns fastest, and without any regularisation.",
    paper="6 times, for tanh against ReLU; the logistic function is not in the figure",
    program="alexnet_relu",
    recipes={"fashion": FASHION, "paper": PAPER},
    variants=VARIANTS,
    seeds=5,
    table=_table,
    draw=_draw,
    hypotheses=_hypotheses(),
    rate_of=_rate_of,
    reading="At this level and with the start of 2012, tanh needs more steps than ReLU, but fewer "
    "than six times as many. The factor depends on the level: at the paper's level it is "
    "smaller. With Glorot's weights and scaled images tanh needs fewer steps than ReLU. "
    "Most runs of the logistic function do not reach the level. Rates were chosen with "
    "one seed each, and steps are interpolated between means of epochs.",
)
