"""AlexNet without response normalisation, overlapping pooling, dropout or colour shifts.

Claim: each of them lowers the error (Krizhevsky, Sutskever, Hinton 2012, sections 3.3, 3.4, 4.2 and
4.1). On ImageNet, top-1 error falls by 1.4 points with response normalisation, by 0.4 with
overlapping pooling, and by more than 1 with colour shifts; for dropout there is no figure.

    python -m reproduce.alexnet_ablation
    python -m reproduce.alexnet_ablation --variant=all,no_lrn
    python -m reproduce.alexnet_ablation --recipe=paper
    python -m reproduce.alexnet_ablation --smoke

Trains five networks with the seeds 0 to 4: one with all four parts, and one without each of them.

The network is `cuda_convnet`, the small network of AlexNet's authors, with a dense layer of 512
units and dropout 0.5 before the last layer. Images are 0..255 minus their mean, the range that
response normalisation is made for.

Recipe `fashion`: 3,000 training and 5,000 test images of Fashion-MNIST. The images are grey, so
their brightness is shifted, by a tenth of the pixels' standard deviation.
Recipe `paper`: CIFAR-10, the learning rates of the authors' program for such networks, the colour
directions of ImageNet.

Both differ from the paper by
- network and data, which are small; crops are of images with a border of 2 or 4 pixels;
- training: the learning rate drops at fixed epochs, not when the error stalls.
The paper gives figures of single networks; here each difference has an interval over seeds.
"""

from keras_classics.cli._program import run
from reproduce.claims import alexnet_ablation, comparison


def main() -> None:
    """Runs the comparison."""
    comparison.run_comparison(alexnet_ablation.CLAIM)


if __name__ == "__main__":
    run(main)
