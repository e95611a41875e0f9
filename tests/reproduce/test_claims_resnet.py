"""The tables of ResNet's and LeNet's claims and of ensembles, from runs worked out by hand."""

import pytest

from reproduce.claims.ensemble import CLAIM as ENSEMBLE
from reproduce.claims.lenet5_digits import CLAIM as DIGITS
from reproduce.claims.lenet5_networks import CLAIM as LENET5
from reproduce.claims.lenet5_networks import NAMES
from reproduce.claims.resnet_depth import CLAIM as DEPTH
from reproduce.claims.resnet_depth import KINDS
from reproduce.claims.resnet_shortcuts import CLAIM as SHORTCUTS
from tests.helpers.claims import accuracies, rows_of, run_of, together
from tests.helpers.figures import caption, curves, dashed, labels, panels
from tests.helpers.images import read_png

# The epochs of each run that is drawn, and its test errors in per cent.
EPOCHS = ([1, 2], [30, 10])


def responses(*values: float) -> list[tuple]:
    """Responses of the layers, in order."""
    return [("end", f"conv{i}_bn", "response", value) for i, value in enumerate(values)]


def test_the_table_of_depth():
    results = together(
        run_of("plain56", 0, 0.20),
        run_of("plain56", 1, 0.22),
        run_of("resnet56", 0, 0.10),
        run_of("resnet32", 0, 0.12),
    )
    table = DEPTH.table(results)
    expected = ["10.50 ± 0.71", "not run", "21.00 ± 1.41", "5.00", "not run", "10.00", "2, 1"]
    assert rows_of(table, "56") == [expected]
    assert rows_of(table, "32") == [["not run"] * 3 + ["6.00", "not run", "12.00", "0, 1"]]
    assert rows_of(table, "20") == [["not run"] * 6 + ["-"]]


def test_what_depth_changes():
    errors = {"plain20": (0.10, 0.12), "plain56": (0.20, 0.22), "resnet56": (0.08, 0.10)}
    table = DEPTH.table(
        together(*(run_of(v, s, e) for v, two in errors.items() for s, e in enumerate(two)))
    )
    # Each mean of test errors deviates by 1, the difference by the root of 2; two degrees of
    # freedom, of which Student's t is 4.3027. Training errors are half as large.
    (cells,) = rows_of(table, "plain56 - plain20 | depth without shortcuts")
    assert cells == ["+5.00 (+1.96 to +8.04)", "+10.00 (+3.92 to +16.08)"]
    (cells,) = rows_of(table, "resnet56 - plain56 | shortcuts with 56 layers")
    assert cells == ["-6.00 (-9.04 to -2.96)", "-12.00 (-18.08 to -5.92)"]
    assert rows_of(table, "resnet56 - resnet20 | depth with them") == [["-", "-"]]


def test_responses_are_drawn_where_there_are_some(tmp_path, drawn):
    layers = {f"{kind}{depth}": depth for kind in ("plain", "resnet") for depth in (20, 56)}
    results = together(
        *(
            run_of(name, 0, 0.1, accuracies(0.5, 0.1), responses(*range(1, depth)))
            for name, depth in layers.items()
        ),
        run_of("resnet56", 1, 0.1, accuracies(0.4, 0.2)),
    )
    (line,) = results.layer_lines("resnet56", "56 layers", "response")
    assert line.runs == [list(range(1, 56))]
    assert results.layer_lines("plain32", "32 layers", "response") == []
    DEPTH.draw(results, tmp_path / "depth.png")
    assert all(read_png(tmp_path / f"{name}.png").size for name in ("depth", "depth_layers"))
    errors, responses_ = (panels(figure) for figure in drawn)
    assert list(errors) == list(responses_) == list(KINDS.values())
    plain, residual = errors.values()
    assert labels(plain) == ("epoch", "error, %")
    assert curves(plain) == {f"{depth} layers": ([1, 2], [50, 10]) for depth in (20, 56)}
    assert curves(residual)["56 layers"] == ([1, 2], [45, 15])
    assert dashed(residual) == [[50, 10], [45, 15]]
    assert caption(drawn[0])[:2] == [
        "test error, mean of up to 2 seeds",
        "training error during the epoch, mean of up to 2 seeds",
    ]
    for ax in responses_.values():
        assert (ax.get_xlabel(), ax.get_yscale()) == ("layer", "log")
        assert curves(ax) == {
            f"{depth} layers": (list(range(1, depth)), list(range(1, depth))) for depth in (20, 56)
        }


def test_the_table_of_shortcuts():
    results = together(
        *(run_of("20_A", seed, error) for seed, error in enumerate((0.10, 0.12))),
        *(run_of("20_C", seed, error) for seed, error in enumerate((0.08, 0.10))),
        run_of("56_A", 0, 0.2),
        run_of("56_v2", 0, 0.1),
    )
    table = SHORTCUTS.table(results)
    assert rows_of(table, "20 | A: identity, zeros for new maps")[0][1:] == [
        "not run",
        "11.00 ± 1.41",
        "-",
        "2",
    ]
    # Each mean deviates by 1, the difference by the root of 2; two degrees of freedom: 4.3027.
    assert rows_of(table, "20 | C: projections everywhere")[0][3] == "-2.00 (-8.08 to +4.08)"
    assert rows_of(table, "56 | A, v2") == [["5.00", "not run", "10.00", "-", "1"]]


def test_the_table_of_lenets():
    seconds = {"1998": (90, 110), "today": (9, 11)}
    results = together(
        *(
            run_of(variant, seed, error, seconds=taken, parameters=60_000)
            for variant, errors in (("1998", (0.10, 0.12)), ("today", (0.08, 0.10)))
            for seed, (error, taken) in enumerate(zip(errors, seconds[variant], strict=True))
        )
    )
    (of_1998,) = rows_of(LENET5.table(results), NAMES["1998"])
    assert of_1998[0] == "60,000"
    assert of_1998[2:] == ["not run", "11.00 ± 1.41", "+2.00 (-4.08 to +8.08)", "100 ± 14", "2"]


def test_the_tables_of_mnist_s_digits():
    def measured(*mistakes: int) -> list[tuple]:
        curvature = {"smallest": 0.5, "median": 2.0, "largest": 90.0, "small": 0.25}
        sizes = [("start", "c1/bias", name, value) for name, value in curvature.items()]
        return [*sizes, *(("end", str(image), "mistake", 1) for image in mistakes)]

    results = together(
        run_of("1998", 0, 0.1, (), measured(1, 2), images=10, seconds=9),
        run_of("1998", 1, 0.2, (), measured(1), images=10, seconds=11),
        run_of("appendix_a", 0, 0.1, (), measured(2, 3, 4, 5, 6, 7), images=10, seconds=9),
    )
    table = DIGITS.table(results)
    (errors, curvature) = rows_of(table, "of 1998: ±2.4/√F, mu 0.02")
    assert errors == ["7.50 ± 3.54", "not run", "15.00 ± 7.07", "10 ± 1", "2"]
    assert curvature == ["c1/bias", "5.0e-01", "2.0e+00", "9.0e+01", "25"]
    # Of the images of seed 0, which both tested; seed 1 has no partner.
    _, images, _ = DIGITS.judgements(results)
    assert images.evidence.measured == "+40.00; 5 and 1 of 10"
    assert images.rates == ["part of the statement"] * 2


def test_the_table_of_ensembles_has_each_choice_once():
    """Each run has the choices in which it is the last network."""
    chosen = [{"0": 0.10}, {"1": 0.12, "0+1": 0.09}]
    chosen.append({"2": 0.08, "0+2": 0.07, "1+2": 0.05, "0+1+2": 0.06})
    results = together(
        *(
            run_of("lenet5", seed, 0.1, (), [("end", s, "error", e) for s, e in errors.items()])
            for seed, errors in enumerate(chosen)
        )
    )
    (cells,) = rows_of(ENSEMBLE.table(results), "LeNet-5")
    assert cells == ["10.00", "10.00", "7.00", "6.00", "not run", "not run", "3, 3, 1, 0, 0"]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (
            ENSEMBLE,
            {name: {"mean of all choices": ([1, 2], [10, 9])} for name in ("LeNet-5", "ResNet-20")},
        ),
        (LENET5, {"LeNet-5": dict.fromkeys(NAMES.values(), EPOCHS)}),
        (
            SHORTCUTS,
            {
                "20 layers": dict.fromkeys(("A", "B", "C", "A, v2"), EPOCHS),
                "56 layers": dict.fromkeys(("A", "A, v2"), EPOCHS),
            },
        ),
    ],
    ids=["ensemble", "lenet5_networks", "resnet_shortcuts"],
)
def test_figures_are_drawn(claim, expected, tmp_path, drawn):
    choices = [("end", "0", "error", 0.1), ("end", "0+1", "error", 0.09)]
    runs = [run_of(name, 1, 0.1, accuracies(0.3, 0.1), choices) for name in claim.variants]
    claim.draw(together(*runs), tmp_path / "claim.png")
    assert read_png(tmp_path / "claim.png").size
    assert {title: curves(ax) for title, ax in panels(drawn[0]).items()} == expected
    assert caption(drawn[0])
