"""The papers' claims that are tested by runs, one in each file."""

from reproduce.claims import (
    alexnet_ablation,
    alexnet_relu,
    ensemble,
    lenet5_digits,
    lenet5_networks,
    resnet_depth,
    resnet_shortcuts,
    vgg_depth,
    vgg_first_bn,
    vgg_receptive_field,
)

CLAIMS = {
    claim.name: claim
    for claim in (
        lenet5_digits.CLAIM,
        lenet5_networks.CLAIM,
        alexnet_relu.CLAIM,
        alexnet_ablation.CLAIM,
        vgg_first_bn.CLAIM,
        vgg_depth.CLAIM,
        vgg_receptive_field.CLAIM,
        resnet_depth.CLAIM,
        resnet_shortcuts.CLAIM,
        ensemble.CLAIM,
    )
}
