"""Names the architecture of files that belong to none of the networks here."""

import re
from collections import Counter

from keras_classics.models.candidates import kernel_sides
from keras_classics.models.registry import ModelEntry, all_models
from keras_classics.models.resnet import IMAGENET, IMAGENET_WIDTHS
from keras_classics.weights.sketch import Kernel, Sketch

# Networks that are built only to say a difference have at most so many convolutions.
MOST_KERNELS = 200

TRANSFORMER = "a transformer"

# Architectures by what is in the names of their tensors, the most special first.
NAMES = (
    (r"features\.post_activ\.", "a pre-activated ResNet in pytorchcv's names"),
    (r"patch_embed|cls_token|class_token|pos_embed|position_embeddings|rel_pos", TRANSFORMER),
    (r"attention|\battn\b|in_proj_weight|layers?[._/]\d+[._/]self_attn", TRANSFORMER),
    (r"dense_?layer\d|dense_?block|conv\d_block\d+_\d_concat", "a DenseNet"),
    (r"\bfire\d|\bsqueeze\.weight|fire\d+[/_]squeeze", "a SqueezeNet"),
    (r"inception|mixed_\d|branch_?pool|branch\dx\d", "an Inception network"),
)
ATTENTION = (
    (r"cbam|channelgate|spatialgate|\.(ca|sa)\.", "CBAM's attention"),
    (r"\bse\b|se_module|se_block|squeeze_excit|_se_|\beca\b", "squeeze-and-excitation"),
)
# Of the papers: whether units are bottlenecks, and their number in each stage.
KNOWN = set(IMAGENET.values())

RESIDUAL = re.compile(r"layer1\.0\.|conv2_block1|res2a")


def other_architecture(sketch: Sketch) -> str | None:
    """Returns which architecture a file has by its names and shapes, or None if it is not known."""
    text = " ".join(sketch.names).lower()
    named = next((what for pattern, what in NAMES if re.search(pattern, text)), None)
    if named:
        attends = named == TRANSFORMER and RESIDUAL.search(text)
        return "a ResNet with attention" if attends else named
    if not sketch.kernels:
        if not sketch.dense:
            return "no network, for it has neither convolutions nor dense layers"
        return "a network without convolutions"
    for kernel in sketch.kernels:
        if len(kernel.sides) != 2:
            return f"a network of {len(kernel.sides)}-D convolutions ({kernel.name})"
    depthwise = _depthwise(sketch)
    attention = next((what for pattern, what in ATTENTION if re.search(pattern, text)), None)
    if attention and RESIDUAL.search(text):
        return f"a ResNet with {attention}"
    if depthwise:
        kind = "a ConvNeXt or the like" if depthwise.sides[0] >= 7 else "a MobileNet or the like"
        kind = "an EfficientNet, or a MobileNet with attention" if attention else kind
        return f"{kind}: {depthwise.name} is depthwise"
    if sketch.norms and any(kernel.sides == (11, 11) for kernel in sketch.kernels):
        return "an AlexNet with batch normalisation"
    return unusual_residual(sketch)


def _depthwise(sketch: Sketch) -> Kernel | None:
    """Returns a depthwise convolution, if the network has several."""
    found = [
        kernel
        for kernel in sketch.kernels
        if (kernel.inputs == 1 < kernel.filters or kernel.filters == 1 < kernel.inputs)
        and min(kernel.sides) > 2
    ]
    return found[1] if len(found) > 2 else None


def unusual_residual(sketch: Sketch) -> str | None:
    """Returns which residual network it is by torch's names, if it is none of those here."""
    kernels = {kernel.name: kernel for kernel in sketch.kernels}
    stem = [name for name in kernels if re.match(r"(conv1|stem)\.\d", name)]
    if len(stem) > 1:
        return f"a ResNet-C or -D: its stem has {len(stem)} convolutions, such as {stem[0]}"
    averaged = [name for name in kernels if re.search(r"downsample\.[1-9]\.", name)]
    if averaged:
        return f"a ResNet-D: its shortcuts average before they project ({averaged[0]})"
    for name, kernel in kernels.items():
        first = kernels.get(name.replace("conv2", "conv1"))
        last = kernels.get(name.replace("conv2", "conv3"))
        if not re.search(r"layer\d\.\d+\.conv2", name) or first is None:
            continue
        if kernel.inputs < first.filters:
            return f"a ResNeXt: {name} has {kernel.inputs} inputs of {first.filters}"
        if last is not None and kernel.filters * 4 != last.filters:
            return f"a Wide ResNet: {name} has {kernel.filters} filters of {last.filters}"
    first = kernels.get("conv1.weight")
    if first is not None and first.sides == (3, 3) and first.filters == 64:
        return "a ResNet for small images, whose first convolution is 3x3 with 64 filters"
    found = [re.match(r"layer(\d+)\.(\d+)\.conv1\.weight", name) for name in kernels]
    stages = Counter(int(match[1]) for match in found if match)
    units = tuple(stages[stage] for stage in sorted(stages))
    for_cifar = len(units) == 3 and len(set(units)) == 1
    bottleneck = "layer1.0.conv3.weight" in kernels
    if units and not for_cifar and (bottleneck, units) not in KNOWN:
        kind = "bottlenecks" if bottleneck else "basic units"
        return f"a ResNet whose stages have {', '.join(map(str, units))} {kind}"
    return None


def nearest(sketch: Sketch) -> ModelEntry | None:
    """Returns the network whose convolutions have the most kernels of the same sides."""
    sides = sketch.sides()
    residual = bool(RESIDUAL.search(" ".join(sketch.names).lower()))
    wide = any(kernel.filters >= IMAGENET_WIDTHS[-1] for kernel in sketch.kernels)

    def distance(entry: ModelEntry) -> tuple[bool, bool, int]:
        own = kernel_sides(entry)
        return (
            residual != ("resnet" in entry.family.__name__),
            ("cifar" in entry.family.__name__) == wide if residual else max(sides) != max(own),
            sum(abs(sides[side] - own[side]) for side in sides.keys() | own.keys()),
        )

    entries = [e for e in all_models() if kernel_sides(e).total() <= MOST_KERNELS]
    return min(entries, key=distance) if sketch.kernels else None
