"""The console command: one file for each command, `keras-classics COMMAND`."""
