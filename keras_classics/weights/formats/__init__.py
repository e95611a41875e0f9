"""Readers of the files that weights are exchanged in: Keras, torch, TensorFlow, Caffe."""
