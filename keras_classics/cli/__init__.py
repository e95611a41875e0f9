"""The console command: one file for each command, `keras-classics COMMAND`."""

from keras_classics.cli._terminal import refuse_module

refuse_module(__name__, [""], "Commands are run as: keras-classics COMMAND.")
