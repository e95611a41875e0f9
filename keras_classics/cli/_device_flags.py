"""Definitions of the flags for the devices of a training or an evaluation."""

from absl import flags

from keras_classics.training.strategy import STRATEGIES


def define_strategy() -> flags.FlagHolder:
    """Defines --strategy."""
    text = f"{', '.join(STRATEGIES)}. multi_worker: the machines of TF_CONFIG or of a Slurm job."
    return flags.DEFINE_string("strategy", "auto", text)


def define_num_replicas() -> flags.FlagHolder:
    """Defines --num_replicas."""
    return flags.DEFINE_integer(
        "num_replicas",
        None,
        "Number of GPUs (or logical CPUs) for --strategy=mirrored.",
        lower_bound=1,
    )
