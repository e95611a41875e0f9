"""Plots are drawn, in unusual cases too."""

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.analysis import plots
from keras_classics.analysis.plots import drawing, networks
from tests.helpers.figures import caption, curves, dashed, labels, legend, panels, rounded
from tests.helpers.images import read_png

ROW = {"train_loss": 0.5, "test_loss": 0.6, "train_accuracy": 0.8, "test_accuracy": 0.7}


def draw_mistakes(path, wrong: int, channels: int = 1) -> None:
    labels = np.zeros(30, "int32")
    probabilities = np.tile(np.float32([0.9, 0.1]), (30, 1))
    probabilities[:wrong] = [0.2, 0.8]
    images = np.zeros((30, 8, 8, channels), "uint8")
    plots.mistakes(images.__getitem__, labels, probabilities, ["cat", "dog"], path)


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves(tmp_path, drawn, epochs):
    plots.curves([{"epoch": e + 1, **ROW} for e in range(epochs)], tmp_path / "a.png")
    assert read_png(tmp_path / "a.png").size
    (figure,) = drawn
    loss, error = figure.axes
    x = list(range(1, epochs + 1))
    assert labels(loss) == ("epoch", "loss")
    assert curves(loss) == {"train": (x, [0.5] * epochs), "test": (x, [0.6] * epochs)}
    assert labels(error) == ("epoch", "error, %")
    assert curves(error) == {"train": (x, [20] * epochs), "test": (x, [30] * epochs)}
    assert legend(error) == ["train", "test"]
    assert "train: mean over the epoch's steps" in figure.get_supxlabel()
    assert loss.get_ylim()[0] == error.get_ylim()[0] == 0


@pytest.mark.parametrize("classes", [2, 10, 40, 1000])
def test_confusion(tmp_path, drawn, classes):
    names = [f"class {i}" for i in range(classes)]
    counts = 6 * np.eye(classes, dtype="int64")
    counts[0, 1] = 2
    plots.confusion(counts, names, tmp_path / "a.png")
    assert read_png(tmp_path / "a.png").size
    (ax,) = drawn[0].axes
    assert labels(ax) == ("prediction", "label")
    assert ("numbers: images" in ax.get_title()) == (classes <= 20)
    assert "shade: fraction" in ax.get_title()
    (cells,) = ax.get_images()
    expected = np.eye(classes)
    expected[0, :2] = np.sqrt([0.75, 0.25])
    np.testing.assert_allclose(cells.get_array(), expected)
    assert cells.get_clim() == (0, 1)
    numbers = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    shown = {(i, i): "6" for i in range(classes)} | {(0, 1): "2"}
    assert numbers == (shown if classes <= 20 else {})
    for axis in (ax.xaxis, ax.yaxis):
        named = [text.get_text() for text in axis.get_ticklabels()] == names
        assert named == (classes <= 60)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("wrong", "rows"), [(0, 1), (3, 1), (9, 2), (30, 3)])
def test_mistakes_take_as_many_rows_as_there_are(tmp_path, wrong, rows, channels):
    draw_mistakes(tmp_path / "a.png", wrong, channels)
    height, width, _ = read_png(tmp_path / "a.png").shape
    assert round(height / width / (1.55 / 10)) == rows


def test_mistakes_are_the_most_confident_ones(tmp_path):
    # Two wrong predictions, the second more confident: it comes first, at the left.
    probabilities = np.float32([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1]])
    images = np.zeros((3, 8, 8, 1), "uint8")
    images[1] = 255
    plots.mistakes(
        images.__getitem__, np.zeros(3, "int32"), probabilities, ["a", "b"], tmp_path / "a.png"
    )
    drawn = read_png(tmp_path / "a.png")[..., :3]
    middle = drawn[drawn.shape[0] * 2 // 3, : drawn.shape[1] // 4].mean(axis=-1)
    dark = np.flatnonzero(middle < 50)
    assert dark.size
    assert dark.max() < drawn.shape[1] / 8


def test_error_by_size(tmp_path, drawn):
    plots.error_by_size({1000: [0.2, 0.22], 50: [0.3]}, tmp_path / "a.png")
    assert read_png(tmp_path / "a.png").size
    (ax,) = drawn[0].axes
    assert labels(ax) == ("training images", "test error, %")
    points = [(list(line.get_xdata()), rounded(line.get_ydata())) for line in ax.get_lines()]
    assert points == [([50, 1000], [30, 21]), ([50], [30]), ([1000, 1000], [20, 22])]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["50", "1,000"]
    assert legend(ax) == ["mean", "one seed"]


def test_lines_of_several_seeds(tmp_path, drawn):
    several = plots.Line("a", [[1, 2], [3, 6]]), plots.Line("", [[5, 5]], dashed=True)
    one = plots.Line("b", [[1, 1]], x=[10, 20])
    shown = {"left": several, "right": [one], "below": []}
    plots.lines(shown, "epoch", "error, %", tmp_path / "a.png", log=True, columns=2)
    assert read_png(tmp_path / "a.png").size
    left, right, below = panels(drawn[0]).values()
    assert list(panels(drawn[0])) == list(shown)
    assert curves(left) == {"a": ([1, 2], [2, 4])}
    assert dashed(left) == [[5, 5]]
    assert curves(right) == {"b": ([10, 20], [1, 1])}
    assert legend(left) == ["a"]
    assert not below.get_lines()
    (band,) = left.collections
    (path,) = band.get_paths()
    assert {tuple(vertex) for vertex in path.vertices} == {(1, 1), (1, 3), (2, 2), (2, 6)}
    assert [labels(ax) for ax in (left, right)] == [("epoch", "error, %"), ("epoch", "")]
    assert left.get_yscale() == "log"
    assert len({line.get_color() for line in left.get_lines()}) == 1


def test_a_caption_says_what_lines_and_bands_are(tmp_path, drawn):
    several = plots.Line("a", [[1, 2], [3, 6]]), plots.Line("", [[5, 5], [5, 6]], dashed=True)
    one = plots.Line("b", [[1, 1]])
    draw = {"solid": "test error", "dashed": "training error", "path": tmp_path / "a.png"}
    plots.lines({"left": several}, "epoch", "error, %", **draw)
    plots.lines({"left": several, "right": [one]}, "epoch", "error, %", **draw)
    plots.lines({"left": [one]}, "epoch", "error, %", tmp_path / "a.png")
    assert [caption(figure) for figure in drawn] == [
        [
            "test error, mean of 2 seeds",
            "training error, mean of 2 seeds",
            "band: smallest to largest of the seeds",
        ],
        [
            "test error, mean of up to 2 seeds",
            "training error, mean of up to 2 seeds",
            "band: smallest to largest of the seeds; no band: one seed",
        ],
        [],
    ]
    for figure in drawn[:2]:
        (box,) = figure.legends
        assert figure.bbox.x0 <= box.get_window_extent().x0
        assert box.get_window_extent().x1 <= figure.bbox.x1


def test_faint_lines_are_named_once_and_have_no_band(tmp_path, drawn):
    others = [plots.Line("others", [[n, n], [n, 2 * n]], faint=True) for n in (3, 4)]
    shown = [*others, plots.Line("a", [[1, 2], [3, 6]])]
    plots.lines({"left": shown, "right": shown}, "epoch", "error, %", tmp_path / "a.png")
    left, right = panels(drawn[0]).values()
    assert legend(left) == ["others", "a"]
    assert right.get_legend() is None, "the first panel has the same lines"
    assert len(left.collections) == 1
    colours = [line.get_color() for line in left.get_lines()]
    assert colours == [drawing.MUTED, drawing.MUTED, drawing.INK]


# How colours look to most colour-blind people (Machado et al. 2009, severity 1), and in print.
SEEN = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}


def lab(linear: np.ndarray) -> np.ndarray:
    """Linear RGB in CIE L*a*b*, in which distances are about as large as they look."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ np.clip(linear, 0.01, 1) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
def test_lines_differ_for_every_reader(seen):
    assert len(set(drawing.MARKERS)) == len(drawing.PALETTE)
    linear = [(np.array(hexadecimal(colour)) / 255) ** 2.2 for colour in drawing.PALETTE[:4]]
    looks = [lab(np.array(SEEN[seen]) @ colour) for colour in linear]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(looks) for b in looks[:i]]
    assert min(apart) > 10


def fraction_of(drawn: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Returns the fraction of an image's pixels that have a colour."""
    return float((drawn[..., :3] == colour).all(axis=-1).mean())


def hexadecimal(colour: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(colour[1:]))


def test_images_stand_below_their_titles(tmp_path):
    images = [np.full((8, 8, 3), value, "uint8") for value in ((200, 0, 0), (0, 0, 200))]
    plots.image_grid(images, ["red", "blue"], tmp_path / "a.png", columns=2)
    drawn = read_png(tmp_path / "a.png")
    middle = drawn.shape[1] // 2
    assert fraction_of(drawn[:, :middle], (200, 0, 0)) > 0.5
    assert fraction_of(drawn[:, middle:], (0, 0, 200)) > 0.5


def test_grey_images_are_drawn_inverted(tmp_path):
    plots.image_grid([np.full((8, 8, 1), 255, "uint8")], ["one"], tmp_path / "a.png", columns=1)
    assert fraction_of(read_png(tmp_path / "a.png"), (0, 0, 0)) > 0.5


def test_filters_in_colour_have_grey_for_zero(tmp_path):
    # One of nothing but red, one of nothing, each in its own scale.
    kernel = np.zeros((3, 3, 3, 2), "float32")
    kernel[:, :, 0, 0] = 0.01
    plots.filters(kernel, tmp_path / "a.png")
    drawn = read_png(tmp_path / "a.png")
    assert fraction_of(drawn, (255, 127, 127)) + fraction_of(drawn, (255, 128, 128)) > 0.25
    assert fraction_of(drawn, (127, 127, 127)) + fraction_of(drawn, (128, 128, 128)) > 0.25


@pytest.mark.parametrize(("inputs", "count", "columns", "rows"), [(1, 20, 16, 2), (6, 5, 5, 6)])
def test_filters_of_other_maps_have_one_row_per_input(inputs, count, columns, rows, tmp_path):
    kernel = np.ones((3, 3, inputs, count), "float32")
    plots.filters(kernel, tmp_path / "a.png")
    drawn = read_png(tmp_path / "a.png")[..., :3]
    blue = (drawn == drawn[drawn.sum(axis=-1) < 400][0]).all(axis=-1)
    starts = np.diff(blue.astype(int), axis=1) == 1
    assert starts.sum(axis=1).max() == columns
    assert (np.diff(blue.astype(int), axis=0) == 1).sum(axis=0).max() == rows


def test_activations_of_a_layer_have_one_scale(tmp_path):
    maps = np.zeros((8, 8, 4), "float32")
    maps[..., 3] = 5
    plots.activations({"a": maps, "b": maps[..., 2:]}, tmp_path / "a.png")
    drawn = read_png(tmp_path / "a.png")
    left, right = np.split(drawn[:, : drawn.shape[1] // 2 * 2], 2, axis=1)
    dark, bright = (0, 0, 4), (252, 253, 191)
    assert fraction_of(left, dark) == pytest.approx(3 * fraction_of(left, bright), rel=0.1)
    assert fraction_of(right, dark) == pytest.approx(fraction_of(right, bright), rel=0.1)


def test_a_receptive_field_is_drawn_to_scale_and_beyond_the_image(tmp_path):
    image = np.full((100, 100, 3), 240, "uint8")
    plots.receptive_field(image, {"near": 50, "far": 120}, tmp_path / "a.png")
    drawn = read_png(tmp_path / "a.png")[..., :3].astype(int)
    # Without the names at the right.
    drawn = drawn[:, : int(0.55 * drawn.shape[1])]
    sides = {}
    for name, colour in (
        ("image", "#f0f0f0"),
        ("near", drawing.PALETTE[1]),
        ("far", drawing.PALETTE[2]),
    ):
        rows, _ = np.nonzero(np.abs(drawn - hexadecimal(colour)).sum(axis=-1) < 6)
        sides[name] = rows.max() - rows.min()
    assert sides["near"] / sides["image"] == pytest.approx(0.5, rel=0.05)
    assert sides["far"] / sides["image"] == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize(("name", "maps", "vectors"), [("lenet5", 4, 3), ("resnet20", 3, 2)])
def test_a_diagram_has_a_box_for_each_size_of_maps(name, maps, vectors, tmp_path):
    plots.diagram(kc.describe(name), tmp_path / "a.png")
    drawn = read_png(tmp_path / "a.png")
    # Through the middle of all boxes.
    line = drawn[int(drawn.shape[0] * 1.8 / 5.2), :, :3]
    for colour, count in ((drawing.MUTED, 1), (drawing.INK, maps), (drawing.ACCENT, vectors)):
        inside = (line == hexadecimal(colour)).all(axis=-1).astype(int)
        assert (np.diff(inside) == 1).sum() == count


def stage_texts(name: str) -> list[str]:
    return [networks._stage_text(rows) for rows in networks._stages(kc.describe(name))]


def test_a_diagram_counts_what_its_layers_hold():
    text = stage_texts("lenet5")
    assert text[0] == "image\n32x32x1"
    assert text[1] == "c1\n28x28x6\n156 parameters\n118 K MACs"
    assert text[5] == "c5\n120\n48.1 K parameters\n48 K MACs"
    stages = stage_texts("resnet20")
    assert stages[1].startswith("conv1 to conv2\n7 layers\n32x32x16")


def test_a_diagram_counts_layers_as_the_paper_does(tmp_path, drawn):
    described = kc.describe("resnet50")
    texts = [networks._stage_text(rows).split("\n") for rows in networks._stages(described)]
    # Of a 7x7 convolution, units of three layers, and a dense layer.
    counted = [line for text in texts for line in text if line.endswith("layers")]
    assert counted == [f"{3 * units} layers" for units in (3, 4, 6, 3)]
    plots.diagram(described, tmp_path / "a.png")
    text = " ".join(drawn[0].get_supxlabel().split())
    assert text.startswith("50 layers: ")
    assert "without 4 projections on shortcuts" in text
    plots.diagram(kc.describe("lenet5"), tmp_path / "a.png")
    assert "projections" not in drawn[1].get_supxlabel()


HOSTILE = ["$5_$", "\udcff\ud800", "a\x00\x1bb", "\\$\\frac{", "{x}%s" * 200]


def draw_with_every_text(name: str, folder) -> None:
    """Draws all plots that take texts, each text this one."""
    images = np.zeros((3, 8, 8, 1), "uint8")
    line = plots.Line(name, [[0.1, 0.2], [0.2, 0.3]])
    plots.confusion(np.eye(2, dtype=int), [name, f"{name}2"], folder / "confusion.png")
    plots.image_grid(images[:1], [f"{name}\n{name}"], folder / "grid.png")
    wrong = np.float32([[0, 1], [1, 0], [0, 1]])
    plots.mistakes(
        images.__getitem__, np.zeros(3, int), wrong, [name, f"{name}2"], folder / "mistakes.png"
    )
    for log in (False, True):
        plots.lines({name: [line]}, name, name, folder / "lines.png", log=log)
    plots.scaling({name: {name: [0.9, 0.8]}}, [1, 2], [name], folder / "scaling.png", accent=name)
    plots.activations({name: np.ones((4, 4, 2))}, folder / "activations.png")
    plots.receptive_field(np.zeros((9, 9, 3), "uint8"), {name: 3}, folder / "field.png")


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:constrained_layout")
@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:9]))
def test_texts_are_drawn_as_they_are(tmp_path, name):
    draw_with_every_text(name, tmp_path)
    assert len(list(tmp_path.iterdir())) == 7


def test_a_name_is_no_formula(tmp_path, drawn):
    plots.confusion(np.eye(2, dtype=int), ["$5_1$", "a_1"], tmp_path / "a.png")
    (figure,) = drawn
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        shown = [text._preprocess_math(text.get_text()) for text in axis.get_ticklabels()]
        assert shown == [("$5_1$", False), ("a_1", False)]


def test_a_plot_that_cannot_be_drawn_is_a_warning(tmp_path, caplog):
    with plots.optional(tmp_path / "a.png") as path:
        raise ValueError("no\nroom")
    assert caplog.messages == [f"{path} cannot be drawn: no\\nroom"]
