"""What all claims have in common: their recipes, their rows, their page, their programs."""

import csv
import hashlib
import json
import re
from collections import Counter

import pytest

from reproduce.claims import CLAIMS, results
from reproduce.claims.claim import Claim
from reproduce.claims.results import TRAINING_ERROR, Results, add_results, read_results
from reproduce.claims.results import run_of as run_hash
from reproduce.harness.result_table import finished_runs
from reproduce.harness.tables import read_rows
from reproduce.report import claims_page
from tests.helpers.claims import run_of, together
from tests.helpers.runs import RESULT

# The programs with the flags for each claim. Those on a line can share a process.
PROGRAMS = (
    ("lenet5_mnist --compare=networks",),
    ("lenet5_mnist --compare=digits",),
    ("alexnet_relu", "alexnet_ablation", "ensemble"),
    ("vgg_first_bn", "vgg_depth", "vgg_receptive_field"),
    ("resnet_cifar10 --compare=shortcuts", "resnet_cifar10 --compare=depth"),
)

# Runs programs one after the other, without starting TensorFlow anew for each, the first variant.
SMOKE = """
import importlib, sys
from absl import flags
from reproduce.claims import CLAIMS
folder, *commands = sys.argv[1:]
for command in commands:
    name, *options = command.split()
    module = importlib.import_module(f"reproduce.{name}")
    flags.FLAGS.unparse_flags()
    run_dir = f"{folder}/{command.replace(' ', '_')}"
    (described,) = (claim for claim in CLAIMS.values() if claim.program == command)
    variant = next(iter(described.variants))
    flags.FLAGS([name, *options, "--smoke", f"--run_dir={run_dir}", f"--variant={variant}"])
    module.main()
"""

every_claim = pytest.mark.parametrize("name", CLAIMS)


def test_every_claim_has_its_program():
    assert Counter(c.program for c in CLAIMS.values()) == Counter(p for ps in PROGRAMS for p in ps)


@every_claim
def test_each_variant_is_another_run(name):
    described = CLAIMS[name]
    here = next(iter(described.recipes.values()))
    assert here.dataset in ("fashion_mnist", "mnist_5000")
    # The papers' figures are of other data.
    assert here.paper is None or here.paper.dataset != here.dataset
    recipes = [described.recipe_of(variant, here, seed=3) for variant in described.variants]
    assert {recipe.seed for recipe in recipes} == {3}
    assert {recipe.validation for recipe in recipes} == {0}
    contents = [json.dumps({**recipe.to_json(), "tags": {}}, sort_keys=True) for recipe in recipes]
    starts = [described.starts_from.get(variant) for variant in described.variants]
    assert len(set(zip(contents, starts, strict=True))) == len(recipes)
    for variant, recipe in zip(described.variants, recipes, strict=True):
        assert recipe.tags == {"claim": name, "variant": variant}


@every_claim
def test_rows_are_of_runs_that_can_be_run_again(name):
    described = CLAIMS[name]
    results = described.results()
    programs = {described.program, *described.program.split()}
    for row in results.runs:
        assert row["variant"] in described.variants
        assert re.fullmatch(r"[0-9a-f]{64}", row["result_sha256"])
        assert re.fullmatch(r"[0-9a-f]{40}", row["commit"]), "of a checkout without changes"
        if row.get("outcome_sha256"):
            assert not re.search(r"[\s=]/|^/", row["command"]), "no path of one machine"
        module, *options = row["command"].partition("-m reproduce.")[2].split()
        assert module in programs
        last = dict(option.removeprefix("--").split("=") for option in options)
        assert (last["variant"], last["seed"]) == (row["variant"], row["seed"])
        # The last epoch, whatever the others were.
        history = [epoch for epoch in results.epochs if epoch["run"] == run_hash(row)]
        assert [int(epoch["epoch"]) for epoch in history] == list(range(1, int(row["epochs"]) + 1))
        assert float(history[-1]["test_accuracy"]) == pytest.approx(1 - float(row["test_error"]))
    runs = {run_hash(row) for row in results.runs}
    assert len(runs) == len(results.runs)
    assert {row["run"] for row in [*results.epochs, *results.layers]} <= runs


@every_claim
def test_tables_do_not_mix_protocols(name):
    for column in ("protocol", "recipe", "dataset", "images"):
        # Of a data set with folds, the runs test on different ones.
        values = {row[column].partition("/")[0] for row in CLAIMS[name].results().runs}
        assert len(values) <= 1, column


@every_claim
def test_what_came_out_is_told_in_words(name):
    """Figures are rendered: those in a sentence would not follow the rows."""
    described = CLAIMS[name]
    assert bool(described.reading) == bool(described.results().runs)
    assert not re.search(r"\d+[.,]\d|\d+ ?%|\d+ (of|points|times)", described.reading)


def test_a_page_of_claims_that_were_not_run():
    page = claims_page.rendered_page(
        [Claim(**{**vars(c), "name": "nothing"}) for c in CLAIMS.values()]
    )
    for described in CLAIMS.values():
        assert f"\n## {described.title}\n" in page
    assert page.count("| not run | - |") >= len(CLAIMS)
    anchors = re.findall(r"\]\(#([^)]*)\)", page)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    names = [re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in headings]
    # Each section is named once, those of the claims in order.
    assert sorted(anchors) == sorted(names)
    assert anchors[-len(CLAIMS) :] == [name for name in names if name in anchors[-len(CLAIMS) :]]


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Claim:
    """A claim whose rows lie in a folder of their own."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    return Claim(**{**vars(CLAIMS["resnet_shortcuts"]), "name": "tiny"})


def finished(folder, variant: str, seed: int, error: float) -> None:
    """What a run of two epochs leaves, as far as rows are taken from it."""
    folder.mkdir(parents=True)
    result = {
        **RESULT,
        "seed": seed,
        "tags": {"claim": "tiny", "variant": variant},
        "metrics": {**RESULT["metrics"], "test_error": error, "test_accuracy": 1 - error},
    }
    (folder / "result.json").write_text(json.dumps(result))
    with open(folder / "history.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(results.HISTORY_COLUMNS[3:])
        writer.writerows([[1, 7, 0.1, 2, 0.4, 2, 0.9], [2, 14, 0.1, 1, 0.5, 1, 1 - error]])


def test_rows_of_folders_are_added_and_take_the_place_of_old_ones(tiny, tmp_path):
    finished(tmp_path / "runs" / "20_B_seed0", "20_B", 0, 0.25)
    finished(tmp_path / "runs" / "20_A_seed0", "20_A", 0, 0.5)
    finished(tmp_path / "again", "20_A", 0, 0.125)
    add_results("tiny", finished_runs(tmp_path / "runs"))
    rows = read_results("tiny")
    assert [row["variant"] for row in rows.runs] == ["20_A", "20_B"]
    content = (tmp_path / "runs" / "20_A_seed0" / "result.json").read_bytes()
    assert rows.runs[0]["result_sha256"] == hashlib.sha256(content).hexdigest()
    add_results("tiny", finished_runs(tmp_path / "again"))
    rows = read_results("tiny")
    assert [float(row["test_error"]) for row in rows.runs] == [0.125, 0.25]
    assert rows.errors("20_A") == [12.5]
    assert rows.errors("20_A", "training") == [50]
    # The rows of the old run's epochs went with it.
    assert len(rows.epochs) == 4
    (history,) = rows.histories("20_A")
    assert [row["test_accuracy"] for row in history] == ["0.9", "0.875"]
    test, training = rows.error_lines("20_A", "A")
    assert [round(value, 6) for value in test.runs[0]] == [10, 12.5]
    assert [round(value, 6) for value in training.runs[0]] == [60, 50]


def test_the_gain_of_a_variant():
    runs = [
        {"variant": variant, "test_error": str(error)}
        for variant, errors in (("a", (0.10, 0.12)), ("b", (0.20, 0.22)))
        for error in errors
    ]
    results = Results(runs)
    # Both deviations are sqrt(2) points, so Welch's freedom is 2, of which t is 4.3027.
    assert results.gain("b", "a") == "+10.00 (+3.92 to +16.08)"
    assert results.gain("b", "none") == "-"


def test_training_errors_in_inference():
    measured = [(*TRAINING_ERROR.values(), 0.125), ("end", "fc", "response", 7)]
    results = together(run_of("a", 0, 0.5, (), measured), run_of("a", 1, 0.5), run_of("b", 0, 0.5))
    assert results.errors("a", "inference") == [12.5]
    assert results.error_cells("a") == ["25.00 ± 0.00", "12.50", "50.00 ± 0.00"]
    assert results.error_cells("b") == ["25.00", "not run", "50.00"]


# The claims share what runs them; the larger networks take longer.
SMALL, *LARGER = PROGRAMS


@pytest.mark.parametrize(
    "commands",
    [SMALL, *(pytest.param(commands, marks=pytest.mark.slow) for commands in LARGER)],
    ids=["lenet5", "digits", "alexnet", "vgg", "resnet"],
)
def test_smoke(run_program, tmp_path, commands):
    done = run_program("-c", SMOKE, str(tmp_path), *commands)
    assert done.returncode == 0, done.stderr
    for command in commands:
        folder = tmp_path / command.replace(" ", "_")
        assert f"files   {folder}/" in done.stdout
        assert "not run" not in done.stdout
        results = [json.loads(path.read_text()) for path in folder.glob("*/result.json")]
        (layers,) = folder.glob("*/layers.csv")
        (error,) = (r["value"] for r in read_rows(layers) if r["quantity"] == "training_error")
        # A whole number of the training images.
        images = results[0]["train_images"]
        assert float(error) * images == pytest.approx(round(float(error) * images), abs=1e-4)
        assert [result["dataset"] for result in results] == ["digits"]
