"""Finds a network in what training programs save: under a prefix, beside other things.

A network wrapped in another (`module.`, `_orig_mod.`, `backbone.`) and a checkpoint of several
entries (`state_dict`, `model`, `optimizer`) differ from the network alone in what stands before its
names. So the entries of entries get names with dots, and the network is where its own names are:

    {"state_dict": {"module.conv1.weight": ...}, "epoch": 90}     state_dict.module.conv1.weight
    {"teacher": {"backbone.conv1.weight": ...}, "student": ...}   teacher.backbone.conv1.weight
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.formats import pytorchcv
from keras_classics.weights.stored import StoredTensor

# Most entries of a checkpoint, and how deep they may lie; a pickle may contain itself.
ENTRIES, DEPTH = 100_000, 12

# Blocks that others call differently: ResNets for CIFAR-10, and those of transformers; and what
# torch puts around one.
SHORTCUT = re.compile(r"(layer\d+\.\d+)\.shortcut\.([01])\.")
STAGES = re.compile(
    r"encoder\.stages\.(\d{1,3})\.layers\.(\d+)\.(?:layer\.(\d{1,3})|shortcut)\.(convolution|norm)[a-z]*\."
)
WRAPPERS = re.compile(
    r"((?:layer\d+|features|classifier|\d+)\.)(?:module|_orig_mod|_fsdp_wrapped_module|"
    r"_checkpoint_wrapped_module)\."
)
EMBEDDER = {"convolution": "conv1", "normalization": "bn1"}

# Names of the last layer, by its module; torchvision's comes first.
HEADS = ("fc", "head.fc", "head", "classifier", "last_linear", "linear", "classifier.1", "logits")

# How much a network is another's copy, by a word in its name: the first is taken.
COPIES = (
    re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)"),
    re.compile(r"(^|[._])(teacher|momentum|target|encoder_k)([._]|$)"),
    re.compile(r"(^|[._])student([._]|$)"),
)

# Modules with tensors beside a network that do not take part in what it computes, or prepare the
# images.
ASIDE = re.compile(
    r"(criterion|\w*loss\w*|\w*metrics?\w*|\w*accuracy\w*|\w*queue\w*|n_averaged|normaliz\w+|"
    r"data_preprocessor)(\.|$)"
)

# The children of torchvision's ResNets in a sequence of them, by number.
CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
FIRST_UNIT = re.compile(r"(|.*\.)4\.0\.conv1\.weight")

SOBEL = re.compile(r"(|.*\.)sobel\.\d\.\w+")

# Variables of a last layer, and what torch counts beside the weights, which nothing needs.
VARIABLES, COUNTER = ("weight", "bias"), ".num_batches_tracked"

# Most names that a message lists.
LISTED = 12


@dataclass(frozen=True)
class Entry:
    """An entry of a checkpoint.

    Attributes:
        shape: Shape of a tensor; None if it is none.
        home: Name of the mapping that it lies in.
        stored: Returns the tensor.
    """

    shape: tuple[int, ...] | None
    home: str
    stored: Callable[[], StoredTensor]


@dataclass(frozen=True)
class Selection:
    """Where a network is in a checkpoint.

    Attributes:
        names: Name in the checkpoint of each of its tensors, by torchvision's name.
        prefix: What stands before the names.
        notes: What was done, in phrases.
        others: Where other networks of the same names are.
    """

    names: Mapping[str, str]
    prefix: str
    notes: Sequence[str]
    others: Sequence[str]


def flattened(content: Mapping[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yields the entries of a mapping of mappings and lists: name with dots, mapping's name, value.

    What contains itself is not followed again.

    Raises:
        UserError: If they are too many.
    """
    count = 0
    pending: list[tuple[str, Any, tuple[int, ...]]] = [("", content, (id(content),))]
    for home, entries, around in pending:  # It grows at its end.
        items = entries.items() if isinstance(entries, Mapping) else enumerate(entries)
        for key, value in items:
            count += 1
            if count > ENTRIES:
                raise UserError(f"it must have at most {ENTRIES:,} entries, but has more")
            name = f"{home}.{key}" if home else f"{key}"
            inner = isinstance(value, Mapping | list | tuple) and id(value) not in around
            if inner and len(around) < DEPTH:
                pending.append((name, value, (*around, id(value))))
            yield name, home, value


def select(
    entries: Mapping[str, Entry], wanted: Mapping[str, tuple[int, ...]], part: str = ""
) -> Selection:
    """Finds a network in a checkpoint.

    Args:
        entries: The entries by name.
        wanted: Shape of each of the network's tensors, by torchvision's name.
        part: Names one of several networks; "" takes the one that is no copy of another.

    Raises:
        UserError: If there are several networks, or none of that name.
    """
    spelled = spellings(entries)
    if len(spelled) < len(entries):
        raise UserError("two of its tensors have one name")
    prefixes = _prefixes(spelled, entries, wanted)

    def values(name: str) -> np.ndarray:
        return entries[spelled[name]].stored().read()

    def equal(one: str, other: str) -> bool:
        both = [name for name in wanted if one + name in spelled and other + name in spelled]
        return all(np.array_equal(values(one + name), values(other + name)) for name in both)

    prefix = _chosen(prefixes, part, equal)
    names = {n[len(prefix) :]: own for n, own in spelled.items() if n.startswith(prefix)}
    homes = {entries[own].home for name, own in names.items() if name in wanted}
    names = {
        name: own
        for name, own in names.items()
        if name in wanted or (entries[own].shape is not None and entries[own].home in homes)
    }
    notes = [f"the network is under {prefix.rstrip('.')!r}"] if prefix else []
    others = [p for p in prefixes if p != prefix]
    head = _other_head(names, spelled, entries, wanted, prefix)
    if head:
        module, level, found = head
        _check_between(level, found, spelled, entries, [prefix, *others])
        moved = {f"{found}.{variable}": f"{module}.{variable}" for variable in VARIABLES}
        names = {name: own for name, own in names.items() if prefix + name not in moved}
        names |= {name: spelled[n] for n, name in moved.items() if n in spelled}
        notes.append(f"its last layer is {found!r}")
    rest = _groups(set(entries) - set(names.values()), entries, prefix, others)
    if rest:
        notes.append(f"not used: {shortened(rest)}")
    names = {n: own for n, own in names.items() if not n.endswith(COUNTER)}
    return Selection(names, prefix, notes, [p.rstrip(".") for p in others])


def spellings(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Returns the names of a checkpoint's entries by torchvision's for the same.

    Raises:
        UserError: If it is a network that computes otherwise than those here.
    """
    if any(SOBEL.fullmatch(name) for name in entries):
        raise UserError(
            "it is a network of DeepCluster, which takes the two maps of a Sobel filter, as no "
            "network here does. The tensors of the features of its VGG-16 alone load into "
            "vgg16_bn(include_top=False, input_shape=(None, None, 2))"
        )
    known = pytorchcv.torchvision_names({n: entry.shape for n, entry in entries.items()})
    known |= _of_sequences(entries)
    return {known.get(name) or _torchvision_name(name): name for name in entries}


def _of_sequences(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Returns torchvision's names in a ResNet that is a sequence of its children."""
    found = {}
    units = (FIRST_UNIT.fullmatch(name) for name in entries)
    for around in {match[1] for match in units if match}:
        for name in entries:
            number, _, rest = name.removeprefix(around).partition(".")
            if name.startswith(around) and number in CHILDREN:
                found[name] = f"{around}{CHILDREN[number]}.{rest}"
    return found


def _torchvision_name(name: str) -> str:
    name = WRAPPERS.sub(r"\1", name)
    name = SHORTCUT.sub(r"\1.downsample.\2.", name)
    name = STAGES.sub(_block, name)
    for kind, module in EMBEDDER.items():
        name = name.replace(f"embedder.embedder.{kind}.", f"{module}.")
    return name


def _block(match: re.Match) -> str:
    stage, unit, number, kind = match.groups()
    if number is None:
        part = "downsample.0" if kind == "convolution" else "downsample.1"
    else:
        part = f"{'conv' if kind == 'convolution' else 'bn'}{int(number) + 1}"
    return f"layer{int(stage) + 1}.{unit}.{part}."


def _prefixes(
    spelled: Mapping[str, str], entries: Mapping[str, Entry], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Returns the prefixes under which the network is, and how many of its tensors fit there.

    Raises:
        UserError: If it is nowhere.
    """
    named: Counter[str] = Counter()
    fitting: Counter[str] = Counter()
    for name, own in spelled.items():
        if entries[own].shape is None and name not in wanted:
            continue
        starts = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        for start in starts[-DEPTH:]:
            shape = wanted.get(name[start:])
            if shape is not None:
                named[name[:start]] += 1
                fitting[name[:start]] += shape == entries[own].shape
    if not named:
        tensors = [name for name, entry in entries.items() if entry.shape is not None]
        if not tensors:
            raise UserError("it is not a state_dict, a mapping from names to tensors")
        raise UserError(
            f"it has no tensor that the network has, such as {next(iter(wanted))!r}, under any "
            f"prefix. It has {shortened(tensors, 3)}"
        )
    counts = +fitting or named
    most = max(counts.values())
    return {prefix: counts[prefix] for prefix in named if 2 * counts[prefix] > most}


def _chosen(prefixes: Mapping[str, int], part: str, equal: Callable[[str, str], bool]) -> str:
    """Returns the prefix of the network to take: of that name, or the one that is no copy.

    Args:
        prefixes: Where networks are, and how many tensors fit there.
        part: The name; "" for any.
        equal: Tells whether the networks under two prefixes have the same values.

    Raises:
        UserError: If there is none of that name, or more than one that is no copy.
    """
    names = [prefix.rstrip(".") or "the file's top" for prefix in prefixes]
    part = part.replace("/", ".").strip(".")
    found = [p for p in prefixes if not part or f".{part}." in f".{p}"]
    if not found:
        raise UserError(f"it has no network under {part!r}, but under {shortened(names)}")

    def key(prefix: str) -> tuple[int, int]:
        copies = [i for i, words in enumerate(COPIES, 1) if words.search(prefix)]
        return max(copies, default=0), -prefixes[prefix]

    found.sort(key=key)
    rivals = [p for p in found[1:] if key(p) == key(found[0]) and not equal(found[0], p)]
    if rivals:
        named = [p.rstrip(".") for p in (found[0], *rivals)]
        raise UserError(
            f"it has several networks: {shortened(named)}. Choose one, such as "
            f"weights='FILE#{named[-1]}'"
        )
    return found[0]


def _other_head(
    names: Mapping[str, str],
    spelled: Mapping[str, str],
    entries: Mapping[str, Entry],
    wanted: Mapping[str, tuple[int, ...]],
    prefix: str,
) -> tuple[str, str, str] | None:
    """Returns the module of the last layer, and its prefix and name in the file if it differs."""
    module = next((m for m in ("fc", "classifier.6") if f"{m}.weight" in wanted), None)
    if module is None or f"{module}.weight" in names:
        return None
    while True:
        found = [h for h in HEADS if f"{prefix}{h}.weight" in spelled]
        found = [h for h in found if len(entries[spelled[f"{prefix}{h}.weight"]].shape or ()) > 1]
        if len(found) > 1:
            raise UserError(f"it has several last layers: {shortened(found)}")
        if found:
            return module, prefix, prefix + found[0]
        if not prefix:
            return None
        # A network around this one may have the last layer.
        prefix = prefix[: prefix[:-1].rfind(".") + 1]


def _check_between(
    level: str,
    head: str,
    spelled: Mapping[str, str],
    entries: Mapping[str, Entry],
    networks: Sequence[str],
) -> None:
    """Refuses other layers beside a last layer that is outside of the network: they may be before.

    Args:
        level: Prefix of the network that has the last layer.
        head: The last layer.
        spelled: Names of the entries.
        entries: The entries.
        networks: Prefixes of the networks that were found.
    """
    home = entries[spelled[f"{head}.weight"]].home
    for name, own in spelled.items():
        known = name.startswith((f"{head}.", *networks)) or ASIDE.match(name[len(level) :])
        inside = name.startswith(level) and entries[own].home == home
        if inside and not known and entries[own].shape is not None and not name.endswith(COUNTER):
            raise UserError(
                f"the network has no tensor {own!r}, which may be before its last layer {head!r}"
            )


def _groups(
    unused: set[str], entries: Mapping[str, Entry], prefix: str, others: Sequence[str]
) -> list[str]:
    """Returns what is not used, by the first name that is not of the prefix."""
    path = prefix.split(".")[:-1]
    tensors: Counter[str] = Counter()
    for name in (name for name in entries if name in unused):
        parts = name.split(".")
        depth = next((i for i, p in enumerate(parts) if path[i : i + 1] != [p]), None)
        if depth is None or name.endswith(COUNTER):
            continue
        group = ".".join(parts[: depth + 1])
        if not any(p.startswith(f"{group}.") for p in others):
            tensors[group] += entries[name].shape is not None
    return [f"{name} ({count} tensors)" if count > 1 else name for name, count in tensors.items()]


def shortened(names: Sequence[str], most: int = LISTED) -> str:
    """Returns names in a list that says how many more there are."""
    rest = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([*(f"{name:.80}" for name in names[:most]), *rest])
