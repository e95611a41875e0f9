"""Training: recipes, and the one loop that carries them out."""

from keras_classics.training import recipes
from keras_classics.training.finetune import finetuning_recipes
from keras_classics.training.loop import RunOptions, initial_network, load_data, train
from keras_classics.training.optimizer import Adam, LevenbergMarquardt, Momentum
from keras_classics.training.recipe import Paper, Recipe, read_recipe
from keras_classics.training.result import FinishedRun, load_run
from keras_classics.training.strategy import make_strategy

__all__ = [
    "Adam",
    "FinishedRun",
    "LevenbergMarquardt",
    "Momentum",
    "Paper",
    "Recipe",
    "RunOptions",
    "finetuning_recipes",
    "initial_network",
    "load_data",
    "load_run",
    "make_strategy",
    "read_recipe",
    "recipes",
    "train",
]
