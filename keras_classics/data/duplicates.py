"""Finds images that are there twice: same bytes, same pixels, or nearly the same.

Nearly the same are images that were compressed anew, scaled, stretched, mirrored or turned. They
are compared by the low cosine frequencies of a grey thumbnail, as in the perceptual hash pHash, but
by their values instead of their signs, because signs of small values are chance:

1. Absolute values of the lowest frequencies, in an order that ignores transposition, do not change
   when an image is mirrored or turned. A k-d tree over them finds each image's neighbours.
2. Neighbours are compared in each of the eight orientations, by bands of frequencies. The energy of
   each band is set equal first, because scaling blurs or sharpens an image.

Images that are almost uniform, or show a single gradient, look alike without being copies. They are
compared by bytes and pixels alone.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_classics.data.fingerprints import FREQUENCIES, LUMA, Fingerprints
from keras_classics.errors import require

# The frequencies: those of `BANDS`, by distance from the mean, decide. The detail is above them.
BANDS = (0.5, 2.2, 4.2, 6.2, 8.2)
DETAIL = 16.2
# Those below it are searched by the k-d tree.
SEARCHED = 4.2
# Largest distance of neighbours in the tree, and the number of neighbours that are compared. The
# tree also holds mean brightness, from 0 to 1, and the logarithm of the contrast with this factor.
RADIUS = 0.1
NEIGHBOURS = 16
CONTRAST_FACTOR = 0.4

# Largest distance of copies, relative to the contrast.
DISTANCE = 0.05
# What compression adds to it, in grey levels, if the smaller side is one pixel; MOST limits both.
NOISE = 22.0
MOST = 0.12
# Smallest contrast, in grey levels, and the largest share of its energy that a gradient may have.
FLAT = 3.0
GRADIENT = 0.9
# Or: smallest contrast of images whose energy is spread over this many frequencies.
FAINT = 0.75
SPREAD = 6.0
# Largest ratio of two copies' contrasts, and largest difference of mean colours, of 255.
CONTRAST_RATIO = 1.3
COLOUR = 40.0
# Below it, differences of red, green and blue come from compression: the image is grey.
GREY = 6
# In images of much detail, as of grass or noise, scaling changes more and chance less. With the
# contrast of the detail, relative to the rest, their distance may grow to TEXTURE times as much.
TEXTURE = 2.0
TEXTURED = (0.8, 1.2)
# Copies agree everywhere, in each of TILES x TILES tiles. For images whose smaller side has so many
# pixels: the contrast from which on a tile counts, and its least correlation.
TILES = 4
TILED = ((48, 3.0, 0.95), (24, 8.0, 0.85))

# Images whose frequencies are computed at once.
BLOCK = 8192

# How a copy lies on the original. Each is (whether rows and columns are exchanged, and then whether
# rows are in reverse order, and whether columns are).
ORIENTATIONS = {
    (False, False, False): "",
    (False, False, True): "mirrored",
    (False, True, False): "mirrored and upside down",
    (False, True, True): "upside down",
    (True, False, False): "mirrored and turned",
    (True, False, True): "turned",
    (True, True, False): "turned",
    (True, True, True): "mirrored and turned",
}


@dataclass(frozen=True)
class Group:
    """Images that are copies of each other.

    Attributes:
        members: Numbers of the images, at least two, ascending.
        kinds: How each is related to the first: `same bytes`, `same pixels`, `nearly the same`, or
            that with an orientation; empty for the first itself.
    """

    members: tuple[int, ...]
    kinds: tuple[str, ...]


def find_duplicates(prints: Fingerprints) -> list[Group]:
    """Groups the images that are copies of each other; what is no copy is in no group.

    An image belongs to a group if it is a copy of any of its members.
    """
    numbers = np.flatnonzero(prints.read)
    # One image stands for all with the same pixels; the same bytes have the same pixels.
    _, first, same = np.unique(prints.pixels[numbers], return_index=True, return_inverse=True)
    distinct = numbers[first]
    pairs = np.stack([numbers, distinct[same]])
    near = np.concatenate([np.zeros((2, 0), int), *_near_pairs(prints, distinct)], axis=1)
    return _groups(prints, np.concatenate([pairs, near], axis=1))


def _near_pairs(prints: Fingerprints, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Yields pairs of images that are nearly the same, shape (2, count)."""
    spatial = require("scipy.spatial", "train")
    features = np.zeros((len(numbers), 2 + len(_UPPER) + np.count_nonzero(_PAIRED)), "float32")
    useful = np.zeros(len(numbers), bool)
    for at in range(0, len(numbers), BLOCK):
        block = slice(at, at + BLOCK)
        features[block], useful[block] = _features(prints, numbers[block])
    numbers, features = numbers[useful], features[useful]
    if len(numbers) < 2:
        return
    tree = spatial.cKDTree(features)
    for at in range(0, len(numbers), BLOCK):
        distances, found = tree.query(
            features[at : at + BLOCK],
            k=min(NEIGHBOURS + 1, len(numbers)),
            distance_upper_bound=RADIUS,
            workers=-1,
        )
        row, column = np.nonzero(np.isfinite(distances))
        candidates = np.stack([row + at, found[row, column]])
        # Each image is its own neighbour, and most are each other's.
        candidates = np.unique(np.sort(candidates, axis=0), axis=1)
        candidates = candidates[:, candidates[0] < candidates[1]]
        for start in range(0, candidates.shape[1], BLOCK):
            pairs = numbers[candidates[:, start : start + BLOCK]]
            yield pairs[:, compare(prints, *pairs)[0]]


def _features(prints: Fingerprints, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the k-d tree searches, and which images have enough content for it."""
    frequencies = prints.frequencies[numbers].astype("float32")
    energy = frequencies[:, _IS_LOW] ** 2
    total = energy.sum(1)
    gradient = frequencies[:, 0, 1] ** 2 + frequencies[:, 1, 0] ** 2
    useful = (total > FLAT**2) & (gradient < GRADIENT * total)
    useful |= (total > FAINT**2) & (total**2 > SPREAD * (energy**2).sum(1))
    contrast = np.sqrt(total).clip(1e-3)[:, np.newaxis]
    brightness = prints.mosaic[numbers].mean((1, 2)) @ LUMA / 255
    sizes = np.abs(frequencies) / contrast[..., np.newaxis]
    here, there = sizes[:, _UPPER, _ACROSS], sizes[:, _ACROSS, _UPPER]
    features = [
        brightness[:, np.newaxis],
        CONTRAST_FACTOR * np.log(contrast),
        np.maximum(here, there),
        np.minimum(here, there)[:, _PAIRED],
    ]
    return np.concatenate(features, axis=1), useful


def compare(
    prints: Fingerprints, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which pairs are nearly the same, and the number of each pair's orientation.

    Args:
        prints: The fingerprints.
        one: Numbers of the first images.
        other: Numbers of the second images.
    """
    ours = prints.frequencies[one].astype("float32")
    theirs = prints.frequencies[other].astype("float32")
    norms = np.sqrt([f.reshape(len(f), FREQUENCIES**2) ** 2 @ _IN_BAND for f in (ours, theirs)])
    contrast = np.sqrt((norms[..., :-1] ** 2).sum(-1)).clip(1e-3)
    # Shape (pairs, orientations, bands).
    products = np.stack([ours * theirs, ours * theirs.swapaxes(1, 2)], axis=1)
    agreement = products.reshape(len(one), 2, FREQUENCIES**2) @ _SIGNED
    agreement = agreement.reshape(len(one), len(ORIENTATIONS), -1)
    differences = 2 * (norms.prod(0)[:, np.newaxis] - agreement)[..., :-1].sum(-1)
    orientation = differences.argmin(1)
    squared = differences.min(1) / contrast.prod(0)

    side = np.minimum(prints.sizes[one], prints.sizes[other]).min(1)
    most = np.sqrt(DISTANCE**2 + (NOISE / side) ** 2 / contrast.prod(0)).clip(max=MOST)
    detail = (norms[..., -1] / contrast).min(0)
    alike = squared < (most * np.interp(detail, TEXTURED, (1, TEXTURE))) ** 2
    alike &= contrast.max(0) < CONTRAST_RATIO * contrast.min(0)
    mosaic = _oriented(prints.mosaic[other], orientation, _reverse)
    alike &= _same_colours(prints.mosaic[one], mosaic)
    # Few are left, and what follows costs more.
    left = np.flatnonzero(alike)
    turned = _oriented(theirs[left], orientation[left], _negate_odd)
    alike[left] = _same_tiles(ours[left], turned, side[left])
    return alike, orientation


def _oriented(
    images: np.ndarray, orientation: np.ndarray, mirror: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Returns each image in its orientation; `mirror` reverses an axis of several."""
    oriented = np.empty_like(images)
    for number, (exchanged, rows, columns) in enumerate(ORIENTATIONS):
        these = images[orientation == number]
        these = these.swapaxes(1, 2) if exchanged else these
        these = mirror(these, 1) if rows else these
        oriented[orientation == number] = mirror(these, 2) if columns else these
    return oriented


def _reverse(images: np.ndarray, axis: int) -> np.ndarray:
    return np.flip(images, axis)


def _negate_odd(frequencies: np.ndarray, axis: int) -> np.ndarray:
    """Frequencies of the mirror images: odd cosines change their sign."""
    return frequencies * (_SIGNS[:, np.newaxis] if axis == 1 else _SIGNS)


def _same_colours(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Returns whether mean colours agree; a grey copy of an image has its brightness."""
    ours, theirs = ours.astype("float32"), theirs.astype("float32")
    spread = np.minimum(np.ptp(ours, axis=-1).max((1, 2)), np.ptp(theirs, axis=-1).max((1, 2)))
    colours = np.sqrt(((ours - theirs) ** 2).mean(-1)).max((1, 2))
    brightness = np.abs((ours - theirs) @ LUMA).max((1, 2))
    return np.where(spread < GREY, brightness, colours) < COLOUR


def _same_tiles(ours: np.ndarray, theirs: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Returns whether all tiles that are not almost uniform agree, given frequencies."""
    ours, theirs = _tiles(ours), _tiles(theirs)
    products = (ours * theirs).mean(-1)
    energies = [(tiles**2).mean(-1) for tiles in (ours, theirs)]
    correlation = products / np.sqrt(np.prod(energies, axis=0)).clip(1e-6)
    smaller = np.minimum(*energies)
    same = np.ones(len(side), bool)
    ends = (np.inf, *(least for least, _, _ in TILED))
    for end, (least, contrast, most) in zip(ends, TILED, strict=False):
        agree = ((smaller < contrast**2) | (correlation >= most)).all(1)
        same &= agree | (side < least) | (side >= end)
    return same


def _tiles(frequencies: np.ndarray) -> np.ndarray:
    """Returns images without the means of their tiles, shape (images, tiles, pixels of a tile)."""
    size = _INVERSE.shape[0] // TILES
    images = _INVERSE @ frequencies[:, :-1, :-1] @ _INVERSE.T
    tiles = images.reshape(-1, TILES, size, TILES, size).swapaxes(2, 3)
    tiles = tiles.reshape(-1, TILES**2, size**2)
    return tiles - tiles.mean(-1, keepdims=True)


def _groups(prints: Fingerprints, pairs: np.ndarray) -> list[Group]:
    """Returns the connected images as groups."""
    sparse = require("scipy.sparse", "train")
    size = (len(prints), len(prints))
    graph = sparse.coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), size)
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    ends = np.flatnonzero(np.diff(component[order])) + 1
    groups = [members for members in np.split(order, ends) if len(members) > 1]
    return [
        Group(tuple(members.tolist()), _kinds(prints, members))
        for members in sorted(groups, key=lambda members: members[0])
    ]


def _kinds(prints: Fingerprints, members: np.ndarray) -> tuple[str, ...]:
    first, others = members[0], members[1:]
    kinds = np.full(len(others), "nearly the same", object)
    near = np.flatnonzero(prints.pixels[others] != prints.pixels[first])
    for at in range(0, len(near), BLOCK):
        block = near[at : at + BLOCK]
        alike, orientation = compare(prints, np.full(len(block), first), others[block])
        for i, number in zip(block[alike], orientation[alike], strict=True):
            if how := list(ORIENTATIONS.values())[number]:
                kinds[i] += f", {how}"
    kinds[prints.pixels[others] == prints.pixels[first]] = "same pixels"
    kinds[prints.content[others] == prints.content[first]] = "same bytes"
    return ("", *kinds)


def _signed() -> np.ndarray:
    """Sums products by band, for each way to reverse rows and columns."""
    ways = [way[1:] for way in ORIENTATIONS if not way[0]]
    signs = [
        np.outer(_SIGNS if rows else np.abs(_SIGNS), _SIGNS if columns else np.abs(_SIGNS))
        for rows, columns in ways
    ]
    return np.concatenate([sign.reshape(-1, 1) * _IN_BAND for sign in signs], axis=1)


def _inverse() -> np.ndarray:
    """The inverse cosine transform of all frequencies but the last, to as many pixels."""
    position, frequency = np.mgrid[: FREQUENCIES - 1, : FREQUENCIES - 1]
    cosines = np.sqrt(2) * np.cos(np.pi * (position + 0.5) * frequency / (FREQUENCIES - 1))
    cosines[:, 0] = 1
    return cosines.astype("float32")


# Signs of mirrored frequencies.
_SIGNS = np.array([1, -1] * FREQUENCIES, "float32")[:FREQUENCIES]
_INVERSE = _inverse()
_RADII = np.hypot(*np.mgrid[:FREQUENCIES, :FREQUENCIES])
_EDGES = (*BANDS, DETAIL)
# Shape (FREQUENCIES**2, bands): whether a frequency is in a band.
_IN_BAND = np.stack(
    [(_RADII.ravel() >= low) & (_RADII.ravel() < high) for low, high in itertools.pairwise(_EDGES)],
    axis=1,
).astype("float32")
_SIGNED = _signed()
_IS_LOW = _IN_BAND[:, :-1].any(1).reshape(_RADII.shape)
# Frequencies above the diagonal and on it; those above it have a partner below.
_UPPER, _ACROSS = np.nonzero(np.triu(_IS_LOW & (_RADII < SEARCHED)))
_PAIRED = _UPPER != _ACROSS
