"""The layers that residual networks are built from, named as in the papers' figures."""

from dataclasses import dataclass

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import ModelBuilder
from keras_classics.models.initializers import kernel_initializer as initial
from keras_classics.models.layers import IdentityShortcut
from keras_classics.models.replica_layers import BatchNormalization

SHORTCUTS = ("A", "B", "C", "none")


@dataclass(frozen=True)
class ResidualLayers:
    """Convolutions, normalisations and shortcuts with the options of one network.

    Attributes:
        shortcut: `"A"`, `"B"`, `"C"` or `"none"`; see models/resnet.py.
        zero_init_residual: Whether every branch starts from zero.
        kernel_initializer: Of the convolutions.
        epsilon: Of batch normalisation. torchvision's by default; the papers print none.

    Raises:
        UserError: There is no such shortcut, or branches of zeros have no shortcut beside them.
    """

    shortcut: str
    zero_init_residual: bool
    kernel_initializer: str | keras.initializers.Initializer
    epsilon: float = 1e-5

    def __post_init__(self):
        if self.shortcut not in SHORTCUTS:
            raise unknown_name("shortcut", self.shortcut, SHORTCUTS)
        if self.zero_init_residual and self.shortcut == "none":
            raise UserError(
                "zero_init_residual needs shortcuts: a plain network of zeros computes nothing. "
                "Received: shortcut='none'."
            )

    @property
    def last_gamma(self) -> str:
        """Initial gamma of the last batch normalisation of a branch."""
        return "zeros" if self.zero_init_residual else "ones"

    def conv(
        self, x, filters: int, kernel: int, stride: int, name: str, *, zeros=False, bias=False
    ):
        """Convolution with the same padding on both sides, also with a stride."""
        padding = "same"
        if stride > 1:
            padding = "valid"
            if kernel > 1:
                x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        scheme = "zeros" if zeros else self.kernel_initializer
        return keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding=padding,
            use_bias=bias,
            kernel_initializer=initial(scheme, f"{name}_conv"),
            name=f"{name}_conv",
        )(x)

    def bn(self, x, name: str, gamma: str = "ones"):
        """Batch normalisation with torchvision's momentum; the papers print none."""
        return BatchNormalization(
            momentum=0.9, epsilon=self.epsilon, gamma_initializer=gamma, name=f"{name}_bn"
        )(x)

    def bn_relu(self, x, name: str):
        """Batch normalisation and ReLU."""
        return keras.layers.Activation("relu", name=f"{name}_relu")(self.bn(x, name))

    def conv_bn_relu(self, x, filters: int, kernel: int, stride: int, name: str):
        """Convolution, batch normalisation and ReLU."""
        return self.bn_relu(self.conv(x, filters, kernel, stride, name), name)

    def projects(self, changes_shape: bool) -> bool:
        """Whether the shortcut of a unit is a 1x1 convolution."""
        return self.shortcut == "C" or (self.shortcut == "B" and changes_shape)

    def identity(self, x, filters: int, stride: int, name: str):
        """Shortcut without parameters: every `stride`-th position, zeros in the new maps."""
        if stride > 1 or x.shape[-1] != filters:
            return IdentityShortcut(filters, stride, name=f"{name}_0_identity")(x)
        return x


def padded_max_pool(x, rounds_up: bool = False):
    """3x3 max-pooling of ImageNet's stem, with stride 2.

    Args:
        x: The maps of conv1.
        rounds_up: Whether windows start at 0, and the last one may reach over the map, as in Caffe.
            If not, the map is padded alike on both sides.
    """
    # Zeros, not the least number: they follow a ReLU, and keras.applications pads so without one.
    sides = (0, 1) if rounds_up else (1, 1)
    x = keras.layers.ZeroPadding2D((sides, sides), name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="pool1_pool")(x)


def mean_and_classify(net: ModelBuilder, x) -> keras.Model:
    """Returns the model: the classifier over the mean of all positions, or without top."""
    if not net.include_top:
        return net.model(net.pool(x))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return net.model(net.classify(x))
