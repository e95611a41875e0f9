"""Whether a recipe, its data, its network and the devices fit together."""

import logging
from pathlib import Path

import keras
import tensorflow as tf

from keras_classics.data import ImageData
from keras_classics.errors import UserError
from keras_classics.training.recipe import MULTILABEL, Recipe

logger = logging.getLogger(__name__)


def check_recipe(recipe: Recipe, data: ImageData, strategy: tf.distribute.Strategy) -> None:
    """Raises a `UserError` if a recipe, its data and the devices do not fit together."""
    replicas = strategy.num_replicas_in_sync
    accumulated = recipe.gradient_accumulation_steps
    if recipe.batch_size % (replicas * accumulated):
        times = f" times {accumulated} gradient_accumulation_steps" if accumulated > 1 else ""
        raise UserError(
            f"batch_size must be a multiple of the {replicas} replicas{times}. "
            f"Received: {recipe.batch_size}."
        )
    if (group := recipe.batch_norm_group) and recipe.batch_size // replicas // accumulated % group:
        raise UserError(
            f"batch_norm_group must divide the images that a replica takes at once. Received: "
            f"{group}, of {recipe.batch_size // replicas // accumulated}. Use another batch_size, "
            "fewer replicas, or --set=batch_norm_group=null."
        )
    if recipe.multilabel != data.train.multilabel:
        several = data.train.multilabel
        labels, loss = (
            ("any number of labels", MULTILABEL) if several else ("one label", "cross_entropy")
        )
        raise UserError(
            f"The images of {data.name} have {labels} each, which the loss {recipe.loss} is not "
            f"for. Use --set=loss={loss}."
        )
    if len(data.class_names) < 2:
        raise UserError(
            f"Training needs at least two classes. Received: {data.name} with "
            f"{', '.join(data.class_names) or 'none'}."
        )
    if recipe.batch_size > len(data.train):
        raise UserError(
            f"batch_size must be at most the {len(data.train)} training images. "
            f"Received: {recipe.batch_size}."
        )
    if recipe.dtype_policy == "mixed_float16" and replicas > 1:
        raise UserError(
            "mixed_float16, which scales the loss, trains on one device. "
            f"Received: {replicas} replicas. Use mixed_bfloat16."
        )
    if recipe.dtype_policy == "mixed_bfloat16" and not _fast_bfloat16():
        logger.warning("This CPU has no bfloat16 instructions: float32 is faster on it.")


def check_images(recipe: Recipe, preprocess: keras.layers.Layer, model: keras.Model) -> None:
    """Raises a `UserError` if a network does not take the images that its recipe makes."""
    takes = model.input_shape[1:]
    made = {"preprocessing": preprocess.compute_output_shape((None, None, None, 3))[1:]}
    if recipe.crops_on_decode:
        # Before it comes what preprocessing does with the values alone.
        side = recipe.augmentation.size  # type: ignore[union-attr]
        made["augmentation"] = (side, side, 3)
    for field_name, shape in made.items():
        if any(side not in (None, other) for side, other in zip(takes, shape, strict=True)):
            raise UserError(
                f"{recipe.model} takes images of {_sides(takes)}, and the {field_name} of recipe "
                f"{recipe.name} makes {_sides(shape)}. Set model_arguments.input_shape, or the "
                f"sizes in {field_name}."
            )


def _sides(shape: tuple[int | None, ...]) -> str:
    return "x".join(map(str, shape))


def _fast_bfloat16() -> bool:
    """Whether the devices compute in bfloat16; assumed for CPUs outside Linux."""
    cpu = Path("/proc/cpuinfo")
    if tf.config.list_physical_devices("GPU") or not cpu.exists():
        return True
    text = cpu.read_text()
    return "avx512_bf16" in text or "amx_bf16" in text or "bf16" in text.split()
