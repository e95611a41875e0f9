"""The papers' claims that are tested here by runs, each in a file of its own."""

from reproduce.claims import alexnet_ablation, alexnet_relu, resnet_depth, vgg_first_bn

CLAIMS = {
    claim.name: claim
    for claim in (
        alexnet_relu.CLAIM,
        alexnet_ablation.CLAIM,
        vgg_first_bn.CLAIM,
        resnet_depth.CLAIM,
    )
}
