"""Training: recipes, and the loop that trains by them."""

from keras_classics.backend import lazy_refusal, tf
from keras_classics.training import recipes
from keras_classics.training.optimizer import Adam, LevenbergMarquardt, Momentum
from keras_classics.training.recipe import Paper, Recipe, read_recipe

__all__ = [
    "Adam",
    "FinishedRun",
    "LevenbergMarquardt",
    "Momentum",
    "Paper",
    "Recipe",
    "RunOptions",
    "RunResult",
    "finetuning_recipes",
    "initial_network",
    "load_data",
    "load_run",
    "make_strategy",
    "read_recipe",
    "read_result",
    "recipes",
    "train",
    "warnings_about",
]

if tf is not None:
    from keras_classics.training.finetune import finetuning_recipes
    from keras_classics.training.loop import RunOptions, train
    from keras_classics.training.result import FinishedRun, RunResult, load_run, read_result
    from keras_classics.training.strategy import make_strategy
    from keras_classics.training.trainer import initial_network
    from keras_classics.training.training_data import load_data
    from keras_classics.training.warnings import warnings_about
else:
    __getattr__ = lazy_refusal(__name__, __all__)
