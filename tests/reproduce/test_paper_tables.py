"""What docs/papers.md says: the papers' figures, and which evaluations stand beside them."""

import csv
import inspect
import json
import re

import pytest

import keras_classics as kc
from keras_classics.training import recipes
from keras_classics.weights import list_weights
from reproduce.harness.tables import read_rows, update_pages
from reproduce.report.paper_tables import paper_tables, tables
from reproduce.report.papers import PAPERS, by_training, error, measured, networks, views
from tests.helpers.programs import ROOT

ROWS = read_rows(PAPERS)

# Errors as the papers print them; each typed for itself, with what tells its row from others.
PRINTED = [
    (37.5, 17.0, {"table": "AlexNet, Table 1", "row": "CNN"}),
    (38.1, 16.4, {"table": "AlexNet, Table 2", "row": "5 CNNs"}),
    (39.0, 18.3, {"table": "AlexNet, section 6", "protocol": "single, scale 256"}),
    (41.058, 18.51, {"table": "AlexNet, logs", "row": "#147: pooling 2/2, without overlap"}),
    (29.7, 10.5, {"table": "VGG, Table 3", "model": "vgg11_lrn"}),
    (28.1, 9.3, {"table": "VGG, Table 3", "model": "vgg16_c", "training": "S=384"}),
    (25.6, 8.1, {"table": "VGG, Table 3", "model": "vgg16", "training": "S=[256;512]"}),
    (26.7, 8.6, {"table": "VGG, Table 4", "model": "vgg19", "training": "S=384"}),
    (28.2, 9.6, {"table": "VGG, Table 4", "model": "vgg13"}),
    (
        24.6,
        7.4,
        {"table": "VGG, Table 5", "row": "E", "protocol": "multi_crop, scales 256 384 512"},
    ),
    (35.7, 14.2, {"table": "VGG, Table 7", "row": "OverFeat, one network"}),
    (24.19, 7.40, {"table": "ResNet, Table 3", "arguments": '{"shortcut": "C"}'}),
    (21.43, 5.71, {"table": "ResNet, Table 3", "model": "resnet152"}),
    (20.74, 5.25, {"table": "ResNet, Table 4", "model": "resnet50"}),
    (6.97, None, {"table": "ResNet, Table 6", "model": "resnet56"}),
    (7.93, None, {"table": "ResNet, Table 6", "model": "resnet1202"}),
]

# An evaluation of VGG-16 as Table 3 has it for S = 384: 13,400 of 50,000 images are wrong.
VGG16 = {
    "model": "vgg16",
    "arguments": '{"kernel_initializer": "glorot_uniform"}',
    "weights": "recipe paper_384",
    "dataset": "imagenet2012",
    "train_images": "1281167",
    "epochs": "74",
    "seed": "0",
    "images": "50000",
    "protocol": "dense, flip, scale 384, bilinear antialiased",
    "members": "1",
    "top1_error": "0.268",
    "top1_low": "0.2641",
    "top1_high": "0.2719",
    "top5_error": "0.087",
    "top5_low": "0.0846",
    "top5_high": "0.0895",
}
RESNET110 = {
    **VGG16,
    "model": "resnet110",
    "arguments": '{"shortcut": "A", "version": "v1"}',
    "weights": "recipe paper_110",
    "dataset": "cifar10",
    "train_images": "50000",
    "epochs": "164",
    "images": "10000",
    "protocol": "single",
}


def found(**values: str) -> dict:
    """The one row of the papers that has these values."""
    (row,) = (row for row in ROWS if all(row[name] == value for name, value in values.items()))
    return row


def figures(table: str, **values: str) -> dict:
    """Errors of a table's rows that have these values, by row."""
    return {
        row["row"]: (row["top1_error"], row["top5_error"], row["test_top5_error"])
        for row in ROWS
        if row["table"] == table and all(row[name] == value for name, value in values.items())
    }


def rendered(tmp_path, evaluations: list[dict]) -> dict:
    """The page's tables for these evaluations; of none, without a file."""
    path = tmp_path / "evaluations.csv"
    if evaluations:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, evaluations[0])
            writer.writeheader()
            writer.writerows(evaluations)
    return tables(ROWS, read_rows(path))


def line_with(table: str, *words: str) -> str:
    (line,) = (line for line in table.splitlines() if all(word in line for word in words))
    return line


def test_the_page_is_up_to_date():
    update_pages(paper_tables(), check=True)


def test_the_page_has_a_place_for_each_table():
    places = re.findall(r"<!-- table: (\w+) -->", (ROOT / "docs" / "papers.md").read_text())
    names = dict.fromkeys(re.sub(r"\W+", "_", row["table"].lower()) for row in ROWS)
    assert places == [*names, "other_evaluations"]


def test_rows():
    for row in ROWS:
        errors = [row[f"{metric}_error"] for metric in ("top1", "top5", "test_top5")]
        assert row["source"], row
        assert row["quantity"] in ("error", "reduction"), row
        assert any(errors), row
        if row["quantity"] == "error":
            assert all(0 < float(error) < 100 for error in errors if error), row


def test_networks_are_here():
    recipe_names = {f"recipe {name}" for name in recipes.VGG}
    for row in filter(lambda row: row["model"], ROWS):
        assert len(networks(row)) == int(row["members"]), row
        for name in row["model"].split(" + "):
            assert name in kc.list_models()
            parameters = inspect.signature(getattr(kc, name)).parameters
            assert json.loads(row["arguments"]).keys() <= parameters.keys(), row
            known = {weights.partition("/")[2] for weights in list_weights(f"{name}/*")}
            assert set(row["weights"].split(", ")) <= known | recipe_names | {""}, row


@pytest.mark.parametrize(("top1", "top5", "where"), PRINTED)
def test_printed_figures(top1, top5, where):
    row = found(**where)
    assert float(row["top1_error"]) == top1
    assert row["top5_error"] == "" if top5 is None else float(row["top5_error"]) == top5


def test_resnet110_of_five_seeds():
    row = found(table="ResNet, Table 6", row="ResNet-110", statistic="mean of 5")
    assert (row["top1_error"], row["deviation"]) == ("6.61", "0.16")


@pytest.mark.parametrize(
    ("part", "log", "dataset"),
    [
        ("response normalisation", "#148: no response normalisation", "imagenet2012"),
        ("overlapping pooling", "#147: pooling 2/2, without overlap", "imagenet2012"),
        (
            "two towers, against one of half the kernels",
            "#145-half: one tower of half the kernels",
            "imagenet2010",
        ),
    ],
)
def test_the_logs_give_alexnets_differences(part, log, dataset):
    logs = figures("AlexNet, logs", dataset=dataset, protocol="ten, scale 256")
    errors = zip(logs[log][:2], logs["#145: the paper's network"][:2], strict=True)
    differences = [float(without) - float(whole) for without, whole in errors]
    printed = figures("AlexNet, differences")[part][:2]
    assert differences == pytest.approx([float(points) for points in printed], abs=0.05)


def test_tables_that_repeat_each_other():
    jitter = {"training": "S=[256;512]"}
    dense = "dense, flip, scales 256 384 512"
    both = f"multi_crop, scales 256 384 512 + {dense}"
    fourth = figures("VGG, Table 4", **jitter)
    fifth = figures("VGG, Table 5", protocol=dense)
    assert {row: fourth[row][:2] for row in fifth} == {row: fifth[row][:2] for row in fifth}
    pair = figures("VGG, Table 6", protocol=both)["D and E"]
    assert figures("VGG, Table 7")["VGG, two networks"] == pair == ("23.7", "6.8", "6.8")
    second, third = figures("ResNet, Table 2"), figures("ResNet, Table 3")
    assert second["plain-34"][0] == third["plain-34"][0]
    assert second["ResNet-34"][0] == third["ResNet-34 A"][0]


def test_views():
    ten = views("ten, scale 256, crop 224, bilinear antialiased")
    assert ten == views("ten, scale 256, crop 227, area") == [("ten", "scale 256")]
    assert views("ten, no flip, scale 256") != ten
    crops, dense = "multi_crop, scales 256 384, crop 224, bilinear", "dense, flip, scales 256 384"
    assert views(f"{crops} + {dense}") == views(f"{dense}, bilinear + {crops}")
    assert views("single") != views("single, flip")


def test_measured():
    row = found(table="VGG, Table 3", model="vgg16", training="S=384")
    assert measured(row, [VGG16]) == [[VGG16]]
    assert error([VGG16], "top1") == "26.80 (26.41 to 27.19)"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "vgg19"},
        {"arguments": '{"batch_norm": "all"}'},
        {"arguments": '{"dropout": 0.1}'},
        {"dataset": "imagenet2012_subset"},
        {"members": "2"},
        {"protocol": "dense, scale 384, bilinear antialiased"},
        {"protocol": "dense, flip, scale 256, bilinear antialiased"},
        {"protocol": "dense, flip, scales 384 384, bilinear antialiased"},
        {"protocol": "single, flip, scale 384, crop 224, bilinear antialiased"},
        {"protocol": "dense, flip, scale 384 + ten, scale 384"},
        {"weights": "recipe jitter"},
        {"weights": "imagenet_keras"},
    ],
    ids=str,
)
def test_what_measures_something_else(change):
    row = found(table="VGG, Table 3", model="vgg16", training="S=384")
    assert measured(row, [{**VGG16, **change}]) == []


def test_known_weights():
    keras = {
        **VGG16,
        "arguments": "{}",
        "weights": "imagenet_keras",
        "seed": "",
        "train_images": "",
    }
    row = found(table="VGG, Table 3", model="vgg16", training="S=[256;512]")
    assert measured(row, [keras])
    assert not measured(row, [{**keras, "weights": "imagenet_torchvision"}])
    row = found(table="ResNet, Table 3", model="resnet50")
    ten = {**keras, "model": "resnet50", "protocol": "ten, scale 256, crop 224, bilinear"}
    for version, fits in (("v1", True), ("v1.5", False)):
        arguments = json.dumps({"version": version, "shortcut": "B"})
        assert bool(measured(row, [{**ten, "arguments": arguments}])) == fits


def test_ensembles():
    both = "multi_crop, scales 256 384 512 + dense, flip, scales 256 384 512"
    row = found(table="VGG, Table 6", protocol=both)
    pair = {"model": "vgg19 + vgg16", "members": "2", "protocol": both}
    for weights in ("imagenet_keras", '["recipe jitter", "imagenet_keras"]'):
        evaluation = {**VGG16, **pair, "weights": weights}
        assert measured(row, [evaluation])
        assert not measured(row, [{**evaluation, "model": "vgg16 + vgg16"}])
        assert not measured(row, [{**evaluation, "arguments": '[{}, {"batch_norm": "all"}]'}])
    assert not measured(row, [{**VGG16, **pair, "weights": '["recipe jitter", "recipe he"]'}])
    five = found(table="AlexNet, Table 2", row="5 CNNs")
    assert networks(five) == networks({**five, "model": " + ".join(["alexnet"] * 5)})


def test_the_best_of_several_is_not_measured():
    best = found(table="ResNet, Table 6", row="ResNet-110", statistic="best of 5")
    mean = found(table="ResNet, Table 6", row="ResNet-110", statistic="mean of 5")
    assert not measured(best, [RESNET110])
    assert measured(mean, [RESNET110])


def test_seeds_and_trainings():
    others = [{**RESNET110, "seed": "1", "top1_error": "0.066"}]
    others += [{**RESNET110, "seed": "2", "top1_error": "0.064"}]
    short = {**RESNET110, "epochs": "2"}
    assert by_training([RESNET110, short, *others]) == [[RESNET110, *others], [short]]
    assert error(others, "top1") == "6.50 ± 0.14"


def test_tables_without_evaluations(tmp_path):
    tables = rendered(tmp_path, [])
    assert tables["other_evaluations"] == "not run"
    assert line_with(tables["resnet_table_6"], "`resnet56`").count("not run") == 1
    assert line_with(tables["vgg_table_3"], "`vgg13`").count("not run") == 2
    assert "not run" not in line_with(tables["vgg_table_7"], "GoogLeNet, one")
    assert "not run" not in tables["alexnet_differences"]


def test_tables_of_what_was_measured(tmp_path):
    again = {**RESNET110, "seed": "1", "top1_error": "0.264"}
    digits = {**RESNET110, "dataset": "digits", "top5_error": ""}
    pair = {**digits, "model": "resnet20 + resnet20", "members": "2", "seed": "[0, 1]"}
    view = {**VGG16, "protocol": "single, scale 256, crop 224, bilinear antialiased"}
    rows = [VGG16, RESNET110, again, view, digits, pair]
    tables = rendered(tmp_path, rows)
    line = line_with(tables["vgg_table_3"], "| D |", "S=384")
    assert "| 26.8 | 8.7 | 26.80 (26.41 to 27.19) | 8.70 (8.46 to 8.95) |" in line
    how = "recipe paper_384, seed 0, 74 epochs of 1,281,167 images, on 50,000 images"
    assert line.endswith(f"| {how}: dense, flip, scale 384, bilinear antialiased |")
    assert "not run" in line_with(tables["vgg_table_3"], "| D |", "S=256")
    assert "not run" in line_with(tables["vgg_released_weights"], "| D, one view |")
    line = line_with(tables["resnet_table_6"], "mean of 5")
    assert "| 6.61 ± 0.16 | 26.60 ± 0.28 | recipe paper_110, seed 0 1, 164 epochs" in line
    assert "| - | - |" in line_with(tables["resnet_table_6"], "best of 5")
    others = tables["other_evaluations"].splitlines()
    assert [row.split(" | ")[0] for row in others[2:]] == ["| digits"] * 2 + ["| imagenet2012"]
    assert "| 2 x `resnet20`, shortcut A, version v1 |" in others[2]
    assert "| 0 1 | 26.80 (26.41 to 27.19) | - | 10,000 |" in others[2]
