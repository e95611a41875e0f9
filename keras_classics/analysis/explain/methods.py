"""All methods by name, and which of them a network allows."""

from keras_classics.analysis.explain.attributions import (
    check_relus,
    deconvolution,
    gradient,
    guided_backpropagation,
    integrated_gradients,
    occlusion,
    smooth_grad,
)
from keras_classics.analysis.explain.class_maps import (
    cam,
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    score_cam,
)
from keras_classics.analysis.explain.network import Network
from keras_classics.analysis.explain.structure import pooled_head
from keras_classics.errors import unknown_name

CLASS_MAPS = (cam, grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, score_cam, eigen_cam)
ATTRIBUTIONS = (
    gradient,
    smooth_grad,
    guided_backpropagation,
    deconvolution,
    integrated_gradients,
    occlusion,
)
METHODS = {method.__name__: method for method in (*CLASS_MAPS, *ATTRIBUTIONS)}


def check_method(network: Network, name: str) -> None:
    """Raises a `UserError` if a network lacks what a method needs.

    Args:
        network: The network.
        name: A key of `METHODS`.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    if METHODS[name] in CLASS_MAPS:
        # A network may have no map at all.
        layer = network.layer
        if name == "cam":
            pooled_head(network.model, layer)
    if METHODS[name] in (guided_backpropagation, deconvolution):
        check_relus(network)
