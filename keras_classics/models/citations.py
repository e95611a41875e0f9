"""The networks' papers as BibTeX."""

from collections.abc import Mapping
from typing import Any

from keras_classics.models.alexnet import KRIZHEVSKY_2012, KRIZHEVSKY_2014
from keras_classics.models.lenet import PAPER as LECUN_1998
from keras_classics.models.registry import find_model
from keras_classics.models.resnet import HE_2015, HE_2016
from keras_classics.models.vgg import PAPER as SIMONYAN_2015

BIBTEX = {
    LECUN_1998: """\
@article{lecun1998gradient,
  title = {Gradient-Based Learning Applied to Document Recognition},
  author = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE},
  volume = {86},
  number = {11},
  year = {1998}
}""",
    KRIZHEVSKY_2012: """\
@inproceedings{krizhevsky2012imagenet,
  title = {{ImageNet} Classification with Deep Convolutional Neural Networks},
  author = {Krizhevsky, Alex and Sutskever, Ilya and Hinton, Geoffrey E.},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2012}
}""",
    KRIZHEVSKY_2014: """\
@article{krizhevsky2014one,
  title = {One Weird Trick for Parallelizing Convolutional Neural Networks},
  author = {Krizhevsky, Alex},
  journal = {arXiv preprint arXiv:1404.5997},
  year = {2014}
}""",
    SIMONYAN_2015: """\
@inproceedings{simonyan2015very,
  title = {Very Deep Convolutional Networks for Large-Scale Image Recognition},
  author = {Simonyan, Karen and Zisserman, Andrew},
  booktitle = {International Conference on Learning Representations},
  note = {arXiv:1409.1556},
  year = {2015}
}""",
    HE_2015: """\
@inproceedings{he2016deep,
  title = {Deep Residual Learning for Image Recognition},
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  note = {arXiv:1512.03385},
  year = {2016}
}""",
    HE_2016: """\
@inproceedings{he2016identity,
  title = {Identity Mappings in Deep Residual Networks},
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {European Conference on Computer Vision},
  note = {arXiv:1603.05027},
  year = {2016}
}""",
}


def citation(model: str, arguments: Mapping[str, Any]) -> str:
    """Returns the BibTeX of a network's paper.

    Args:
        model: Name of the network.
        arguments: Arguments of its builder: `version="v2"` is of the second paper.
    """
    second = str(arguments.get("version", "")).startswith("v2")
    return BIBTEX[HE_2016 if second else find_model(model).paper]
