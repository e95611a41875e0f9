"""Tables of images with any number of labels: both forms, parts, and what is refused."""

import numpy as np
import pytest

from keras_classics.data import load, load_test
from keras_classics.data.image_files import decode
from keras_classics.errors import UserError
from tests.helpers.folders import write_image

NAMED = """\
image,labels,split
b.png,cat|dog,train
a.png,,train
c.png, dog ; car ,test
"""
MARKED = """\
split,filename,dog,cat
val,c.png,1.0,0
train,b.png,1,1
train,a.png,0,
"""
SHARED = "path\ttags\n" + "".join(f"{i}.png\t{i % 3},{i % 2}\n" for i in range(30))


def table(root, text, name="table.csv"):
    names = {cell for line in text.splitlines() for cell in line.replace("\t", ",").split(",")}
    for image in names:
        if image.endswith(".png"):
            write_image(root / image)
    (root / name).write_text(text)
    return f"multilabel:{root / name}"


def test_labels_named_in_one_column(tmp_path):
    data = load(table(tmp_path, NAMED), encoded=True)
    assert data.class_names == ("car", "cat", "dog")
    assert data.train.multilabel
    assert [path.rpartition("/")[2] for path in data.train.paths] == ["a.png", "b.png"]
    np.testing.assert_array_equal(data.train.labels, np.int32([[0, 0, 0], [0, 1, 1]]))
    np.testing.assert_array_equal(data.test.labels, np.int32([[1, 0, 1]]))
    in_memory = load(data.name, resize=None)
    np.testing.assert_array_equal(in_memory.train.images[0], data.train.image(0))
    np.testing.assert_array_equal(in_memory.train.labels, data.train.labels)
    held = data.holding_out(1)
    assert held.train.labels.shape == held.validation.labels.shape == (1, 3)


def test_a_column_for_each_class(tmp_path):
    name = table(tmp_path, MARKED)
    data = load(name, encoded=True)
    assert data.class_names == ("dog", "cat")
    assert data.train.labels.tolist() == [[0, 0], [1, 1]]
    assert data.test.labels.tolist() == [[1, 0]]
    encoded, labels = data.train.reader()(1)
    assert labels.numpy().tolist() == [1, 1]
    assert decode(encoded).shape == (9, 12, 3)
    other = load(name, encoded=True, class_names=("cat", "dog"))
    assert other.test.labels.tolist() == [[0, 1]]


def test_a_table_without_parts_holds_out_a_share(tmp_path):
    name = table(tmp_path, SHARED, "table.tsv")
    data = load(name, encoded=True, validation_share=0.3)
    assert data.class_names == ("0", "1", "2")
    assert len(data.train) + len(data.test) == 30
    assert len(data.test)
    everything, _ = load_test(name, encoded=True)
    assert len(everything) == 30
    labels = dict(zip(everything.paths, everything.labels.tolist(), strict=True))
    assert labels[str(tmp_path / "7.png")] == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a header with a column such as path"),
        ("image,split\na.png,train\n", "a column labels or one for each class. Received: .image"),
        ("image,cat,dog\na.png,1,2\n", "0 or 1 in the column of a class. Received, in column .dog"),
        ("image,labels\na.png\n", "must have 2 cells in line 2"),
        ("image,labels\na.png,x,y\n", "must have 2 cells in line 2"),
        ("image,labels\na.png,x\na.png,y\n", "each once. Received, in line 3: 'a.png', which is l"),
        ("image,labels\nno.jpg,x\n", "Received, in line 2: 'no.jpg', which is not there"),
        ('image,labels\na.png,"x\n', "is no table of images, line"),
        ("image,labels,split\na.png,x|y,train\nb.png,x,\n", "name the part of each image, or of n"),
        ("image,labels,split\na.png,x|y,trial\n", "must name parts train, .* Received: 'trial'"),
        ("image,labels,split\na.png,x|y,test\n", "lists no images of train"),
        ("image,labels,split\na.png,x,train\nb.png,x,test\n", "Training needs two classes"),
        ("image,labels\na.png,\0\n", "is not text"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    name = table(tmp_path, text)
    with pytest.raises(UserError, match=message) as error:
        load(name, encoded=True)
    assert "\n" not in str(error.value)


def test_classes_cannot_be_kept_alone(tmp_path):
    with pytest.raises(UserError, match="only_classes needs one label for each image"):
        load(table(tmp_path, NAMED), encoded=True).of_classes([0, 1])
