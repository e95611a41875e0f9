"""Checks of the images: finite, different from each other, and of a size that weights can use."""

from collections.abc import Iterator

import numpy as np

from keras_classics.data.splits import AnySplit, Split
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.fresh import has_fresh_statistics, normalisations
from keras_classics.diagnosis.start import with_standardised_inputs

# Images that are read at a time.
BLOCK = 1024
# Smallest deviation of inputs: dim images between 0 and 1 have 0.1, images divided by 255 twice
# have 0.001.
SMALLEST_DEVIATION = 0.02
# Share of images of one colour, and least contrast of any other, relative to the whole sample's.
BLANK = 0.2
CONTRAST = 1e-3


def finite_data(case: Case) -> Iterator[Finding]:
    """Finds NaN and infinity in the images, of all that are in memory, else of the sample."""
    parts = {"training": case.data.train, "held-out": case.held_out}
    for part, split in parts.items():
        bad = _not_finite(split)
        if not bad.any():
            continue
        first = int(bad.argmax())
        yield Finding(
            "not_finite_data",
            f"{np.count_nonzero(bad):,} of {len(bad):,} {part} images hold NaN or infinity; the "
            f"first is number {first}.",
            "Finite numbers. One NaN makes the loss and then all weights NaN.",
            "Repair these images or leave them out: x[np.isfinite(x).all((1, 2, 3))].",
            values={"part": part, "count": int(np.count_nonzero(bad)), "first": first},
        )
        return
    bad = ~np.isfinite(case.inputs().reshape(len(case.inputs()), -1)).all(1)
    if bad.any():
        yield Finding(
            "not_finite_data",
            f"After preprocessing, {np.count_nonzero(bad):,} of {len(bad):,} images of a sample "
            "hold NaN or infinity; before, all numbers are finite.",
            "Finite numbers. One NaN makes the loss and then all weights NaN.",
            "Check the preprocessing for a division by 0, such as by the deviation of a constant "
            "image.",
            values={"part": "preprocessed", "count": int(np.count_nonzero(bad))},
        )


def _not_finite(split: AnySplit | None) -> np.ndarray:
    if not isinstance(split, Split) or split.images.dtype.kind not in "fc":
        return np.zeros(0, bool)
    blocks = (split.images[at : at + BLOCK] for at in range(0, len(split), BLOCK))
    return np.concatenate([~np.isfinite(b.reshape(len(b), -1)).all(1) for b in blocks])


def constant_images(case: Case) -> Iterator[Finding]:
    """Finds images that are all the same, and many of one colour."""
    inputs = case.inputs()
    if len(inputs) < 2 or not np.isfinite(inputs).all():
        return
    flat = inputs.reshape(len(inputs), -1)
    if (flat == flat[0]).all():
        yield Finding(
            "constant_images",
            f"All {len(flat)} images of a sample are the same to the network.",
            "Images that differ.",
            "Check how the images are read, and that preprocessing does not round them to 0.",
        )
        return
    # Differences to the mean of each channel: of one colour is what has none.
    pixels = inputs.reshape(len(inputs), -1, inputs.shape[-1] if inputs.ndim == 4 else 1)
    contrast = (pixels - pixels.mean(1, keepdims=True)).std((1, 2))
    blank = contrast <= CONTRAST * contrast.max()
    if blank.mean() >= BLANK:
        yield Finding(
            "constant_images",
            f"{blank.mean():.0%} of the images of a sample have one colour.",
            "Nearly all images have content.",
            "Check how the images are read; leave blank ones out.",
            values={"share": float(blank.mean())},
        )


def small_inputs(case: Case) -> Iterator[Finding]:
    """Finds inputs near 0 for weights that were not trained on such."""
    inputs = case.inputs()
    if not np.isfinite(inputs).all():
        return
    deviation = float((inputs - inputs.mean(0)).std())
    trained = [n for n in normalisations(case.model) if not has_fresh_statistics(n)]
    if trained or not 0 < deviation < SMALLEST_DEVIATION:
        return
    yield Finding(
        "input_range",
        f"Inputs lie between {inputs.min():.3g} and {inputs.max():.3g}, with a deviation of "
        f"{deviation:.2g}.",
        "A deviation of about 1, or 0.1 and more: weights are drawn for such inputs.",
        "Divide pixels by 255 once, not twice; or subtract their mean and divide by their "
        "deviation.",
        values={"lowest": inputs.min(), "highest": inputs.max(), "deviation": deviation},
        trial=with_standardised_inputs,
    )
