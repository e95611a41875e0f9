"""The console command: one program a file, flags and words for people."""
