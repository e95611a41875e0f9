"""timm's names of VGG's dense layers, the only ones that differ from torchvision's.

In timm these layers are convolutions over the whole map, the first 7x7 and the second 1x1.
"""

from keras_classics.weights.assign import Tensors

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
        if module in MODULES and tensor.ndim == 4:
            tensor = tensor.reshape(len(tensor), -1)
        renamed[f"{MODULES.get(module, module)}.{variable}" if module else name] = tensor
    return renamed
