"""Training: recipes, and the one loop that carries them out."""

from keras_classics.training import recipes
from keras_classics.training.finetune import finetuning_recipes
from keras_classics.training.loop import train
from keras_classics.training.optimizer import LevenbergMarquardt, Momentum
from keras_classics.training.recipe import Paper, Recipe
from keras_classics.training.strategy import make_strategy

__all__ = [
    "LevenbergMarquardt",
    "Momentum",
    "Paper",
    "Recipe",
    "finetuning_recipes",
    "make_strategy",
    "recipes",
    "train",
]
