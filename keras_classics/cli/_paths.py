"""Flags that hold paths: `~` stands for a home folder, and what cannot be a path is refused."""

from absl import flags

from keras_classics.files import user_path


class PathParser(flags.ArgumentParser):
    """Checks a path and expands its `~`."""

    def parse(self, argument: str) -> str:
        """Returns the path.

        Raises:
            ValueError: If it cannot be a path, or is a FIFO, a socket or a device.
        """
        path = user_path(argument)
        return str(path) if argument.startswith("~") else argument

    def flag_type(self) -> str:
        """Returns what help calls the type."""
        return "path"


class PathListParser(flags.ListParser):
    """Checks paths that are separated by commas, and expands their `~`."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """Returns the paths.

        Raises:
            ValueError: As for `PathParser`.
        """
        return [PathParser().parse(path) for path in super().parse(argument)]


def define_path(
    name: str, default: str | None, description: str, required: bool = False
) -> flags.FlagHolder:
    """Defines a flag that holds a path. Its value is a string."""
    serializer = flags.ArgumentSerializer()
    return flags.DEFINE(
        PathParser(), name, default, description, serializer=serializer, required=required
    )


def define_paths(name: str, default: list[str], description: str) -> flags.FlagHolder:
    """Defines a flag that can be repeated; each value is a path, or the name of something known."""
    parser = PathParser()
    return flags.DEFINE_multi(parser, flags.ArgumentSerializer(), name, default, description)


def define_path_list(name: str, description: str) -> flags.FlagHolder:
    """Defines a flag that holds paths separated by commas."""
    serializer = flags.CsvListSerializer(",")
    return flags.DEFINE(PathListParser(), name, [], description, serializer=serializer)


# The flags belong to the modules that call these functions.
flags.disclaim_key_flags()
