"""What the recipes for ImageNet share."""

# Of 0..255, red first, as torchvision and most code have them.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# Training images that a rate goes by where it waits for a plateau. ILSVRC's validation set, which
# the authors of the papers may have had for it, is the test set here.
VALIDATION_IMAGES = 10_000
