"""AlexNet, Krizhevsky, Sutskever, Hinton 2012; one column, Krizhevsky 2014.

`paper` differs from the paper in
- the validation split: `VALIDATION_IMAGES` of the training images;
- colour: the shift is along standard deviations, as in the authors' program. See `PCAColour`;
- crops: 33 x 33 positions, as in that program, instead of 32 x 32;
- the figure: the paper's is the mean probability of ten views; a run's is of one view.

`code` follows the program's log of the run behind the paper's figures (configuration 145 of
computerhistory/AlexNet-Source-Code). It differs from that program in
- the network, see `models.alexnet`: ReLU 1 precedes pool1, no normalisation within maps;
- crops: one per image, where the program drew one for 32 images;
- colour: the program then divided by 1.1;
- the time of a drop: the log names the epoch; here the rate drops after that many epochs.

`one_weird_trick` differs from the paper of 2014 in
- the network, which is torchvision's and has no response normalisation;
- images, which are divided by their deviation: with images of 0..255 that network's loss reaches
  10^28 in four steps, measured here;
- initial biases, which are 0; the released program starts those of the last layer at -7.
The paper gives the length and the drops of the rate. The first rate is the released program's
(cuda-convnet2, layers-imagenet-1gpu.cfg). Momentum, decay, mean and crops are those of 2012. The
paper's figures were not available.
"""

import dataclasses

from keras_classics.data.colour import PCAColour
from keras_classics.data.random_crops import AlexNetCrop
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import Paper, Recipe
from keras_classics.training.recipes import imagenet
from keras_classics.training.schedules import Constant, MultiStepDecay, PiecewiseConstant, Plateau

# The paper prints 1.0; the network's own default is Caffe's 0.1.
BIAS_INIT = 1.0

ALEXNET_PAPER = Recipe(
    name="paper",
    model="alexnet",
    dataset="imagenet2012",
    epochs=90,
    batch_size=128,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=Plateau(rate=0.01, factor=0.1, drops=3),
    model_arguments={"input_shape": (224, 224, 3), "bias_init": BIAS_INIT},
    preprocessing="image",
    preprocessing_arguments={"resize": 256, "crop": 224, "mean": "per_pixel"},
    augmentation=AlexNetCrop(size=224, whole=256, colour=PCAColour(deviation=0.1)),
    validation=imagenet.VALIDATION_IMAGES,
    paper=Paper(
        "test_error",
        0.407,
        "imagenet2012",
        "Krizhevsky et al. 2012, Table 2, 1 CNN: ten views, where a run's figure is of one",
    ),
    sources={
        "epochs": "section 5: roughly 90 cycles",
        "batch_size": "section 5",
        "optimizer": "section 5; that biases do not decay, the authors' program (src/layer.cu)",
        "schedule": "section 5: by 10, three times, when the validation error stopped improving",
        "model_arguments": "section 3.5; section 5: biases of 1",
        "preprocessing_arguments": "section 2: 256 x 256, minus the mean of each pixel",
        "augmentation": "section 4.1",
    },
)

_CONV1 = PiecewiseConstant(
    rates=(0.01, 0.001, 0.0001, 0.00001, 0.0, 0.00001),
    epochs=(25, 26, 16, 5, 7, 12),
)

ALEXNET_CODE = dataclasses.replace(
    ALEXNET_PAPER,
    name="code",
    epochs=91,
    schedule=PiecewiseConstant(rates=(0.01, 0.001, 0.0001, 0.00001), epochs=(25, 26, 28, 12)),
    schedules={"conv1/kernel": _CONV1, "*/bias": Constant(0.02)},
    model_arguments={
        **ALEXNET_PAPER.model_arguments,
        "lrn": "code",
        "kernel_initializer": "alexnet_code",
    },
    augmentation=AlexNetCrop(size=224, whole=256, colour=PCAColour(deviation=0.1, until=67)),
    validation=0,
    paper=Paper(
        "test_error",
        0.40664,
        "imagenet2012",
        "the program's log of configuration 145: ten views, where a run's figure is of one",
    ),
    sources={
        "epochs": "the log of configuration 145",
        "batch_size": "Krizhevsky et al. 2012, section 5",
        "optimizer": "Krizhevsky et al. 2012, section 5; biases: src/layer.cu",
        "schedule": "the log of configuration 145",
        "schedules": "layer-params-145.cfg and its log: biases at 0.02 throughout; conv1",
        "model_arguments": "layers-145.cfg: deviations of 0.01 and 0.03, biases of 1, scale / size",
        "preprocessing_arguments": "Krizhevsky et al. 2012, section 2; convdata.py",
        "augmentation": "convdata.py; the log: colour is off from 67 on",
    },
)

ALEXNET_ONE_WEIRD_TRICK = Recipe(
    name="one_weird_trick",
    model="alexnet_owt",
    dataset="imagenet2012",
    epochs=90,
    batch_size=128,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0005),
    schedule=MultiStepDecay(
        rate=0.01, at=(0.25, 0.5, 0.75), factor=250 ** (-1 / 3), unit="fraction"
    ),
    preprocessing="image",
    preprocessing_arguments={
        "resize": 256,
        "crop": 224,
        "mean": "per_pixel",
        "std": imagenet.STD,
    },
    augmentation=AlexNetCrop(size=224, whole=256, colour=None),
    sources={
        "epochs": "Krizhevsky 2014",
        "schedule": "Krizhevsky 2014; the first rate: layers-imagenet-1gpu.cfg",
    },
)

ALEXNET = {r.name: r for r in (ALEXNET_PAPER, ALEXNET_CODE, ALEXNET_ONE_WEIRD_TRICK)}
