"""Model cards: their head is YAML for any text, and they say what is known alone."""

import json

import pytest
import yaml

from keras_classics.weights.card import (
    Facts,
    Measured,
    card_path,
    data_name,
    render,
    weights_name,
    write_card,
)
from tests.helpers.cards import head

TEXTS = [
    "plain",
    'a "quoted" name',
    "it's: a # name",
    "two\nlines",
    "- list",
    "---",
    "yes",
    "1.5",
    "`code` and ``more``",
    "naïve 中文 😀",
    "\u2028\x85\ufeff\x00\x7f\udcff",
    "back\\slash {x} [y] | *z* <!-- & -->",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_survives(text):
    measured = [Measured({text: 1e-05, "other": 0.75}, text, text)]
    card = render(
        Facts(
            name=text,
            details={"text": text},
            licence=text or None,
            trained_on=text,
            measured=measured,
            class_names=[text, "b"],
        )
    )
    card.encode()
    said = head(card)
    (index,) = said["model-index"]
    (result,) = index["results"]
    assert index["name"] == result["dataset"]["name"] == text
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values == {text: 1e-05, "other": 0.75}
    assert said.get("license_name") == (text or None)
    # No text ends the head, or a line of the list of classes.
    assert card.count("\n---\n") == 1
    (classes,) = [line for line in card.splitlines() if line.startswith("    [")]
    assert yaml.safe_load(classes) == [text, "b"]


def test_a_network_of_which_nothing_is_known():
    card = render(Facts(name="mine"))
    assert head(card) == {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras-classics"],
    }
    *lines, _ = card.partition("\n---\n")[2].splitlines()
    assert [line for line in lines if line] == ["# `mine`"]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC BY 4.0 (VGG, University of Oxford)", {"license": "cc-by-4.0"}),
        ("MIT (Kaiming He)", {"license": "mit"}),
        (
            "unrestricted (BVLC)",
            {"license": "other", "license_name": "unrestricted (BVLC)"},
        ),
        (None, {}),
    ],
)
def test_licences(licence, expected):
    said = head(render(Facts(name="a", licence=licence)))
    assert {k: v for k, v in said.items() if k.startswith("license")} == expected


def test_a_folder_of_images_is_no_data_set_of_the_hub():
    assert data_name("folder:/home/me/my images") == "folder:my images"
    assert data_name("emnist/digits:3.0.0") == "emnist/digits:3.0.0"
    said = head(render(Facts(name="a", trained_on="folder:cats")))
    assert "datasets" not in said
    assert head(render(Facts(name="a", trained_on="ImageNet")))["datasets"] == ["imagenet-1k"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("imagenet", "resnet50/imagenet"),
        ("imagenet_keras", "resnet50/imagenet_keras"),
        ("/home/me/a.pth#model_ema", "a.pth#model_ema"),
        ("folder/ckpt-3", "ckpt-3"),
        ("hf://org/repo", "hf://org/repo"),
    ],
)
def test_names_of_weights_say_no_folder(weights, expected):
    assert weights_name("resnet50", weights) == expected


def test_a_card_that_somebody_has_changed_stays(tmp_path, caplog):
    path = card_path(tmp_path / "resnet50.weights.h5")
    assert path.name == "resnet50.weights.h5.md"
    write_card(path, Facts(name="one"))
    write_card(path, Facts(name="two"))
    assert path.read_text() == render(Facts(name="two"))
    assert not caplog.text
    for content in (path.read_text().replace("two", "mine"), "# Notes\n", "", "\udcff"):
        path.write_bytes(content.encode(errors="surrogateescape"))
        write_card(path, Facts(name="three"))
        assert path.read_bytes() == content.encode(errors="surrogateescape")
        assert "is kept" in caplog.text
        caplog.clear()


def test_the_head_is_json_in_yaml():
    card = render(Facts(name="a", tags=["onnx"]))
    for line in card.split("---")[1].splitlines():
        _, _, value = line.strip().partition(" ")
        assert not value or json.loads(value) is not None
