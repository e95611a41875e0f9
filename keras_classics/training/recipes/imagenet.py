"""Constants shared by the recipes for ImageNet."""

# Of 0..255, red first, as torchvision and most code have them.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# Training images held out as validation split for the schedule Plateau. The authors of the papers
# may have used ILSVRC's validation set for it, which is the test set here.
VALIDATION_IMAGES = 10_000
