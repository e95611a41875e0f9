"""`python -m reproduce.finetuning`: fine-tuning with its defaults on small sets of images."""
