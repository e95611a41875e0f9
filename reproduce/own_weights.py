"""The weights that the package ships: trained here, on real data.

python -m reproduce.own_weights --recipe=lenet5_digits --pack
python -m reproduce.own_weights --recipe=lenet5_fashion_mnist --pack
python -m reproduce.own_weights --recipe=resnet20_fashion_mnist --pack

`--pack` copies the weights of the run into keras_classics/weights/own, where
`keras_classics.resnet20(weights="fashion_mnist")` finds them, and with them the run's result: seed,
commit, versions, accuracy, seconds.
"""

import hashlib
import shutil
from pathlib import Path

from absl import flags

from keras_classics import files
from keras_classics.cli._program import run
from keras_classics.training import read_result, recipes
from keras_classics.weights.records import OWN
from reproduce.harness.run import run_recipe

PACK = flags.DEFINE_bool("pack", False, "Copy the weights of the run into the package.")


def main() -> None:
    """Trains with the recipe that the flags describe, and packs the weights if asked to."""
    run = run_recipe("own", recipes.OWN_WEIGHTS)
    if PACK.value:
        print(f"packed  {pack(run.weights, run.result)}")


def pack(weights: Path, result: Path) -> Path:
    """Copies the weights of a run into the package, with its result and their hash.

    Returns:
        The file of weights in the package.
    """
    metadata = read_result(result)
    name = f"{metadata['model']}_{metadata['dataset']}"
    packed = OWN / f"{name}.weights.h5"
    with files.atomic_write(packed) as aside:
        shutil.copyfile(weights, aside)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    files.write_json(OWN / f"{name}.json", {**metadata, "weights_digest": f"sha256:{digest}"})
    return packed


if __name__ == "__main__":
    run(main)
