"""What the benchmark `gpu` measures, and the columns of its rows."""

# Batch sizes of the networks, in groups that fit into 80 GB with all of their sides.
Group = dict[str, int]
GROUPS: tuple[Group, ...] = ({"resnet50": 64, "resnet20": 128}, {"vgg16": 32, "alexnet_owt": 128})
WORKS = ("infer", "train")
PRECISIONS = ("float32", "bfloat16")
# By the package that a side needs.
SIDES = {"keras_jax": "jax", "torch": "torch", "torch_compile": "torch"}

COLUMNS = (
    "network",
    "work",
    "precision",
    "side",
    "batch",
    "images_per_second",
    "lowest",
    "highest",
    "turns",
    "steps",
    "device",
    "commit",
    "python",
    "keras",
    "jax",
    "torch",
    "command",
)
