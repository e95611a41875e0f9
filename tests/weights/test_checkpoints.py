"""Checkpoints as training programs save them: each equals the network's own weights, bit for bit.

The forms are read here without torch, as the mappings that `torch.load` returns; with torch, and as
files, in `test_torch_files`.
"""

import contextlib
import json
import pickle
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract
from keras_classics.weights.formats import checkpoints, torchvision
from keras_classics.weights.formats.state_dicts import Entry, flattened
from keras_classics.weights.stored import StoredTensor
from tests.helpers import pytorchcv_names
from tests.helpers.checkpoint_forms import FORMS, TRUNKS, headed, optimizer, prefixed
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused


@pytest.fixture(scope="module")
def source() -> keras.Model:
    source = kc.resnet20(shortcut="B")
    fill(source)
    return source


@pytest.fixture(scope="module")
def state(source) -> dict[str, np.ndarray]:
    tensors = extract(torchvision.slots(source))
    return {**tensors, "bn1.num_batches_tracked": np.array(7)}


@pytest.fixture(scope="module")
def others(state) -> dict[str, np.ndarray]:
    return {name: -values for name, values in state.items()}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.resnet20(shortcut="B")


@pytest.fixture(scope="module")
def headless() -> keras.Model:
    return kc.resnet20(shortcut="B", include_top=False)


def entry(value, home: str) -> Entry:
    def stored() -> StoredTensor:
        if not isinstance(value, np.ndarray | np.generic):
            raise UserError("must be a tensor")
        return StoredTensor(value.shape, value.dtype.name, lambda: np.asarray(value))

    shape = value.shape if isinstance(value, np.ndarray | np.generic) else None
    return Entry(shape, home, stored)


@pytest.fixture
def saved(monkeypatch, tmp_path):
    """Stands for a file of torch whose content is given."""

    def save(content, name: str = "checkpoint.pth.tar") -> Path:
        @contextlib.contextmanager
        def entries(path, model):
            yield {name: entry(value, home) for name, home, value in flattened(content)}

        monkeypatch.setattr(checkpoints, "entries_of", entries)
        path = tmp_path / name
        path.touch()
        return path

    return save


def assert_equal(model: keras.Model, source: keras.Model, sign: int = 1) -> None:
    for found in model.weights:
        layer, name = found.path.split("/")[-2:]
        expected = {v.name: v for v in source.get_layer(layer).variables}[name]
        np.testing.assert_array_equal(found, sign * np.array(expected))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_the_plain_one(form, model, source, state, others, saved, caplog):
    path = saved(FORMS[form](state, others))
    for variable in model.weights:
        variable.assign(0 * variable)
    load_weights(model, path)
    assert_equal(model, source)
    assert len(caplog.records) == (form not in ("plain", "ordered"))
    assert "\n" not in caplog.text.strip()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            "examples/imagenet",
            "the network is under 'state_dict.module'; not used: epoch, arch, be",
        ),
        ("averaged", "the network is under 'module'; not used: n_averaged"),
        ("lightning", r"hyper_parameters"),
        ("timm with EMA", r"it also has state_dict_ema: weights='[^ ]*#state_dict_ema' takes it"),
        ("reference with EMA", r"it also has model_ema.module: weights='[^ ]*#model_ema.module' "),
        (
            "teacher and student",
            "under 'teacher.backbone'; not used: center, teacher.head; it also has student",
        ),
        (
            "momentum encoder",
            "not used: arch, state_dict.module.queue, state_dict.module.queue_ptr;",
        ),
        (
            "backbone and head",
            "under 'state_dict.backbone'; its last layer is 'state_dict.head.fc'",
        ),
        ("beside other entries", r"not used: epoch, optimizer \(65 tensors\)"),
        ("several copies of one", "under 'model'; it also has swa_model"),
        (
            "robustness",
            r"not used: .*model.module.normalizer \(2 tensors\); it also has .*attacker",
        ),
    ],
)
def test_one_line_says_what_was_done(form, said, model, state, others, saved, caplog):
    load_weights(model, saved(FORMS[form](state, others)))
    (record,) = caplog.records
    assert record.getMessage().startswith("resnet20: in checkpoint.pth.tar ")
    assert re.search(said, record.getMessage()), record.getMessage()


@pytest.mark.parametrize(
    ("form", "part", "sign"),
    [
        ("timm with EMA", "state_dict_ema", -1),
        ("timm with EMA", "state_dict", 1),
        ("reference with EMA", "model_ema", -1),
        ("reference with EMA", "model_ema.module", -1),
        ("reference with EMA", "model", 1),
        ("teacher and student", "student", -1),
        ("teacher and student", "teacher", 1),
        ("momentum encoder", "encoder_k", -1),
        ("momentum encoder", "state_dict/module/encoder_q", 1),
    ],
)
def test_a_part_chooses(form, part, sign, model, source, state, others, saved):
    path = saved(FORMS[form](state, others))
    load_weights(model, f"{path}#{part}")
    assert_equal(model, source, sign)


def test_a_builder_takes_a_part(source, state, others, saved):
    path = saved(FORMS["timm with EMA"](state, others))
    assert_equal(kc.resnet20(weights=f"{path}#state_dict_ema", shortcut="B"), source, -1)


def test_a_part_that_is_not_there(model, state, others, saved):
    path = saved(FORMS["timm with EMA"](state, others))
    with pytest.raises(UserError, match="no network under 'best', but under state_dict, state_dic"):
        load_weights(model, f"{path}#best")


def test_several_networks_of_one_rank(model, source, state, others, saved):
    path = saved({"net_a": dict(state), "net_b": dict(others)})
    assert_refused(model, path, "several networks: net_a, net_b. Choose one, .*'FILE#net_b'")
    load_weights(model, f"{path}#net_b")
    assert_equal(model, source, -1)


def test_several_copies_of_the_same_values_are_one_network(model, source, state, saved):
    """Robust ResNets are saved with their attacker, which has the network too."""
    copies = prefixed(state, "module.model.") | prefixed(state, "module.attacker.model.")
    normalizer = {"module.normalizer.new_mean": np.ones((3, 1, 1), "float32")}
    load_weights(model, saved({"model": normalizer | copies}))
    assert_equal(model, source)


def test_a_path_with_the_sign_in_it(model, source, state, saved):
    path = saved(dict(state), "run#3.pth")
    load_weights(model, path)
    assert_equal(model, source)
    load_weights(model, saved({"ema": dict(state)}, "run#3.pth#x.pth"))
    load_weights(model, f"{path}#ema")
    with pytest.raises(UserError, match="must name an existing file"):
        load_weights(model, f"{path.with_name('none.pth')}#ema")


SELF_SUPERVISED = {
    "MoCo v1": {"module.encoder_q.fc.weight": (128, 64), "module.encoder_q.fc.bias": (128,)},
    "MoCo v2": {"module.encoder_q.fc.0.weight": (64, 64), "module.encoder_q.fc.2.bias": (128,)},
    "SwAV": {"module.encoder_q.projection_head.0.weight": (9, 64)},
    "prototypes": {"module.encoder_q.prototypes.weight": (30, 128)},
}


@pytest.mark.parametrize("head", SELF_SUPERVISED)
def test_trunks_of_self_supervised_training(head, headless, source, state, saved, caplog):
    tensors = {n: np.ones(shape, "float32") for n, shape in SELF_SUPERVISED[head].items()}
    path = saved({"state_dict": {**prefixed(state, "module.encoder_q.", "fc."), **tensors}})
    load_weights(headless, path)
    assert_equal(headless, source)
    assert f"the top's {len(tensors)} tensors are not loaded" in caplog.text


@pytest.mark.parametrize("form", TRUNKS)
def test_published_trunks(form, headless, source, state, others, saved):
    for variable in headless.weights:
        variable.assign(0 * variable)
    load_weights(headless, saved(TRUNKS[form](state, others)))
    assert_equal(headless, source)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_a_wrapped_part_of_the_network(wrapper, saved):
    """As torch's example for ImageNet wraps AlexNet and VGG, before their large layers."""
    small = {"input_shape": (32, 32, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}
    source, model = kc.vgg11(**small), kc.vgg11(**small)
    fill(source)
    tensors = extract(torchvision.slots(source))
    wrapped = {n.replace("features.", f"features.{wrapper}"): t for n, t in tensors.items()}
    load_weights(model, saved({"epoch": 90, "state_dict": wrapped}))
    assert_equal(model, source)


@pytest.mark.parametrize("biases", [True, False])
def test_a_sequence_in_the_names_of_pytorchcv(biases, saved, caplog):
    """Its VGGs with batch normalisation have no biases before it, or have them."""
    small = {"input_shape": (32, 32, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}
    source, model = kc.vgg11_bn(**small), kc.vgg11_bn(**small)
    fill(source)
    for layer in source.layers:
        if isinstance(layer, keras.layers.Conv2D) and not biases:
            layer.bias.assign(0 * layer.bias)
    state = pytorchcv_names.named(extract(torchvision.slots(source)))
    if not biases:
        state = {name: tensor for name, tensor in state.items() if not name.endswith("conv.bias")}
    load_weights(model, saved(state))
    assert_equal(model, source)
    assert ("its convolutions have no biases" in caplog.text) != biases
    if not biases:
        extra = {**state, "features.stage1.unit1.conv.bias": np.zeros(2, "float32")}
        assert_refused(model, saved(extra), "lacks the tensor 'features.4.bias'")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"features.stage1.unit1.conv.weight": (96, 3, 11, 11), "output.fc3.bias": (9,)},
            "the alexnet of pytorchcv, whose first maps are 54x54 and whose poolings round up",
        ),
        (
            {"sobel.0.weight": (1, 3, 1, 1), "features.module.0.weight": (96, 2, 11, 11)},
            "a network of DeepCluster, which takes the two maps of a Sobel filter",
        ),
        (
            {"sobel.1.weight": (2, 1, 3, 3), "features.module.0.weight": (64, 2, 3, 3)},
            r"VGG-16 alone load into vgg16_bn\(include_top=False, input_shape=\(None, None, 2\)\)",
        ),
    ],
)
def test_networks_that_only_resemble_those_here(tensors, message, model, saved):
    tensors = {name: np.ones(shape, "float32") for name, shape in tensors.items()}
    path = saved({"state_dict": prefixed(tensors, "module.")})
    assert_refused(model, path, message)
    path.write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match=f"cannot be identified: it is .*{message}"):
        kc.identify(path)


def test_features_on_two_maps(saved):
    """DeepCluster's VGG-16 without its Sobel filter, classifier and last layer."""
    small = {"include_top": False, "input_shape": (None, None, 2), "filters": (2, 2, 3, 3, 3)}
    source, model = kc.vgg16_bn(**small), kc.vgg16_bn(**small)
    fill(source)
    tensors = extract(torchvision.slots(source))
    load_weights(model, saved({n.replace(".", ".module.", 1): t for n, t in tensors.items()}))
    assert_equal(model, source)


def test_a_trunk_does_not_make_a_classifier(model, source, state, saved):
    path = saved({"state_dict": prefixed(state, "backbone.", "fc.")})
    assert_refused(
        model, path, "lacks the tensor 'state_dict.backbone.fc.weight' of the last layers. Build"
    )
    load_weights(model, path, strict=False)


STRANGERS = {
    # Its own name, what is added or changed, and what the message says.
    "another shape": (
        lambda s: {**s, "layer2.0.conv1.weight": np.ones((32, 8, 3, 3), "float32")},
        "its tensor 'state_dict.module.layer2.0.conv1.weight' has the shape",
    ),
    "squeeze and excitation": (
        lambda s: {**s, "layer1.0.se.fc1.weight": np.ones((4, 16), "float32")},
        "the network has no tensor 'state_dict.module.layer1.0.se.fc1.weight'",
    ),
    "attention between stages": (
        lambda s: {**s, "bam1.gate.weight": np.ones((4, 16), "float32")},
        "the network has no tensor 'state_dict.module.bam1.gate.weight'",
    ),
    "a deep stem": (
        lambda s: {n.replace("conv1.w", "conv1.0.w") if n[0] == "c" else n: s[n] for n in s},
        "lacks the tensor 'state_dict.module.conv1.weight', and the network has no .*conv1.0.wei",
    ),
    "a block more": (
        lambda s: {**s, "layer3.3.conv1.weight": s["layer3.2.conv1.weight"]},
        "the network has no tensor 'state_dict.module.layer3.3.conv1.weight'",
    ),
    "a tensor missing": (
        lambda s: {n: t for n, t in s.items() if n != "layer3.2.bn2.running_var"},
        "it lacks the tensor 'state_dict.module.layer3.2.bn2.running_var'",
    ),
    "two last layers": (
        lambda s: {**headed(s, "head"), "classifier.weight": s["fc.weight"]},
        "several last layers: head, classifier",
    ),
    "another last layer beside": (
        lambda s: {**s, "head.weight": s["fc.weight"]},
        "the network has no tensor 'state_dict.module.head.weight'",
    ),
    "a layer before the last one": (
        lambda s: {
            **{f"trunk.{n}": t for n, t in s.items() if not n.startswith("fc.")},
            "bn_neck.weight": np.ones(64, "float32"),
            "classifier.weight": s["fc.weight"],
            "classifier.bias": s["fc.bias"],
        },
        "no tensor 'state_dict.module.bn_neck.weight', which may be before its last layer",
    ),
    "not finite": (
        lambda s: {**s, "layer1.0.bn1.bias": np.full(16, np.nan, "float32")},
        "its tensor 'state_dict.module.layer1.0.bn1.bias' must be finite",
    ),
    "integers": (
        lambda s: {**s, "layer1.0.bn1.bias": np.ones(16, "int32")},
        "its tensor 'state_dict.module.layer1.0.bn1.bias' is of type int32",
    ),
    "nothing of it": (
        lambda s: {"vit.blocks.0.attn.qkv.weight": s["fc.weight"]},
        "no tensor that the network has, such as 'conv1.weight', under any prefix. It has state_d",
    ),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_does_not_fit_is_named_by_its_own_key(kind, model, state, saved):
    change, message = STRANGERS[kind]
    path = saved({"state_dict": prefixed(change(state), "module."), "optimizer": optimizer(state)})
    assert_refused(model, path, message)


def test_another_network_of_the_same_names_is_not_preferred(model, source, state, saved):
    wide = {n: np.repeat(t, 2, 0) for n, t in state.items()}
    load_weights(model, saved({"teacher": wide, "student": dict(state)}))
    assert_equal(model, source)


def test_what_contains_itself(model, source, state, saved):
    content = {"state_dict": dict(state)}
    content["self"] = content["state_dict"]["loop"] = content
    load_weights(model, saved(content))
    assert_equal(model, source)
    for _ in range(5):
        content = {str(i): content for i in range(20)}
    with pytest.raises(UserError, match="at most 100,000 entries"):
        load_weights(model, saved(content))


@pytest.mark.parametrize("strict", [None, True])
def test_other_entries_are_no_part_of_the_network(strict, model, source, state, others, saved):
    load_weights(model, saved(FORMS["momentum encoder"](state, others)), strict=strict)
    assert_equal(model, source)


def test_part_of_the_weights_when_asked_for(model, source, state, saved, caplog):
    changed = {**state, "extra.weight": state["fc.bias"], "fc.bias": np.ones(3, "float32")}
    del changed["layer1.0.bn1.bias"]
    path = saved({"state_dict": prefixed(changed, "module.")})
    assert_refused(model, path, "lacks the tensor 'state_dict.module.layer1.0.bn1.bias'")
    fill(model)
    for variable in model.weights:
        variable.assign(variable + 1)
    load_weights(model, path, strict=False)
    for found, expected in zip(model.weights, source.weights, strict=True):
        kept = found.path.endswith(("conv2_block1_1_bn/beta", "predictions/bias"))
        np.testing.assert_array_equal(found, np.array(expected) + kept)
    (record,) = caplog.records
    line = record.getMessage()
    assert "2 of the network's tensors stay as they are: state_dict.module.layer1.0.bn1.b" in line
    assert "2 of the file's are not loaded: state_dict.module.fc.bias, state_dict.module.e" in line
    with pytest.raises(UserError, match="none of its tensors has a name and a shape of the netw"):
        load_weights(model, saved({"conv1.weight": np.ones(3)}), strict=False)


def sharded(state, folder: Path, places=None) -> Path:
    names = [n for n in state if not n.endswith("num_batches_tracked")]
    shards = {
        f"model-{i + 1:05}-of-00002.safetensors": {n: state[n] for n in names[i::2]}
        for i in range(2)
    }
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard)
    listed = {name: shard for shard, tensors in shards.items() for name in tensors}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": listed | (places or {})}))
    return index


def test_an_index_of_several_files(model, source, state, tmp_path):
    index = sharded(state, tmp_path)
    load_weights(model, index)
    assert_equal(model, source)
    # Its content decides, whatever it is called.
    load_weights(model, shutil.copy(index, tmp_path / "a.JSON"))


FIRST = "model-00001-of-00002.safetensors"


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"x": f"../{FIRST}"}, "name files beside it. Received: '../model"),
        ({"x": f"/tmp/{FIRST}"}, "name files beside it. Received: '/tmp"),
        ({"x": ".."}, "its file '..' is missing"),
        ({"x": "none.safetensors"}, "its file 'none.safetensors' is missing"),
        ({"x": 5}, "name files beside it. Received: 5"),
        ({"x": FIRST}, "does not have the tensor 'x'"),
        ({"conv1.weight": "model-00002-of-00002.safetensors"}, "does not list, the tensor 'conv1"),
        ({str(i): f"{i}.safetensors" for i in range(99)}, "at most 64 files. Received: 101"),
        ({"x": "model.safetensors.index.json"}, "is neither torch's nor of safetensors"),
    ],
)
def test_an_index_that_says_something_wrong(places, message, model, state, tmp_path):
    assert_refused(model, sharded(state, tmp_path, places), message)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 5}', '{"weight_map": {}}'])
def test_a_damaged_index(content, model, tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(content)
    assert_refused(model, path, "not an intact index of files|its index names no file")


@pytest.mark.parametrize("name", ["WEIGHTS.SAFETENSORS", "weights.pth", "weights.bin", "weights"])
def test_the_content_of_a_file_decides(name, source, state, tmp_path):
    path = tmp_path / name
    save_file({n: t for n, t in state.items() if t.ndim}, path)
    assert_equal(kc.resnet20(weights=str(path), shortcut="B"), source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS. Fe"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (bytes(257) + b"ustar", "a tar archive. Unpack"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (
            pickle.dumps({"model": {"stem.conv1.weight": np.ones(3)}}),
            "a plain pickle, as Detectron",
        ),
    ],
)
def test_what_people_take_for_weights(content, message, model, tmp_path):
    path = tmp_path / "resnet20.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_weights(model, path)
    with pytest.raises(UserError, match=message):
        kc.resnet20(weights=path)
