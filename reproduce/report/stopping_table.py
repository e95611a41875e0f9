"""How seeds are added until a claim is decided: how often wrongly, and how many they are.

Simulated claims, with errors in units of the spread between seeds. Seeds are added until the claim
is decided, at most `MOST` of each arm; a look after each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reproduce.claims.evidence import LEVEL, POWER, fixed_seeds
from reproduce.claims.sequential import decisions, intervals, p_values
from reproduce.harness.tables import markdown

TEXT = """## Adding seeds until a claim is decided

```sh needs-hours
python -m reproduce.vgg_receptive_field --search
python -m reproduce.report --add=runs/vgg_receptive_field_fashion_mnist_fashion_search
python -m reproduce.vgg_receptive_field --until=decided --max_hours=10
```

`--until=decided` adds seeds of each variant to those of the claim's design until the primary
hypothesis has a verdict, by the rule of this page, or the finished runs have taken `--max_hours`.
It looks at the complete seeds of its folder alone: an interrupted command, repeated, comes to the
same verdict. The tests of a design are wrong too often if somebody looks after each seed. So a
claim with more seeds than its design has is judged by other tests, named *always-valid*: they
compare runs of the same seed, and their p-values and intervals hold whenever the runs end. The
intervals in a claim's other tables are Welch's, for a design. For a comparison over images, or of
steps times a factor, there is no such test: `--until` refuses it, and with more seeds than the
design has it stays undecided. Whoever adds seeds because the design did not decide has two chances
to be wrong: 5 % each.

The table simulates {claims:,} claims of one hypothesis at the level of {level:g}, with a look after
each seed and at most {most} seeds of each arm. Without a true difference each decision is wrong.
A fixed design, by Welch's test, needs so many seeds of each arm to find the difference in 80 or
95 % of repetitions, and its difference must be known beforehand.

{table}
"""

# Simulated claims of each kind, and the most seeds of each arm.
CLAIMS, MOST = 2000, 50

# Probability to find the difference in the second fixed design, near what adding seeds reaches.
HIGH_POWER = 0.95

# Means that are compared, in spreads between seeds.
DIFFERENCES = (0.0, 1.0, 1.5, 2.0, 3.0)

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _normal(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.normal(size=shape)


def _long_tailed(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_t(3, size=shape) / np.sqrt(3)


def _two_humps(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One run in five ends far away."""
    return np.where(draw.random(shape) < 0.2, 10.0, 0.0) + draw.normal(size=shape)


# How seeds spread, by name: the noise, and the spreads of both arms.
SPREADS: dict[str, tuple[Draw, float, float]] = {
    "normal": (_normal, 1.0, 1.0),
    "normal, five times in one arm": (_normal, 1.0, 5.0),
    "long tails (t, 3 degrees)": (_long_tailed, 1.0, 1.0),
    "two humps": (_two_humps, 1.0, 1.0),
}


@dataclass(frozen=True)
class Simulated:
    """What became of simulated claims.

    Attributes:
        seeds: Seeds of each arm when a claim ended, for each claim.
        signs: 1 or -1 where it was decided that the first or the second arm has more, else 0.
    """

    seeds: np.ndarray
    signs: np.ndarray

    def wrong(self, difference: float) -> float:
        """Returns the fraction of claims with a wrong decision, given the true difference."""
        return float(np.mean((self.signs != 0) & (self.signs != np.sign(difference))))


def simulated(spread: str, difference: float) -> Simulated:
    """Adds seeds to `CLAIMS` claims until they are decided."""
    noise, of_more, of_less = SPREADS[spread]
    draw = np.random.default_rng(0)
    more, less = noise(draw, (2, CLAIMS, MOST))
    differences = difference + of_more * more - of_less * less
    means, _ = intervals(differences, LEVEL)
    return Simulated(*decisions(p_values(differences), means, LEVEL))


def adding_seeds() -> str:
    """Returns the section of the page."""
    text = TEXT.format(claims=CLAIMS, level=LEVEL, most=MOST, table=stopping_table())
    return f"\n{text.rstrip()}"


def stopping_table() -> str:
    """Returns the Markdown table."""
    cases = [(spread, 0.0) for spread in SPREADS] + [("normal", d) for d in DIFFERENCES if d]
    rows = []
    for spread, difference in cases:
        ended = simulated(spread, difference)
        fixed = ["-", "-"]
        if difference:
            fixed = [str(fixed_seeds(difference, LEVEL, power)) for power in (POWER, HIGH_POWER)]
        rows.append(
            [
                spread,
                f"{difference:g}",
                f"{100 * ended.wrong(difference):.1f}",
                f"{100 * np.mean(ended.signs != 0):.1f}",
                f"{ended.seeds.mean():.1f}",
                *fixed,
            ]
        )
    head = ["spread between seeds", "true difference, spreads", "decided wrongly, %", "decided, %"]
    head += ["mean seeds of an arm"]
    head += [f"seeds of a fixed design, {100 * power:.0f} %" for power in (POWER, HIGH_POWER)]
    return markdown(head, rows)
