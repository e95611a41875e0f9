"""The same images in every form in which data lie on disks."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from keras_classics.data.parts import VALIDATION_SHARE, is_held_out
from keras_classics.errors import require


def write_forms(classes: Path, root: Path) -> dict[str, str]:
    """Writes images in every form, each with the same training and test images.

    Args:
        classes: A folder of images for each class.
        root: Folder to write; `data_dir` of the set of TensorFlow Datasets.

    Returns:
        The name of the data set in each form.
    """
    names = [path.relative_to(classes).as_posix() for path in sorted(classes.rglob("*.*"))]
    parts = {"train": [], "val": []}
    for name in names:
        parts["val" if is_held_out(name, VALIDATION_SHARE) else "train"].append(name)
    for part, validation in (("folder", "validation"), ("val_folder", "val")):
        for own, chosen in parts.items():
            for name in chosen:
                path = root / part / (validation if own == "val" else own) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(classes / name, path)
    rows = [f"{classes / name},{Path(name).parts[0]},{p}\n" for p in parts for name in parts[p]]
    # In another order.
    (root / "list.csv").write_text("path,label,split\n" + "".join(reversed(rows)))
    with zipfile.ZipFile(root / "set.zip", "w") as archive:
        for part, chosen in parts.items():
            for name in reversed(chosen):
                archive.write(classes / name, f"{part}/{name}")
    with tarfile.open(root / "set.tar", "w") as tar:
        tar.add(root / "val_folder", "set")
    _write_parquet(classes, parts, root / "parquet")
    return {
        "folder": f"folder:{root / 'folder'}",
        "folder with val": f"folder:{root / 'val_folder'}",
        "folder without parts": f"folder:{classes}",
        "list": f"list:{root / 'list.csv'}",
        "zip": f"folder:{root / 'set.zip'}",
        "tar": f"folder:{root / 'set.tar'}",
        "parquet": f"parquet:{root / 'parquet'}",
        "TensorFlow Datasets": _builder(classes, parts),
    }


def _write_parquet(classes: Path, parts: dict[str, list[str]], folder: Path) -> None:
    """Writes tables as Hugging Face's datasets are exported."""
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    folder.mkdir()
    for part, names in parts.items():
        images = [{"bytes": (classes / name).read_bytes(), "path": name} for name in names]
        labels = [Path(name).parts[0] for name in names]
        file = folder / f"{'train' if part == 'train' else 'validation'}-00000-of-00001.parquet"
        parquet.write_table(arrow.table({"image": images, "label": labels}), file)


def _builder(classes: Path, parts: dict[str, list[str]]) -> str:
    """Declares the images as a set of TensorFlow Datasets, which is prepared when it is loaded."""
    tfds = require("tensorflow_datasets", "train")

    class GeneratedImages(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=sorted(path.name for path in classes.iterdir()))
            features = {"image": tfds.features.Image(), "label": label}
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, _):
            names = {"train": "train", "val": "validation"}
            return {names[part]: self._generate_examples(parts[part]) for part in parts}

        def _generate_examples(self, names: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
            for number, name in enumerate(names):
                yield number, {"image": str(classes / name), "label": Path(name).parts[0]}

    return GeneratedImages.name
