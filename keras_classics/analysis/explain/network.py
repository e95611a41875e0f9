"""A network to explain: the score of a class, a layer's map, and the gradients of the score."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_classics.analysis import activations
from keras_classics.analysis.explain import structure
from keras_classics.analysis.nested import is_nested, operations, run_operations
from keras_classics.backend import compiled, gradient
from keras_classics.errors import UserError, unknown_name

# Images of one pass, so that the maps of all layers of a deep network fit into memory.
BATCH = 16

# A class, by label or name; or one for each image; or a row of classes for each image.
Targets = int | str | Sequence[Any] | np.ndarray | None

# Runs an operation of a network: takes it and its arguments, and returns its output.
Call = Callable[..., Any]


class Network:
    """A network to explain, and the layer whose output is the map of class maps.

    Keep it to explain many images: its passes are compiled once, under TensorFlow and JAX. It
    shares the layers of the model, does not change them, and follows their weights.

    The score of a class is what the softmax or sigmoid at the end takes, also where the last layer
    has it as its activation. Behind a softmax the gradient would be that of all classes together,
    and vanish where the network is sure. Without such an end the outputs are the scores: logits, or
    pooled features; of a map of outputs, the mean over its positions.

    Args:
        model: A functional or sequential network with one input of shape (batch, height, width,
            channels) and one output. It may contain others.
        layer: Name of the layer, also of one in a nested network; by default the last whose
            output has positions.
        class_names: Name of each output.

    Attributes:
        model: The network.
        class_names: Name of each output, or None.
        classes: Number of outputs.

    Raises:
        UserError: If the network has several inputs or outputs or is not functional, there is no
            such layer or its output has no positions, or there is another number of names.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | None = None,
        class_names: Sequence[str] | None = None,
    ):
        structure.check_network(model)
        self.model = model
        self.classes = int(model.outputs[0].shape[-1])
        if class_names is not None and len(class_names) != self.classes:
            raise UserError(
                f"class_names must name each of the {self.classes} outputs of {model.name}. "
                f"Received: {len(class_names)} names."
            )
        self.class_names = None if class_names is None else tuple(class_names)
        self._end, self._factor = structure.score_end(model)
        self._named = layer
        if layer is not None:
            structure.map_layer(model, layer)
        self._scores = self._compiled(lambda images: (self._score(images, self.run),))
        self._maps = self._compiled(lambda images: (_float32(self._until_map(images)[-1]),))
        self._map_gradients = self._compiled(self.forwards_and_back)
        self._image_gradients: dict[Call, Call] = {}

    @functools.cached_property
    def layer(self) -> keras.Operation:
        """The layer whose output is the map of class maps."""
        return structure.map_layer(self.model, self._named)

    def labels(
        self, images: np.ndarray, targets: Targets = None, top: int | None = None
    ) -> np.ndarray:
        """Returns the labels that targets stand for.

        Args:
            images: What the network takes, shape (count, height, width, channels).
            targets: A class for all images, by label or name; one for each image; or a row of k
                for each image. None stands for the network's answer.
            top: As many answers, the best first, in place of targets.

        Returns:
            int, shape (count,); (count, k) for rows, and (count, top) for `top`.

        Raises:
            UserError: If there is no such class, or another number of targets than of images; if
                `targets` and `top` are both given.
        """
        if top is not None and targets is not None:
            raise UserError(f"Give targets or top. Received: targets={targets} and top={top}.")
        if targets is None:
            if top is not None and not 1 <= top <= self.classes:
                raise UserError(f"top must be 1 to {self.classes}. Received: {top}.")
            best = np.argsort(-self.scores(images), axis=-1, kind="stable")
            return best[:, 0] if top is None else best[:, :top]
        if _is_one(targets):
            return np.full(len(images), self.label(targets))
        if len(targets) != len(images):
            raise UserError(
                f"targets must be one class, or one for each of the {len(images)} images. "
                f"Received: {len(targets)}."
            )
        rows = [[target] if _is_one(target) else target for target in targets]
        if (
            len({(len(row), _is_one(target)) for row, target in zip(rows, targets, strict=True)})
            > 1
        ):
            raise UserError(f"targets must be as many for each image. Received: {targets}.")
        rows = [[target] if _is_one(target) else target for target in targets]
        found = np.array([[self.label(target) for target in row] for row in rows])
        return found[:, 0] if _is_one(targets[0]) else found

    def label(self, target: Any) -> int:
        """Returns the label of a class that is given by its label or name.

        Raises:
            UserError: If there is none.
        """
        if isinstance(target, str):
            return self._label_of_name(target)
        if not isinstance(target, int | np.integer) or not 0 <= target < self.classes:
            raise UserError(
                f"A target must be a label, 0 to {self.classes - 1}, or the name of a class. "
                f"Received: {target!r}."
            )
        return int(target)

    def _label_of_name(self, name: str) -> int:
        if self.class_names is None:
            raise UserError(
                f"A target can be a name only where class_names are given. Received: {name!r}. Use "
                f"its label, 0 to {self.classes - 1}."
            )
        labels = [label for label, known in enumerate(self.class_names) if known == name]
        if not labels:
            raise unknown_name("class", name, self.class_names)
        if len(labels) > 1:
            raise UserError(
                f"The name of a target must be that of one class. Received: {name!r}, which "
                f"labels {', '.join(map(str, labels))} have. Use one of these."
            )
        return labels[0]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Returns the scores of all classes, float32, shape (count, classes)."""
        return _in_batches(self._scores, self.checked(images))[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Returns the layer's output, float32, shape (count, height, width, channels)."""
        return _in_batches(self._maps, self.checked(images))[0]

    def maps_and_gradients(
        self, images: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the layer's output, and the gradient by it of each image's score.

        Args:
            images: Shape (count, height, width, channels).
            labels: The class of each image, shape (count,).
        """
        wanted = self._one_hot(labels)
        maps, gradients = _in_batches(self._map_gradients, self.checked(images), wanted)
        return maps, gradients

    def image_gradients(
        self, images: np.ndarray, labels: np.ndarray, relu: Call | None = None
    ) -> np.ndarray:
        """Returns the gradient of each image's score by the image, float32, of the images' shape.

        Args:
            images: Shape (count, height, width, channels).
            labels: The class of each image, shape (count,).
            relu: How operations with a ReLU are run; by default they are called.
        """
        relu = relu or _as_it_is
        if relu not in self._image_gradients:
            back = functools.partial(self._back_to_image, relu)
            self._image_gradients[relu] = self._compiled(back)
        passes = self._image_gradients[relu]
        return _in_batches(passes, self.checked(images), self._one_hot(labels))[0]

    def count_relus(self) -> int:
        """Returns the number of the network's ReLUs.

        Raises:
            UserError: If a layer is made of layers in code of its own, which could have ReLUs too.
        """
        found = operations(self.model)
        for operation in found:
            if isinstance(operation, keras.layers.Layer) and is_nested(operation):
                raise UserError(
                    "ReLUs can be replaced in networks of plain layers only. Received: "
                    f"{self.model.name} with {operation.name!r}, a {type(operation).__name__}. Use "
                    "gradient or integrated_gradients."
                )
        return sum(map(activations.is_relu, found))

    def checked(self, images: np.ndarray) -> np.ndarray:
        """Returns images as float32.

        Raises:
            UserError: If the network does not take them.
        """
        takes, shape = tuple(self.model.inputs[0].shape[1:]), np.shape(images)
        fits = (
            len(shape) == 4
            and shape[0]
            and all(side in (None, given) for side, given in zip(takes, shape[1:], strict=True))
        )
        if not fits:
            raise UserError(
                f"{self.model.name} takes images of shape {('count', *takes)}. Received: {shape}."
            )
        return np.asarray(images, "float32")

    def _one_hot(self, labels: np.ndarray) -> np.ndarray:
        return np.eye(self.classes, dtype="float32")[labels]

    def _compiled(self, function: Call) -> Call:
        return compiled(function, self.model.variables)

    def run(self, operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
        """Runs an operation, without the activation at the network's end.

        An export may run some in another way.
        """
        if operation is self._end:
            return activations.before_activation(operation, *arguments, **options)
        return operation(*arguments, **options)

    def _score(self, images: Any, call: Call) -> Any:
        return structure.score_of(run_operations(self.model, images, call), self._factor)

    def _until_map(self, images: Any) -> list[Any]:
        """Returns the outputs of all operations up to the map's layer, in the order of a run."""
        outputs: list[Any] = []
        places = []

        def call(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
            outputs.append(self.run(operation, *arguments, **options))
            if operation is self.layer:
                places.append(len(outputs))
            return outputs[-1]

        # What runs after the layer is left out of a compiled graph, because nothing reads it.
        run_operations(self.model, images, call)
        if len(places) > 1:
            raise UserError(
                f"The layer of a class map must be used once. Received: {self.layer.name!r}, which "
                f"{self.model.name} uses {len(places)} times."
            )
        return outputs[: places[0]]

    def forwards_and_back(self, images: Any, wanted: Any) -> tuple[Any, Any]:
        """Returns the layer's output, and the gradient by it of the scores of wanted classes.

        Args:
            images: A tensor, shape (batch, height, width, channels).
            wanted: A tensor of 0 and 1, shape (batch, classes).
        """
        *before, maps = self._until_map(images)

        def score(maps: Any) -> tuple[Any, Any]:
            known = iter([*before, maps])

            def call(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
                for output in known:
                    return output
                return self.run(operation, *arguments, **options)

            return ops.sum(self._score(images, call) * wanted), ()

        return _float32(maps), _float32(gradient(score, maps)[0])

    def _back_to_image(self, relu: Call, images: Any, wanted: Any) -> tuple[Any]:
        def call(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
            if activations.is_relu(operation) and operation is not self._end:
                return relu(operation, *arguments, **options)
            return self.run(operation, *arguments, **options)

        return (gradient(lambda x: (ops.sum(self._score(x, call) * wanted), ()), images)[0],)


def for_each_class(labels: np.ndarray, explain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Explains one class of each image after the other.

    Args:
        labels: Shape (count,) or (count, k).
        explain: From one label for each image, shape (count,), to what explains it, shape
            (count, ...).

    Returns:
        float32, shape (count, ...) or (count, k, ...).
    """
    columns = np.moveaxis(labels.reshape(len(labels), -1), 1, 0)
    found = np.stack([explain(column) for column in columns], axis=1).astype("float32")
    return found.reshape(*labels.shape, *found.shape[2:])


def _is_one(target: Any) -> bool:
    """Whether a target is one class and no sequence of several."""
    is_sequence = isinstance(target, Sequence) or (isinstance(target, np.ndarray) and target.ndim)
    return isinstance(target, str) or not is_sequence


def _as_it_is(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    return operation(*arguments, **options)


def as_network(network: Network | keras.Model) -> Network:
    """Returns a network to explain."""
    return network if isinstance(network, Network) else Network(network)


def _float32(values: Any) -> Any:
    return ops.cast(values, "float32")


def _in_batches(function: Call, *arrays: np.ndarray) -> list[np.ndarray]:
    """Calls a function of tensors on parts of arrays, and joins what it returns."""
    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        tensors = [ops.convert_to_tensor(array[start : start + BATCH]) for array in arrays]
        parts.append([ops.convert_to_numpy(found) for found in function(*tensors)])
    return [np.concatenate(found) for found in zip(*parts, strict=True)]
