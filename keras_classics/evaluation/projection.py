"""Features in the plane, to look at: principal components, or t-SNE."""

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.errors import UserError, require
from keras_classics.evaluation.finite import check_finite
from keras_classics.evaluation.threads import threads_for

PCA, TSNE = "pca", "tsne"

# Components that t-SNE starts from, and neighbours that it keeps near: van der Maaten and Hinton
# 2008, section 4.2, and their usual value.
COMPONENTS, PERPLEXITY = 30, 30.0


def project(features: ArrayLike, method: str = PCA, seed: int = 0) -> np.ndarray:
    """Returns a position in the plane for the features of each image.

    Args:
        features: Shape (images, channels), of three images or more.
        method: `"pca"`: the two principal components, in which distances keep their meaning.
            `"tsne"`: van der Maaten and Hinton 2008, which shows who is near whom; the size of
            clusters and the distances between them mean little. It takes 30 principal components
            first, and up to 30 neighbours.
        seed: Decides the random numbers of both; the same seed gives the same positions.

    Returns:
        float32, shape (images, 2).

    Raises:
        UserError: If there are fewer images, features are not finite numbers, the method is
            unknown, or scikit-learn is missing.
    """
    features = np.asarray(features, "float32")
    if features.ndim != 2 or len(features) < 3 or features.shape[1] < 2:
        raise UserError(
            "A map needs features of three images or more, in two channels or more. Received: "
            f"shape {features.shape}."
        )
    check_finite(features, "Features")
    # Squares of the largest float32 are no float32 any more.
    features = features / (np.abs(features).max() or 1)
    if method not in (PCA, TSNE):
        raise UserError(f"method must be {PCA} or {TSNE}. Received: {method}.")
    wanted = 2 if method == PCA else COMPONENTS
    count = min(wanted, *features.shape)
    pca = require("sklearn.decomposition", "train").PCA(count, random_state=seed)
    with np.errstate(invalid="ignore", divide="ignore"):  # Of images that are all equal.
        components = pca.fit_transform(features)
    # scikit-learn's t-SNE crashes on images that are all equal.
    if method == TSNE and components.std():
        tsne = require("sklearn.manifold", "train").TSNE(
            perplexity=min(PERPLEXITY, (len(features) - 1) / 3), init="pca", random_state=seed
        )
        with threads_for(features.size):
            components = tsne.fit_transform(components)
    return components[:, :2].astype("float32")
