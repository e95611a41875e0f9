"""Converts weights between Keras, keras.applications, torchvision and timm, and from Caffe.

keras-classics convert --from=resnet50.pth --model=resnet50 --out=resnet50.weights.h5
keras-classics convert --from=my.weights.h5 --model=resnet50 --to=torchvision --out=my.pth

A model card is written beside the file: resnet50.weights.h5.md. The outputs are compared with those
of the library that a file belongs to, if it is installed.
"""

from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.errors import one_line
from keras_classics.models import find_model
from keras_classics.models.conversion import LIBRARIES, convert_weights

FROM = define_path(
    "from",
    None,
    "Weights to read: a file of Keras, torch, TensorFlow or Caffe, or hf://ORG/REPO.",
    required=True,
)
MODEL = flags.DEFINE_string("model", None, "Network that the weights are for.", required=True)
OUT = define_path("out", None, "File to write.", required=True)
TO = flags.DEFINE_enum(
    "to", "keras", list(LIBRARIES), "Library whose names and layouts the file gets."
)
CLASSES = flags.DEFINE_integer(
    "classes", None, "Number of classes; the paper's if unset.", lower_bound=1
)
SIDE = flags.DEFINE_integer(
    "side", None, "Height and width of the images; the paper's if unset.", lower_bound=1
)
TOP = flags.DEFINE_bool("top", True, "Whether the weights include the network's top.")


def main() -> None:
    """Reads one file and writes the other."""
    entry = find_model(MODEL.value)
    side = SIDE.value or entry.input_shape[0]
    converted = convert_weights(
        FROM.value,
        entry.name,
        Path(OUT.value),
        TO.value,
        include_top=TOP.value,
        classes=CLASSES.value or entry.classes,
        input_shape=(side, side, entry.input_shape[2]),
    )
    print(f"{OUT.value} holds the {len(converted.network.weights)} tensors of {entry.name}.")
    for side in converted.proof:
        print(one_line(f"{side}."))
