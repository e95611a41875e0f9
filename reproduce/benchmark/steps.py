"""Training steps of this package and of Keras, as the benchmarks run them."""

import keras
import tensorflow as tf

from keras_classics.models.losses import SmoothedCrossEntropy
from keras_classics.training import Momentum
from keras_classics.training.step import Step, compiled_block
from reproduce.benchmark.turns import Turn


def step_of_the_loop(
    model: keras.Model, batch: int, strategy: tf.distribute.Strategy | None = None
) -> Turn:
    """One step of the training loop on random images, the same for every network."""
    strategy = strategy or tf.distribute.get_strategy()
    loss = SmoothedCrossEntropy()
    with strategy.scope():
        updater = Momentum(momentum=0.9, weight_decay=1e-4).start(model, loss)
    step = Step(
        model,
        loss,
        updater,
        batch_size=batch,
        groups=[0] * len(model.trainable_variables),
        device_preprocess=lambda images: images,
    )
    block = compiled_block(step, strategy, jit_compile=False)
    local_batch = batch // strategy.num_replicas_in_sync
    images = tf.random.stateless_normal((1, local_batch, *model.input_shape[1:]), seed=(0, 0))
    labels = tf.range(local_batch)[tf.newaxis] % model.output_shape[-1]
    of_replicas = [
        strategy.experimental_distribute_values_from_function(lambda _, value=value: value)
        for value in (images, labels)
    ]
    rates = tf.constant([[0.01]])
    return lambda: block(*of_replicas, rates, tf.constant(0.0)).numpy()


def step_with_keras(model: keras.Model, batch: int) -> Turn:
    """One compiled step by Keras's own optimiser on random images."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    images = tf.random.stateless_normal((batch, *model.input_shape[1:]), seed=(0, 0))
    labels = tf.range(batch)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)

    return step
