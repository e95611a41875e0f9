"""Package metadata. The settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

EXTRAS = {
    "train": [
        "absl-py",
        # tensorflow-datasets 4.9.10 imports it without saying so.
        "importlib_resources",
        "matplotlib",
        "scikit-learn",
        "scipy",
        "tensorboard",
        "tensorflow-datasets>=4.9.10",
        "tqdm",
    ],
    "export": ["ai-edge-litert", "onnx", "onnxruntime"],
    # What runs the notebooks.
    "notebooks": ["ipykernel", "nbclient", "nbformat"],
    # What builds the site of docs/.
    "docs": ["furo", "myst-nb", "myst-parser", "sphinx"],
    # What reads and writes weights in torch's files.
    "torch": ["safetensors", "torch"],
    # jax: the networks are tested on a second backend of Keras.
    "dev": [
        "hypothesis",
        "jax",
        "pillow",
        "pytest",
        "pytest-xdist",
        "ruff==0.17.6",
        "safetensors",
    ],
}

setup(
    name="keras-classics",
    version=re.search(r'__version__ = "(.+)"', (HERE / "keras_classics/__init__.py").read_text())[
        1
    ],
    description="LeNet-5, AlexNet, VGG and ResNet, exactly as published and as people use them",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_classics", "keras_classics.*"]),
    package_data={
        "keras_classics.demo": ["site/*", "package.json", "package-lock.json"],
        "keras_classics.weights": ["imagenet_classes.txt", "own/*"],
    },
    python_requires=">=3.11",
    install_requires=["tensorflow>=2.21", "keras>=3.15.1"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["keras-classics=keras_classics.cli.__main__:main"]},
)
