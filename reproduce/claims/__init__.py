"""The papers' claims that are tested here by runs, each in a file of its own."""

from reproduce.claims import resnet_depth

CLAIMS = {claim.name: claim for claim in (resnet_depth.CLAIM,)}
