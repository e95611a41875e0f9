"""The paper's CIFAR training at full length, through Keras on JAX, without TensorFlow."""
