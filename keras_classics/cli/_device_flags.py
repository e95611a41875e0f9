"""The flags for the devices of a training or an evaluation."""

from absl import flags

from keras_classics.training.strategy import STRATEGIES

STRATEGY = flags.DEFINE_string(
    "strategy",
    "auto",
    f"{', '.join(STRATEGIES)}. multi_worker: the machines of TF_CONFIG or of a Slurm job.",
)
NUM_REPLICAS = flags.DEFINE_integer(
    "num_replicas",
    None,
    "Number of GPUs (or logical CPUs) for --strategy=mirrored.",
    lower_bound=1,
)

FLAG_GROUPS = {"Devices": (STRATEGY, NUM_REPLICAS)}
