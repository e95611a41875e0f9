"""TensorFlow if Keras runs on it, else None; and gradients and compiled functions on any backend.

Networks, weights, recipes and explanations work on every backend of Keras, in an environment
without TensorFlow too. Reading data, training, evaluation and export need TensorFlow.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_classics.errors import UserError

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

__all__ = ["compiled", "gradient", "lazy_refusal", "needs_tensorflow", "tf"]

# What `compiled` takes and returns: tensors, also in tuples.
Function = Callable[..., Any]


def gradient(function: Function, x: Any) -> tuple[Any, Any]:
    """Returns the gradient of a function and what else the function returns.

    Keras has no gradient that is the same on all backends.

    Args:
        function: From a tensor to a scalar and anything else.
        x: The tensor at which the gradient is taken.

    Raises:
        UserError: If Keras runs on a backend without gradients.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            x = tf.convert_to_tensor(x)
            tape.watch(x)
            value, rest = function(x)
        return tape.gradient(value, x, unconnected_gradients="zero"), rest
    if backend == "jax":
        return importlib.import_module("jax").grad(function, has_aux=True)(x)
    if backend == "torch":
        x = keras.ops.convert_to_tensor(x).detach().requires_grad_(True)
        value, rest = function(x)
        autograd = importlib.import_module("torch").autograd
        return autograd.grad(value, x, materialize_grads=True)[0], rest
    raise UserError(
        f"Gradients need the backend tensorflow, jax or torch. Received: KERAS_BACKEND={backend}. "
        "Use one of these, or a method that runs the network forwards only."
    )


def compiled(function: Function, variables: Sequence[keras.Variable]) -> Function:
    """Returns a function as the backend's graph, or itself where the backend has none.

    Args:
        function: From tensors to tensors, which it may return in tuples.
        variables: Keras's variables that the function reads. It changes none.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return tf.function(function, reduce_retracing=True, autograph=False)
    if backend != "jax":
        return function

    # As arguments: constants of a program would keep the values of its first call.
    def with_values(values: list, *arguments: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(*arguments)

    program = importlib.import_module("jax").jit(with_values)
    return lambda *arguments: program([variable.value for variable in variables], *arguments)


def needs_tensorflow(what: str) -> UserError:
    """Returns the error for what works on TensorFlow only, given its name and a verb."""
    return UserError(
        f"{what} TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. "
        "Use KERAS_BACKEND=tensorflow."
    )


def lazy_refusal(package: str, names: Sequence[str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package without TensorFlow: asking for its names is an error.

    Args:
        package: The package.
        names: Its names that need TensorFlow.
    """

    def refuse(name: str) -> Any:
        if name in names:
            raise needs_tensorflow(f"{package}.{name} needs")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return refuse
