"""Recipes as JSON and back, and single fields of them by name."""

import dataclasses
import json

import pytest

from keras_classics.errors import UserError
from keras_classics.training import Recipe, read_recipe, recipes
from keras_classics.training.schedules import Cosine, Warmup
from keras_classics.training.typed_json import Text
from reproduce.claims import CLAIMS

MODERN = recipes.RESNET_CIFAR10["modern"]
JITTER = recipes.RESNET_IMAGENET["paper"]


def all_recipes() -> list[Recipe]:
    families = [value for value in vars(recipes).values() if isinstance(value, dict)]
    registered = [r for family in families for r in family.values() if isinstance(r, Recipe)]
    of_claims = [
        claim.recipe_of(variant, recipe, seed=3)
        for claim in CLAIMS.values()
        for recipe in claim.recipes.values()
        for variant in claim.variants
    ]
    return [*registered, *of_claims]


def test_every_recipe_comes_back_from_json():
    every = all_recipes()
    assert len(every) > 150
    for recipe in every:
        content = json.loads(json.dumps(recipe.to_json()))
        back = Recipe.from_json(content)
        assert back == recipe
        assert json.dumps(back.to_json()) == json.dumps(recipe.to_json())


def test_a_stored_recipe_is_read(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(MODERN.to_json()))
    assert read_recipe(path) == MODERN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": 1}, "Unknown field 'optimiser'. Did you mean optimizer?"),
        ({"batch_size": "128"}, "batch_size must be a whole number. Received: '128'."),
        ({"batch_size": True}, "batch_size must be a whole number. Received: True."),
        ({"schedule": {"kind": "Cosin", "rate": 0.1}}, "Unknown schedule.kind 'Cosin'. Did you"),
        ({"schedule": {"kind": "Cosine"}}, "schedule.rate is missing. Cosine has no default"),
        ({"schedule": {"kind": "Cosine", "rate": float("nan")}}, "must be a finite number"),
        ({"paper": {"metric": "test_error"}}, "paper.value is missing"),
        ({"epochs": None}, "either epochs or steps. Received: epochs=None, steps=None."),
        ({"model_arguments": {"shortcat": "A"}}, "Unknown field 'model_arguments.shortcat'. Did"),
        ({"model": "resnet21"}, "Unknown model 'resnet21'. Did you mean"),
        ({"sources": {"epochs": 3}}, "sources.epochs must be a string. Received: 3."),
        ({"seed": 10**30}, "seed must be a whole number"),
        ({"seed": 2**32}, "seed must be at most 4294967295. Received: 4294967296."),
        ({"seed": -1}, "seed must be at least 0. Received: -1."),
        ({"epochs": 2**31}, "epochs must be at most 2147483647"),
        ({"validation": -1}, "validation must be at least 0. Received: -1."),
        ({"schedule": {"kind": "Cosine", "rate": 10**400}}, "schedule.rate must be a finite"),
        ({"schedule": {"kind": []}}, "Unknown schedule.kind '[]'"),
        ({"model_arguments": {"shortcut": 10**30}}, "model_arguments.shortcut must be"),
        ({"model_arguments": {"classes": 3}}, "number of classes is that of the data set"),
    ],
)
def test_a_stored_recipe_with_a_fault(tmp_path, change, message):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({**MODERN.to_json(), **change}))
    with pytest.raises(UserError) as raised:
        read_recipe(path)
    assert str(raised.value).startswith(f"{path} does not hold a recipe: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_stored_recipe(tmp_path):
    with pytest.raises(UserError, match=r"none.json cannot be read: No such file"):
        read_recipe(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"must be a mapping with the fields of Recipe"):
        read_recipe(tmp_path / "list.json")
    (tmp_path / "text.json").write_text("epochs: 3")
    with pytest.raises(UserError, match=r"text.json is not a JSON file"):
        read_recipe(tmp_path / "text.json")


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "optimizer.momentum",
            "0.95",
            {"optimizer": dataclasses.replace(MODERN.optimizer, momentum=0.95)},
        ),
        ("schedule.then.rate", "1e-3", {"schedule": Warmup(Cosine(rate=0.001), epochs=5)}),
        ("schedule", '{"kind": "Cosine", "rate": 0.2}', {"schedule": Cosine(rate=0.2)}),
        ("schedules.*/bias", "{'kind': 'Cosine', 'rate': 1}", {"schedules": {"*/bias": Cosine(1)}}),
        ("average", "null", {"average": None}),
        ("average", "None", {"average": None}),
        ("jit_compile", "true", {"jit_compile": True}),
        ("jit_compile", "True", {"jit_compile": True}),
        ("dtype_policy", "mixed_bfloat16", {"dtype_policy": "mixed_bfloat16"}),
        ("dataset", "100", {"dataset": "100"}),
        ("only_classes", "[1, 3]", {"only_classes": (1, 3)}),
        (
            "model_arguments.version",
            "v2",
            {"model_arguments": {**MODERN.model_arguments, "version": "v2"}},
        ),
        ("augmentation", "null", {"augmentation": None}),
    ],
)
def test_a_field_is_set(path, text, expected):
    assert MODERN.with_fields({path: Text(text)}) == dataclasses.replace(MODERN, **expected)


def test_several_fields_are_set_at_once():
    changed = MODERN.with_fields({"epochs": Text("null"), "steps": Text("100"), "seed": 7})
    assert (changed.epochs, changed.steps, changed.seed) == (None, 100, 7)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("shedule.rate", "1", "Unknown field 'shedule.rate'. Did you mean schedule.then.rate"),
        ("schedule.rate", "1", "Did you mean schedule.then or schedule.then.rate"),
        (
            "optimizer.momentun",
            "0.9",
            "Unknown field 'optimizer.momentun'. Did you mean optimizer.momentum",
        ),
        (
            "schedule.then.rate",
            "fast",
            "schedule.then.rate must be a finite number. Received: 'fast'.",
        ),
        ("batch_size", "1.5", "batch_size must be a whole number. Received: 1.5."),
        ("batch_size", "0", "batch_size must be at least 1. Received: 0."),
        ("batch_size.x", "1", "batch_size has no fields. Received: batch_size.x."),
        ("jit_compile", "yes", "jit_compile must be true or false. Received: 'yes'."),
        (
            "optimizer.decayed",
            "some",
            "optimizer.decayed must be 'kernels' or 'all'. Received: 'some'.",
        ),
        (
            "augmentation.padding",
            "null",
            "augmentation.padding must be a whole number. Received: None.",
        ),
        ("average", "high", "average must be a finite number or null. Received: 'high'."),
        ("loss", "cross", "Unknown loss 'cross'. Did you mean cross_entropy?"),
        ("loss_arguments.smoothin", "0.1", "Did you mean loss_arguments.smoothing"),
        ("preprocessing_arguments.std", "[1, 2, true]", "preprocessing_arguments.std"),
        ("model_arguments.vresion", "v2", "Did you mean model_arguments.version"),
        (
            "only_classes",
            "[1, 2.5]",
            "only_classes must be a list, each entry a whole number or null",
        ),
        ("steps", "10", "either epochs or steps. Received: epochs=200, steps=10."),
        ("seed", "10000000000000000000000000", "seed must be a whole number."),
        ("epochs", "{1, 2}", "epochs must be a whole number or null. Received: '{1, 2}'."),
        ("epochs", "{[]: 1}", "epochs must be a whole number or null. Received: '{[]: 1}'."),
        ("epochs", "(" * 500, "epochs must be a whole number or null"),
        ("schedule.then.rate", "NaN", "schedule.then.rate must be a finite number. Received: nan."),
        ("tags", "{1: 2}", "tags.1 must be a string. Received: 2."),
        ("schedule", "Cosine", 'schedule must be a mapping whose "kind" is Constant, '),
    ],
)
def test_a_field_that_cannot_be_set(path, text, message):
    with pytest.raises(UserError) as raised:
        MODERN.with_fields({path: Text(text)})
    assert message in str(raised.value)


def test_a_fixed_number_of_entries():
    recipe = recipes.RESNET_IMAGENET["torchvision"]
    changed = recipe.with_fields({"augmentation.area": Text("[0.2, 1]")})
    assert changed.augmentation.area == (0.2, 1)
    with pytest.raises(UserError, match="augmentation.area must be a list of 2 entries"):
        recipe.with_fields({"augmentation.area": Text("[0.2, 0.5, 1]")})
    assert JITTER.with_fields({"augmentation.colour": Text("null")}).augmentation.colour is None
