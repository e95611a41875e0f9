"""Checkpoints as training programs save them, around the weights of a ResNet.

Each form takes the network's tensors by torchvision's names and a second set of other values, and
returns what the program would give to `torch.save`.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from tests.helpers import pytorchcv_names

State = Mapping[str, Any]
Form = Callable[[State, State], Any]


def prefixed(state: State, prefix: str, without: str = "-") -> dict[str, Any]:
    """Puts a prefix before all names, and leaves out those that start with another."""
    return {f"{prefix}{n}": t for n, t in state.items() if not n.startswith(without)}


def headed(state: State, head: str) -> dict[str, Any]:
    """Gives the last layer another name."""
    return {n.replace("fc.", f"{head}.") if n.startswith("fc.") else n: state[n] for n in state}


def optimizer(state: State) -> dict[str, Any]:
    """What SGD with momentum saves: buffers by the number of a parameter."""
    parameters = [t for n, t in state.items() if "running" not in n and "num_b" not in n]
    return {
        "state": {i: {"momentum_buffer": tensor} for i, tensor in enumerate(parameters)},
        "param_groups": [{"lr": 0.1, "params": list(range(len(parameters)))}],
    }


def lightning(state: State, prefix: str) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": OrderedDict(prefixed(state, prefix)),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": None}},
        "optimizer_states": [optimizer(state)],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "layers": (2, 2), "name": "resnet20"},
    }


def hugging_face(state: State) -> dict[str, Any]:
    """The names of `transformers.ResNetForImageClassification`."""
    named = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0].startswith("layer"):
            block = f"resnet.encoder.stages.{int(parts[0][5:]) - 1}.layers.{parts[1]}"
            if parts[2] == "downsample":
                kind = ("convolution", "normalization")[int(parts[3])]
                module = f"{block}.shortcut.{kind}"
            else:
                kind = "convolution" if parts[2].startswith("conv") else "normalization"
                module = f"{block}.layer.{int(parts[2][-1]) - 1}.{kind}"
        else:
            module = {
                "conv1": "resnet.embedder.embedder.convolution",
                "bn1": "resnet.embedder.embedder.normalization",
                "fc": "classifier.1",
            }[parts[0]]
        named[f"{module}.{parts[-1]}"] = tensor
    return named


# By name: what a program saves.
FORMS: dict[str, Form] = {
    "plain": lambda s, t: dict(s),
    "ordered": lambda s, t: OrderedDict(s),
    "beside other entries": lambda s, t: {**s, "epoch": 5, "optimizer": optimizer(s)},
    "examples/imagenet": lambda s, t: {
        "epoch": 90,
        "arch": "resnet20",
        "state_dict": prefixed(s, "module."),
        "best_acc1": 71.5,
        "optimizer": optimizer(s),
        "scheduler": {"last_epoch": 90},
    },
    "model": lambda s, t: {"model": dict(s), "optimizer": optimizer(s), "epoch": 3},
    "model_state_dict": lambda s, t: {"epoch": 3, "model_state_dict": dict(s), "loss": 0.5},
    "net": lambda s, t: {"net": prefixed(s, "module."), "acc": 91.2, "epoch": 3},
    "network": lambda s, t: {"network": dict(s)},
    "compiled": lambda s, t: prefixed(s, "_orig_mod."),
    "compiled and parallel": lambda s, t: {"model": prefixed(s, "module._orig_mod.")},
    "averaged": lambda s, t: {"n_averaged": s["fc.bias"][0], **prefixed(s, "module.")},
    "lightning": lambda s, t: lightning(s, "model."),
    "lightning, compiled": lambda s, t: lightning(s, "net._orig_mod."),
    "timm with EMA": lambda s, t: {
        "epoch": 9,
        "arch": "resnet20",
        "state_dict": dict(s),
        "state_dict_ema": dict(t),
        "optimizer": optimizer(s),
        "version": 2,
        "metric": 71.0,
    },
    "reference with EMA": lambda s, t: {
        "model": dict(s),
        "optimizer": optimizer(s),
        "model_ema": {"n_averaged": t["fc.bias"][0], **prefixed(t, "module.")},
    },
    "EMA alone": lambda s, t: {"ema": dict(s), "epoch": 3},
    "teacher and student": lambda s, t: {
        "student": {**prefixed(t, "module.backbone."), "module.head.mlp.0.weight": s["fc.weight"]},
        "teacher": {**prefixed(s, "backbone."), "head.mlp.0.weight": s["fc.weight"]},
        "center": s["fc.bias"],
    },
    "momentum encoder": lambda s, t: {
        "arch": "resnet20",
        "state_dict": {
            **prefixed(s, "module.encoder_q."),
            **prefixed(t, "module.encoder_k."),
            "module.queue": s["fc.weight"],
            "module.queue_ptr": s["fc.bias"][:1],
        },
    },
    "backbone and head": lambda s, t: {
        "meta": {"epoch": 3, "CLASSES": ["a", "b"]},
        "state_dict": {**prefixed(s, "backbone.", "fc."), **_head(s, "head.fc.")},
    },
    "encoder and classifier": lambda s, t: {
        **prefixed(s, "encoder.", "fc."),
        **_head(s, "classifier."),
        "criterion.weight": s["fc.bias"],
    },
    "CIFAR's shortcut and linear": lambda s, t: {
        "state_dict": prefixed(
            {n.replace("downsample", "shortcut"): v for n, v in headed(s, "linear").items()},
            "module.",
        ),
        "best_prec1": 91.7,
    },
    "head.fc": lambda s, t: headed(s, "head.fc"),
    "classifier": lambda s, t: headed(s, "classifier"),
    "head": lambda s, t: {"state_dict": headed(s, "head")},
    "last_linear": lambda s, t: headed(s, "last_linear"),
    "transformers": lambda s, t: hugging_face(s),
    "MoCo v3 with its linear classifier": lambda s, t: {
        "epoch": 90,
        "arch": "resnet20",
        "state_dict": prefixed(s, "module."),
        "best_acc1": s["fc.bias"][0],
        "optimizer": optimizer({n: v for n, v in s.items() if n.startswith("fc.")}),
    },
    "robustness": lambda s, t: {
        "model": {
            **_normalizer(s, "module.normalizer"),
            **prefixed(s, "module.model."),
            **_normalizer(s, "module.attacker.normalize"),
            **prefixed(s, "module.attacker.model."),
        },
        "optimizer": optimizer(s),
        "schedule": {"milestones": [50, 100]},
        "epoch": 89,
        "amp": None,
    },
    "mmpretrain with EMA": lambda s, t: {
        "meta": {"mmpretrain_version": "1.2.0"},
        "state_dict": {
            **_normalizer(s, "data_preprocessor"),
            **prefixed(s, "backbone.", "fc."),
            **_head(s, "head.fc."),
        },
        "ema_state_dict": {
            "steps": t["fc.bias"][0],
            **prefixed(t, "module.backbone.", "fc."),
            **_head(t, "module.head.fc."),
        },
        "message_hub": {"log_scalars": {}},
    },
    "lightning with metrics and a loss": lambda s, t: lightning(
        {
            **prefixed(s, "net."),
            "val_accuracy.total": s["fc.bias"][0],
            "loss_fn.weight": s["fc.bias"],
        },
        "",
    ),
    "fastai": lambda s, t: {"model": dict(s), "opt": {"state": [{"grad_avg": s["fc.bias"]}]}},
    "model_state": lambda s, t: {"model_state": dict(s), "epoch": 3},
    "params with EMA": lambda s, t: {"params": dict(s), "params_ema": dict(t)},
    "compiled, parallel, with EMA": lambda s, t: {
        "model": prefixed(s, "_orig_mod.module."),
        "model_ema": prefixed(t, "module._orig_mod."),
    },
    "composer": lambda s, t: {"state": {"model": prefixed(s, "module."), "optimizers": {}}},
    "pytorchcv": lambda s, t: {
        "state_dict": prefixed(pytorchcv_names.named(s, small=True), "module.")
    },
    "nested": lambda s, t: {"run": {"weights": {"teacher_free": {"model": dict(s)}}}},
    "several copies of one": lambda s, t: {"swa_model": dict(t), "model": dict(s)},
}


def _head(state: State, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{n}": state[f"fc.{n}"] for n in ("weight", "bias")}


def _normalizer(state: State, module: str) -> dict[str, Any]:
    """A mean and a deviation of the images, among the tensors."""
    return {f"{module}.{name}": state["fc.bias"][:3] for name in ("mean", "std")}


def _child(state: State, prefix: str) -> dict[str, Any]:
    """A trunk as the sequence of its children, of which ReLU and pooling have no tensors."""
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    return {
        f"{prefix}{numbers[module]}.{rest}": tensor
        for name, tensor in state.items()
        for module, _, rest in [name.partition(".")]
        if module in numbers
    }


def _mlp(weights: Any, prefix: str, modules: Mapping[int, tuple[str, ...]]) -> dict[str, Any]:
    """Variables of the modules of a sequence that is no part of the network."""
    return {f"{prefix}{i}.{name}": weights for i, names in modules.items() for name in names}


_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_MOCO = {0: ("weight",), 1: _NORM, 3: ("weight",), 4: _NORM[2:]}
_SWAV = {0: ("weight", "bias"), 1: _NORM, 3: ("weight", "bias")}
_BARLOW = {0: ("weight",), 1: _NORM, 3: ("weight",), 4: _NORM, 6: ("weight",)}

# By the name of what was trained without labels: what its program saves of a trunk, as
# facebookresearch published it. The last layer of the network's tensors is not used.
TRUNKS: dict[str, Form] = {
    "DINO, Barlow Twins, VICReg": lambda s, t: OrderedDict(prefixed(s, "", "fc.")),
    "Barlow Twins, whole": lambda s, t: {
        "epoch": 1000,
        "model": {
            **prefixed(s, "module.backbone.", "fc."),
            **_mlp(s["fc.weight"], "module.projector.", _BARLOW),
            **{f"module.bn.{name}": s["fc.bias"] for name in _NORM[2:]},
        },
        "optimizer": optimizer(s),
    },
    "SwAV": lambda s, t: OrderedDict(
        {
            **prefixed(s, "module.", "fc."),
            **_mlp(s["fc.weight"], "module.projection_head.", _SWAV),
            "module.prototypes.weight": s["fc.weight"],
        }
    ),
    "SwAV, while it trains": lambda s, t: {
        "epoch": 25,
        "state_dict": {
            **prefixed(s, "module.", "fc."),
            **_mlp(s["fc.weight"], "module.projection_head.", _SWAV),
            "module.prototypes.weight": s["fc.weight"],
        },
        "optimizer": optimizer(s),
        "amp": {"loss_scaler0": {"loss_scale": 65536.0, "unskipped": 3}},
    },
    "DeepCluster-v2, SeLa-v2": lambda s, t: OrderedDict(
        {
            **prefixed(s, "module.", "fc."),
            **_mlp(s["fc.weight"], "module.projection_head.", _SWAV),
            **{f"module.prototypes.prototypes{i}.weight": s["fc.weight"] for i in range(3)},
        }
    ),
    "VISSL": lambda s, t: {
        "phase_idx": 99,
        "classy_state_dict": {
            "train": {"phase_type": "train"},
            "base_model": {
                "meta": {"num_classes": 1000},
                "model": {
                    "trunk": prefixed(s, "_feature_blocks.", "fc."),
                    "heads": _mlp(s["fc.weight"], "0.clf.", {0: ("weight", "bias")}),
                },
            },
            "optimizer": optimizer(s),
        },
    },
    "lightly": lambda s, t: lightning(
        {
            **_child(s, "backbone."),
            **_mlp(s["fc.weight"], "projection_head.layers.", _MOCO),
            **_child(t, "backbone_momentum."),
        },
        "",
    ),
    "fastai's body and head": lambda s, t: {
        "model": {**_child(s, "0."), **_mlp(s["fc.weight"], "1.", {2: _NORM, 8: ("weight",)})},
        "opt": {},
    },
    "BYOL": lambda s, t: lightning(
        {
            **prefixed(s, "online_network.encoder.", "fc."),
            **prefixed(t, "target_network.encoder.", "fc."),
        },
        "",
    ),
    "MoCo v3": lambda s, t: {
        "epoch": 1000,
        "arch": "resnet20",
        "state_dict": {
            **prefixed(s, "module.base_encoder.", "fc."),
            **_mlp(s["fc.weight"], "module.base_encoder.fc.", _MOCO),
            **prefixed(t, "module.momentum_encoder.", "fc."),
            **_mlp(t["fc.weight"], "module.momentum_encoder.fc.", _MOCO),
            **_mlp(s["fc.weight"], "module.predictor.", _MOCO),
        },
        "optimizer": optimizer(s),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
    },
}
