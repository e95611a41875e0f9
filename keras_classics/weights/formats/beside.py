"""The only other files that a file of weights may name: those beside it."""

from pathlib import Path

from keras_classics.errors import UserError


def check_name(name: object) -> None:
    """Raises a `UserError` if what a file names is not in the folder that it lies in itself."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name:
        raise UserError(f"it must name files beside it. Received: {name!r:.80}")


def file_beside(path: Path, name: str) -> Path:
    """Returns a file that another one names, beside it.

    Args:
        path: The file that names it.
        name: Its name, without folders.

    Raises:
        UserError: If it is missing, or elsewhere. A link may lead only to where the file that
            names it lies too, as in the cache of the Hugging Face hub.
    """
    check_name(name)
    file = path.parent / name
    if not file.is_file():
        raise UserError(f"its file {name!r} is missing beside it")
    if file.resolve().parent not in (path.resolve().parent, path.parent.resolve()):
        raise UserError(f"its file {name!r} is a link that leads out of the folder")
    return file
