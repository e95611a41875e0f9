"""Renders reproduce/README.md: claims, commands, the papers' and the measured figures."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from reproduce.claims import CLAIMS
from reproduce.claims.claim import Claim
from reproduce.claims.results import Results
from reproduce.claims.verdicts import Judgement, verdict_line, verdicts_table
from reproduce.harness.tables import NOT_RUN, markdown, spread, write_or_check
from reproduce.report.checklist import checklist
from reproduce.report.stopping_table import adding_seeds

HERE = Path(__file__).parents[1]
PAGE = HERE / "README.md"
FIGURES = HERE / "figures"

HEAD = """# The papers' claims, tested

Each claim below is tested by the program named with it, on data that two CPU cores can train on.
With the paper's recipe the same command repeats the paper's own experiment, for those who have its
data and a GPU; "not run" marks what nobody has run here. Values are means and standard deviations
over seeds. Errors are those after the last epoch, and each test image counts once. Training
errors are means over the last epoch, with its dropout and augmentation; "in inference" is the error
of the final network on the plain training images. The test images
chose nothing. The runs shared their cores with other work. Each had one core and one thread: with
`TF_NUM_INTRAOP_THREADS=1` before its command, a run repeats bit for bit on a machine with the same
vector instructions. With others (AVX2 for AVX-512), with another number of threads or without
oneDNN, sums are taken in another order, and the bits differ: most runs end almost alike, and one
that a small difference decides, such as whether a network leaves the plateau, may end elsewhere.

The last table of each section holds the claim's hypotheses, the primary one first. Its verdict is
the claim's, by rule: *shown* or *contradicted* if p, after Holm's method over the hypotheses of the
claim, is below 0.05 and the learning rate of each arm was chosen by runs with other seeds, or is
part of the statement; otherwise *undecided at this budget*. "Design finds" is the smallest true
difference that as many seeds as the claim has would show in four of five repetitions, simulated
with the spread of the rows. `--search` tries the rates of a claim on images held out of training.
Seeds may be added until a claim is decided, by other tests: see
[Adding seeds until a claim is decided](#adding-seeds-until-a-claim-is-decided). The
[Reproducibility checklist](#reproducibility-checklist) lists what is there and what is missing.

The rows are in `reproduce/results/`. A row holds one run: seed, commit, versions, the command that
repeats it, the hash of its `result.json` and that of its metrics and final weights; in
`*_history.csv` it holds one epoch. Rows of before there was the second hash lack it. A run leaves
its folder in `runs/`, and `python -m reproduce.report --add=FOLDER` adds its row and renders this
page. `python -m reproduce.verify --rows=6` runs rows of six claims again and compares them.
"""

CHECKLIST = """## Reproducibility checklist

What the checklist of machine learning asks (Pineau et al. 2021), answered for the claims above.

{table}
"""


def update_claims(check: bool) -> None:
    """Writes the page, or checks that it is up to date. See `tables.write_or_check`."""
    write_or_check(PAGE, rendered_page(CLAIMS.values()), check)


def rendered_page(claims: Iterable[Claim]) -> str:
    """Returns the page."""
    overview, sections = [], []
    with_rows = [(claim, claim.results()) for claim in claims]
    for claim, results in with_rows:
        judgements = claim.judgements(results)
        overview.append([*_overview(claim, results), judgements[0].verdict])
        sections.append(_section(claim, results, judgements))
    head = ["claim", "program", "data", "runs", "hours", "verdict"]
    last = "\n" + CHECKLIST.format(table=checklist(with_rows))
    return "\n".join([HEAD, markdown(head, overview, left=3), *sections, adding_seeds(), last])


def _overview(claim: Claim, results: Results) -> list[str]:
    hours = sum(float(row["seconds"]) for row in results.runs) / 3600
    here = next(iter(claim.recipes.values()))
    link = f"[{claim.title}](#{_anchor(claim.title)})"
    runs = str(len(results.runs)) if results.runs else NOT_RUN
    program = f"`{claim.program.split()[0]}`"
    return [link, program, here.dataset, runs, f"{hours:.1f}" if results.runs else "-"]


def _section(claim: Claim, results: Results, judgements: Sequence[Judgement]) -> str:
    parts = [
        f"\n## {claim.title}\n",
        f"**Claim.** {claim.says}\n",
        f"**The paper's figures.** {claim.paper}.\n",
        f"{verdict_line(judgements)}\n",
        f"```sh needs-hours\n{_commands(claim)}\n```\n",
        f"{claim.table(results)}\n",
        f"{_rates(claim, results)}\n" if results.search else "",
        f"{verdicts_table(judgements)}\n",
        f"{_made_with(results)}\n" if results.runs else "",
        *(f"![{claim.title}](figures/{name})\n" for name in _figures(claim)),
        f"{claim.reading}\n" if claim.reading else "",
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _rates(claim: Claim, results: Results) -> str:
    """What --search found: errors by rate, that of the chosen rate in bold."""
    rates = sorted({rate for several in claim.rates.values() for rate in several})
    rows = []
    for variant in claim.rates:
        errors = results.held_out_errors(variant, next(iter(claim.recipes)))
        chosen = claim.chosen_rate(results, variant)
        cells = {rate: spread(errors.get(rate, [])) for rate in rates}
        rows.append([variant, *(f"**{c}**" if r == chosen else c for r, c in cells.items())])
    seeds = ", ".join(sorted({row["seed"] for row in results.search}))
    return (
        "Errors on images held out of training, %, by learning rate. The seeds are others than "
        f"those of the runs above: {seeds}. The rate in bold is chosen:\n\n"
        + markdown(["variant", *(f"{rate:g}" for rate in rates)], rows)
    )


def _figures(claim: Claim) -> list[str]:
    """The figures of a claim that exist: its own, and that of its layers."""
    names = (f"{claim.name}.png", f"{claim.name}_layers.png")
    return [name for name in names if (FIGURES / name).exists()]


def _commands(claim: Claim) -> str:
    program = f"python -m reproduce.{claim.program}"
    lines = [program] + [
        f"{program} --recipe={name}    # {NOT_RUN}" for name in list(claim.recipes)[1:]
    ]
    return "\n".join(lines)


def _made_with(results: Results) -> str:
    """Images, hardware, time, versions and commits of the runs of a table."""

    def all_of(name: str) -> str:
        return ", ".join(sorted({row[name] for row in results.runs}))

    def numbers(name: str) -> str:
        return ", ".join(f"{n:,}" for n in sorted({int(row[name]) for row in results.runs}))

    seconds = [float(row["seconds"]) for row in results.runs]
    commits = ", ".join(sorted({row["commit"][:7] for row in results.runs}))
    devices = "; ".join(sorted({row["device"] for row in results.runs}))
    return (
        f"*{all_of('dataset')}: {numbers('train_images')} training images, "
        f"{numbers('images')} test images, {numbers('epochs')} epochs; {len(seconds)} runs of "
        f"{min(seconds):,.0f} to {max(seconds):,.0f} s on {devices}; "
        f"TensorFlow {all_of('tensorflow')}, Keras {all_of('keras')}; commits {commits}.*"
    )


def _anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
