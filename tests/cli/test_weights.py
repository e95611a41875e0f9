"""The known weights that programs take where no flag names any."""

import re

import pytest

import keras_classics as kc
from keras_classics.cli._weights import known_weights
from keras_classics.errors import UserError
from keras_classics.weights.records import weights_names
from tests.helpers.programs import assert_one_line

EVALUATE = ("-m", "keras_classics.cli", "evaluate", "--dataset=digits")


@pytest.mark.parametrize("model", kc.list_models())
def test_the_list_of_the_network_is_the_answer(model):
    names = weights_names(model)
    if names[:1] == ["imagenet"]:
        assert known_weights(model) == "imagenet"
    elif len(names) == 1:
        assert known_weights(model) == names[0]
        assert kc.find_weights(model).full_name == f"{model}/{names[0]}"
    else:
        listed = f"several known weights: {', '.join(names)}. Name .*--weights="
        with pytest.raises(UserError, match=listed if names else "no known weights of"):
            known_weights(model)
    with pytest.raises(UserError) as failure:
        kc.find_weights(f"{model}/imagenot")
    offered = re.findall(r"\w+/\w+", str(failure.value).partition("imagenot")[2])
    assert sorted(offered) == sorted(f"{model}/{name}" for name in names)


def test_the_only_weights_are_the_default(run_program):
    done = run_program(*EVALUATE, "--model=resnet20", "--limit_test=2")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["evaluate", "export", "finetune"])
def test_several_weights_are_listed_with_the_flag(run_program, command, tmp_path):
    flags = {
        "evaluate": ["--dataset=digits"],
        "export": [f"--out={tmp_path / 'out'}"],
        "finetune": ["--dataset=digits", f"--run_dir={tmp_path / 'run'}"],
    }[command]
    done = run_program("-m", "keras_classics.cli", command, "--model=lenet5", *flags)
    assert_one_line(done, 2, "weights: digits, fashion_mnist. Name those to use, such as --weights")
