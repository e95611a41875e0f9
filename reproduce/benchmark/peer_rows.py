"""What the benchmarks `train`, `infer` and `latency` measure, and the columns of their rows."""

# Images of a batch, by the network.
BATCHES = {"resnet50": 16, "vgg16": 16, "resnet18": 16, "alexnet_owt": 32, "resnet20": 128}
# Those of `--quick`.
SMALL = ("resnet20",)

WORKS = ("train", "infer", "latency")

# By the side: the module that it needs, and what it can do.
SIDES = {
    "keras_classics": ("tensorflow", WORKS),
    "keras_classics_xla": ("tensorflow", ("latency",)),
    "keras": ("tensorflow", WORKS),
    "torch": ("torch", WORKS),
    "torch_trace": ("torch", ("infer", "latency")),
    "saved_model": ("tensorflow", ("latency",)),
    "litert": ("ai_edge_litert", ("latency",)),
    "onnxruntime": ("onnxruntime", ("infer", "latency")),
    "openvino": ("openvino", ("infer", "latency")),
}
# Exports of the network here, by the runtime.
EXPORTS = {
    "saved_model": "TensorFlow",
    "litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
# Networks of keras.applications; its ResNet-50 is v1.
APPLICATIONS = {"resnet50": "ResNet50", "vgg16": "VGG16"}

# A training step is the forward pass, and a backward pass of twice its cost.
PASSES = {"train": 3, "infer": 1, "latency": 1}

COLUMNS = (
    "network",
    "work",
    "precision",
    "side",
    "batch",
    "images_per_second",
    "lowest",
    "highest",
    "gflops",
    "limit_gflops",
    "peak_mb",
    "turns",
    "steps",
    "threads",
    "device",
    "commit",
    "python",
    "tensorflow",
    "keras",
    "version",
    "command",
)
