"""The weights that the package ships: trained here, on real data.

python -m reproduce.own_weights --recipe=lenet5_digits
python -m reproduce.own_weights --recipe=lenet5_fashion_mnist
python -m reproduce.own_weights --recipe=resnet20_fashion_mnist
"""

from keras_classics.training import recipes
from reproduce import program


def main() -> None:
    """Trains by the recipe that the flags name."""
    program.run_recipe("own", recipes.OWN_WEIGHTS)


if __name__ == "__main__":
    program.run(main)
