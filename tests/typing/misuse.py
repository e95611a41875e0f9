"""Mistakes that type checkers must find: mypy and pyright report each `ignore` that is not needed.

Not run; `make lint` checks it.
"""

from typing import assert_type

import keras

import keras_classics as kc

# A misspelt argument, in each family.
kc.lenet5(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.lenet5_1998(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.alexnet(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.cuda_convnet(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.vgg16(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.vgg11_bn(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.resnet50(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.plain34(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.resnet20(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.resnet164(clases=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# An argument of another family, one without its name, one of the wrong type.
kc.vgg16(shortcut="B")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.resnet50(10)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
kc.resnet50(classes="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
kc.vgg16(dropout="0.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# What register_variant and the builders take for themselves is no argument.
kc.vgg16(config="D")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kc.vgg16(default_shape=(32, 32, 3))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# A misspelt network.
kc.vgg61()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# The result is a keras.Model, not Any.
assert_type(kc.vgg16(), int)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]
assert_type(kc.get_model("vgg16", classes=10), keras.Model)
kc.get_model(16)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
