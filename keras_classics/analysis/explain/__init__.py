"""Explains what a network answers: class maps and attributions of pixels.

    from keras_classics.analysis import explain

    network = explain.Network(model)
    maps = explain.grad_cam(network, images)  # of each image's answer
    picture = explain.overlay(seen[0], maps[0])

`METHODS` holds all methods by name.
"""

from keras_classics.analysis.explain.attributions import (
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
from keras_classics.analysis.explain.methods import METHODS, check_method
from keras_classics.analysis.explain.network import Network
from keras_classics.analysis.explain.overlays import grid, heat, overlay

__all__ = [
    "METHODS",
    "Network",
    "cam",
    "check_method",
    "deconvolution",
    "eigen_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "grid",
    "guided_backpropagation",
    "heat",
    "hires_cam",
    "integrated_gradients",
    "layer_cam",
    "occlusion",
    "overlay",
    "score_cam",
    "smooth_grad",
]
