"""The reproducibility checklist of machine learning for the claims, answered from the rows.

The questions are those of Pineau et al. 2021, "Improving Reproducibility in Machine Learning
Research", in other words. Each answer is yes, partly, no, or that there is nothing to answer.
"""

from collections import Counter
from collections.abc import Sequence

from reproduce.claims.claim import Claim
from reproduce.claims.results import Results
from reproduce.claims.verdicts import UNDECIDED
from reproduce.harness.tables import Row, markdown

YES, PARTLY, NO, NONE = "yes", "partly", "no", "nothing to answer"


def checklist(claims: Sequence[tuple[Claim, Results]]) -> str:
    """Returns the Markdown table of questions and answers.

    Args:
        claims: The claims with their rows.
    """
    answers = {
        "networks": _about_networks(),
        "theory": [["theorems and proofs", NONE, "there are none"]],
        "data": _about_data(claims),
        "code": _about_code(claims),
        "experiments": _about_experiments(claims),
    }
    rows = [[about, *answer] for about, several in answers.items() for answer in several]
    return markdown(["about", "question", "answer", "where, or what is missing"], rows, left=4)


def _about_networks() -> list[list[str]]:
    return [
        [
            "networks and trainings described",
            YES,
            "the claim and its recipe in `reproduce/claims/`; tables of the papers in "
            "`keras_classics/models/`",
        ],
        [
            "assumptions stated",
            YES,
            "what differs from the paper: head of each program; what the tests assume: "
            "`reproduce/claims/sequential.py`, `evidence.py`",
        ],
        [
            "cost in time and memory",
            YES,
            "parameters, multiply-adds and memory: `keras-classics zoo`, `describe`",
        ],
    ]


def _about_data(claims: Sequence[tuple[Claim, Results]]) -> list[list[str]]:
    names = sorted({row["dataset"].partition("/")[0] for row in _runs(claims)})
    return [
        [
            "numbers of images, splits",
            YES,
            "in each section; the test split decides nothing, and searches hold out training "
            "images",
        ],
        [
            "what is left out, and preprocessing",
            YES,
            "`limit_train`, `limit_test` (the same random choice in every run), `only_classes` and "
            "`preprocessing` of the recipe",
        ],
        [
            "where to get them",
            YES,
            f"{', '.join(f'`{name}`' for name in names)}: `make data`, and the extra `[train]`",
        ],
        ["new data and how they were collected", NONE, "there are none"],
        [
            "the papers' own data",
            NO,
            "MNIST whole, CIFAR-10 and ImageNet were not used: every `--recipe=paper` is not run",
        ],
    ]


def _about_code(claims: Sequence[tuple[Claim, Results]]) -> list[list[str]]:
    runs = _runs(claims)
    hashed = sum(bool(row.get("outcome_sha256")) for row in runs)
    return [
        [
            "dependencies",
            YES,
            "`setup.py`, pinned in `constraints.txt`; a row names commit, Python, TensorFlow and "
            "Keras",
        ],
        ["training and evaluation", YES, "the program of each section"],
        [
            "trained networks",
            PARTLY,
            "weights of `reproduce.own_weights` are included; those of the claims' runs are not: "
            f"their hash is, in {hashed} of {len(runs)} rows",
        ],
        ["results with the command of each", YES, "this page; `command` in the rows"],
        [
            "rows repeat to the last digit",
            PARTLY,
            "on a machine with the same vector instructions; `reproduce.verify` runs rows again",
        ],
    ]


def _about_experiments(claims: Sequence[tuple[Claim, Results]]) -> list[list[str]]:
    runs = _runs(claims)
    hours = sum(float(row["seconds"]) for row in runs) / 3600
    devices = "; ".join(sorted({row["device"] for row in runs}))
    searched = sum(len(results.search) for _, results in claims)
    decided = [claim for claim, results in claims if _is_decided(claim, results)]
    arms = Counter(
        (claim.name, row["variant"]) for claim, results in claims for row in results.runs
    )
    fewest, most = min(arms.values(), default=0), max(arms.values(), default=0)
    return [
        [
            "hyperparameters tried, and how they were chosen",
            PARTLY,
            f"{searched} rows of `--search`; the rates of the claim on ReLUs are among its runs; "
            "most other values are the papers' or were chosen by trials without rows",
        ],
        ["all hyperparameters", YES, "the recipe; a run keeps `recipe.json`"],
        [
            "number of runs",
            YES,
            f"{len(runs)} runs, {fewest} to {most} of an arm; trials before a design was set have "
            "no rows",
        ],
        [
            "what is measured",
            YES,
            "error after the last epoch, one view, each test image once; tests and margins in "
            "each section",
        ],
        [
            "means with spreads, intervals",
            YES,
            "mean ± standard deviation over seeds, 95 % intervals, Holm within a claim",
        ],
        [
            "enough runs to decide",
            PARTLY if len(decided) < len(claims) else YES,
            f"{len(decided)} of {len(claims)} claims are decided; `--until=decided` adds seeds",
        ],
        [
            "time and energy",
            PARTLY,
            f"{hours:.1f} hours, seconds in each row; cores were shared, energy not measured",
        ],
        [
            "machines",
            PARTLY,
            f"{devices}; older rows do not name their vector instructions",
        ],
    ]


def _runs(claims: Sequence[tuple[Claim, Results]]) -> list[Row]:
    return [row for _, results in claims for row in results.runs]


def _is_decided(claim: Claim, results: Results) -> bool:
    return claim.judgements(results)[0].verdict != UNDECIDED
