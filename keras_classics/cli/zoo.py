"""Lists all networks, or describes one layer by layer.

keras-classics zoo --pattern='vgg*'
keras-classics zoo --model=alexnet
keras-classics zoo --model=resnet50 --side=299 --classes=10
"""

from absl import flags

from keras_classics.errors import UserError
from keras_classics.models import describe, find_model, list_models

PATTERN = flags.DEFINE_string("pattern", "*", "Networks to list, such as 'resnet*'.")
MODEL = flags.DEFINE_string("model", None, "Network to describe.")
SIDE = flags.DEFINE_integer(
    "side", None, "Height and width of its images; the paper's if unset.", lower_bound=1
)
CLASSES = flags.DEFINE_integer(
    "classes", None, "Number of its classes; the paper's if unset.", lower_bound=1
)


def main() -> None:
    """Prints the list or the description."""
    if MODEL.value:
        _describe()
    else:
        _list()


def _describe() -> None:
    entry = find_model(MODEL.value)
    side = SIDE.value or entry.input_shape[0]
    shape = (side, side, entry.input_shape[2])
    print(describe(entry.name, input_shape=shape, classes=CLASSES.value or entry.classes))
    print(f"\n{entry.paper}")


def _list() -> None:
    names = list_models(PATTERN.value)
    if not names:
        raise UserError(
            f"No network matches --pattern={PATTERN.value!r}. Leave it out to list all."
        )
    print(f"{'network':<22}{'input':<12}{'smallest':>8}  paper")
    for entry in map(find_model, names):
        shape = "x".join(map(str, entry.input_shape))
        print(f"{entry.name:<22}{shape:<12}{entry.smallest_input:>8}  {entry.paper}")
