"""What a split holds, to compare splits of different forms."""


def contents(split):
    """Bytes and label of each image."""
    return [(split.read(i)[1], int(split.labels[i])) for i in range(len(split))]
