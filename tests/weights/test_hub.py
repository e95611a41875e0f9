"""Weights on the Hugging Face hub: `huggingface_hub` and a server on this machine."""

import json
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save

import keras_classics as kc
from keras_classics import internet
from keras_classics.errors import UserError
from keras_classics.weights import hub as hub_weights
from keras_classics.weights.load import load_weights
from keras_classics.weights.location import locate, on_this_machine
from tests.helpers.hub_server import COMMIT, hub_server
from tests.helpers.programs import assert_one_line
from tests.helpers.servers import swallowing

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub, with an empty cache."""
    with hub_server() as server:
        # Both are read from HF_ENDPOINT when the library is imported.
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        server.repositories = {"a/empty": {"README.md": b"words"}}
        yield server


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network and its file of weights."""
    network = kc.lenet5()
    path = tmp_path_factory.mktemp("saved") / "a.weights.h5"
    network.save_weights(path)
    return network, path.read_bytes()


def error_of(address: str) -> str:
    with pytest.raises(UserError) as caught:
        locate(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(one, other) -> bool:
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


@pytest.mark.parametrize(
    "address",
    ["hf://a/net", "HF://a/net@v1", "hf:/a/net/old/b.weights.h5", f"hf://a/net/x.keras@{COMMIT}"],
)
def test_loads_what_an_address_names(hub, saved, address):
    network, content = saved
    hub.repositories["a/net"] = {"x.weights.h5": content, "old/b.weights.h5": content}
    hub.repositories["a/net"]["x.keras"] = content
    assert same(kc.lenet5(weights=address), network)
    model = kc.lenet5()
    load_weights(model, address)
    assert same(model, network)
    assert kc.identify(address).network == "lenet5"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["README.md", "config.json", "pytorch_model.bin", "model.safetensors"], 3),
        (["pytorch_model.bin", "b.safetensors"], 0),
        (["a.keras", "a.weights.h5", "folder/model.safetensors"], 1),
        (["a.pth", "a.h5"], 0),
    ],
)
def test_takes_the_usual_name(hub, names, chosen):
    hub.repositories["a/net"] = {name: name.encode() for name in names}
    path, part = locate("hf://a/net#model_ema")
    assert (path.name, path.read_text(), part) == (names[chosen], names[chosen], "model_ema")
    assert on_this_machine("hf://a/net#x") == f"{path}#x"


def test_several_files_come_with_their_index(hub):
    shards = {f"s/model-{n}.safetensors": save({f"{n}": np.ones(n)}) for n in (1, 2)}
    index = {"weight_map": {str(n): f"model-{n}.safetensors" for n in (1, 2)}}
    hub.repositories["a/net"] = {
        **shards,
        "s/model.safetensors.index.json": json.dumps(index).encode(),
        "t/ckpt.index": bytes(8) + bytes.fromhex("57fb808b247547db"),
        "t/ckpt.data-00000-of-00001": b"data",
    }
    path, _ = locate("hf://a/net/s/model.safetensors.index.json")
    for n in (1, 2):
        assert load_file(path.with_name(f"model-{n}.safetensors"))[str(n)].shape == (n,)
    path, _ = locate("hf://a/net/t/ckpt.index")
    assert path.with_name("ckpt.data-00000-of-00001").read_bytes() == b"data"


def test_values_beside_a_graph_come_with_it(hub, tmp_path):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(np.ones(400, "f4"), "ones")
    node = onnx.helper.make_node("Identity", ["ones"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [], [tensor])
    onnx.save(
        onnx.helper.make_model(graph),
        tmp_path / "a.onnx",
        save_as_external_data=True,
        location="a.onnx.data",
    )
    hub.repositories["a/net"] = {
        f"onnx/{file.name}": file.read_bytes() for file in tmp_path.glob("a.onnx*")
    }
    path, _ = locate("hf://a/net/onnx/a.onnx")
    assert path.with_name("a.onnx.data").read_bytes() == np.ones(400, "f4").tobytes()


@pytest.mark.parametrize("how", ["flag", "server error", "no network"])
def test_without_network_the_cache_answers(hub, monkeypatch, how):
    hub.repositories["a/net"] = {"a.keras": b"1", "b/c.pth": b"2"}
    named = [locate(f"hf://a/net{rest}")[0] for rest in ("/a.keras", "/b/c.pth@v1")]
    if how == "flag":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "server error":
        hub.status = 503
    hub.asked.clear()
    with swallowing() as url:
        if how == "no network":
            monkeypatch.setattr(constants, "ENDPOINT", url)
            monkeypatch.setattr(internet, "SECONDS", 0.5)
        start = time.monotonic()
        assert locate("hf://a/net/a.keras")[0] == named[0]
        assert locate("hf://a/net")[0] == named[0]
        assert locate(f"hf://a/net/b/c.pth@{COMMIT}")[0] == named[1]
        for rest in ("/other.pth", "@v2", "/a.keras@v2"):
            message = error_of(f"hf://a/net{rest}")
            assert "is not in the cache, and cannot be downloaded (" in message
            assert "Download it once where there is a network" in message
        assert time.monotonic() - start < 10
    assert not any("resolve" in request for request in hub.asked)


def test_what_the_hub_does_not_give_is_one_line(hub):
    hub.repositories |= {"a/net": {"b.pth": b"1", "c.pth": b"2"}, "a/gated": {"a.pth": b"3"}}
    assert "the form hf://ORG/REPO" in error_of("hf://net")
    assert "the form hf://ORG/REPO" in error_of("hf://a/net@")
    assert "the form hf://ORG/REPO" in error_of("hf://a/n et")
    assert "The repository has: README.md" in error_of("hf://a/empty")
    assert "The repository has: b.pth, c.pth" in error_of("hf://a/net")
    assert "does not exist. The repository has: b.pth, c.pth" in error_of("hf://a/net/../d.pth")
    assert "no branch, tag or commit 'v9'" in error_of("hf://a/net/b.pth@v9")
    assert "there is no such repository, or it is private" in error_of("hf://a/missing")
    for status in (401, 403):
        hub.gated["a/gated"] = status
        assert "owners grant access" in error_of("hf://a/gated")
    hub.damaged.add("b.pth")
    assert "must have the SHA-256 that the hub publishes" in error_of("hf://a/net/b.pth")
    hub.damaged.clear()
    assert locate("hf://a/net/b.pth")[0].read_bytes() == b"1"


def test_only_addresses_are_asked_for(hub, tmp_path):
    assert locate(tmp_path / "hf.pth") is None
    assert on_this_machine("imagenet") == "imagenet"
    assert not hub.asked
    assert not any(map(hub_weights.is_address, ["hf", "hf:", "hf://", "a/hf://b/c", None, 3]))


def test_commands_take_addresses(hub, saved, run_program, tmp_path):
    hub.repositories["a/net"] = {"a.weights.h5": saved[1], "b/no_ending": saved[1]}
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "of_programs")}
    cli = ("-m", "keras_classics.cli")
    convert = (*cli, "convert", "--model=lenet5", f"--out={tmp_path}/b.weights.h5")
    done = run_program(*convert, "--from=hf://a/net", **environment)
    assert done.returncode == 0, done.stderr
    model = kc.lenet5(weights=tmp_path / "b.weights.h5")
    assert same(model, saved[0])
    flags = ("--model=lenet5", "--dataset=digits", "--images=lenet5/digits", "--limit_test=10")
    for address in ("hf://a/net", "hf://a/net/b/no_ending"):
        done = run_program(*cli, "evaluate", *flags, f"--weights={address}", **environment)
        assert done.returncode == 0, done.stderr
    done = run_program(*cli, "identify", "hf://a/net", **environment)
    assert "kc.lenet5(weights='hf://a/net')" in done.stdout, done.stderr
    done = run_program(*cli, "evaluate", *flags, "--weights=hf://a/no@v1", **environment)
    assert_one_line(done, 2, "there is no such repository")
