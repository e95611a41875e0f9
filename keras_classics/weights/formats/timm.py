"""timm's names of VGG's dense layers, the only ones that differ from torchvision's.

In timm these layers are convolutions over the whole map, the first 7x7 and the second 1x1.
"""

import math

from keras_classics.weights.stored import StoredTensor, Tensors

MODULES = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}


def as_torchvision(tensors: Tensors) -> Tensors:
    """Converts timm's names and shapes to torchvision's; torchvision's tensors are unchanged."""
    renamed = {}
    for name, tensor in tensors.items():
        module, _, variable = name.rpartition(".")
        if module in MODULES and len(tensor.shape) == 4:
            tensor = _flat(tensor)
        renamed[f"{MODULES.get(module, module)}.{variable}" if module else name] = tensor
    return renamed


def _flat(tensor: StoredTensor) -> StoredTensor:
    shape = (tensor.shape[0], math.prod(tensor.shape[1:]))
    return StoredTensor(shape, tensor.dtype, lambda: tensor.read().reshape(shape))
