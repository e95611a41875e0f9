"""AlexNet's response normalisation, overlapping pooling, dropout and shifts of colour, left out.

Claim: each of them lowers the error (Krizhevsky, Sutskever, Hinton 2012, sections 3.3, 3.4, 4.1 and
4.2); on ImageNet by 1.4 points of top-1, by 0.4, without a figure, and by more than 1.

    python -m reproduce.alexnet_ablation
    python -m reproduce.alexnet_ablation --variant=all,no_lrn
    python -m reproduce.alexnet_ablation --recipe=paper
    python -m reproduce.alexnet_ablation --smoke

Five networks are trained with the seeds 0 to 4: with all four, and without each of them.

The network is `cuda_convnet`, the small one of AlexNet's authors, with a dense layer of 512 units
before its last, of which half drop out. Images are 0..255 minus their mean: the response
normalisation is made for these.

Recipe `fashion`: 3,000 training and 5,000 test images of Fashion-MNIST. They are grey, so what is
shifted is brightness, by a tenth of the pixels' deviation.
Recipe `paper`: CIFAR-10, the rates of the authors' program for such nets, the colours of ImageNet.

Both differ from the paper by
- network and data, which are small; crops are of images with a border of 2 or 4 pixels;
- training: the rate drops at fixed places, not when the error stalls.
The paper's figures are of one network each; here an interval over seeds stands beside a difference.
"""

from keras_classics.cli._program import run
from reproduce.claims import alexnet_ablation, comparison


def main() -> None:
    """Runs the comparison that the flags name."""
    comparison.run_comparison(alexnet_ablation.CLAIM)


if __name__ == "__main__":
    run(main)
