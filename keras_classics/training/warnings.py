"""What may be wrong with a finished run, in lines for its user."""

from keras_classics.training.result import RunResult

# With fewer steps, hardly any network has learned what it could.
FEW_STEPS = 100
# Part of the training images that an epoch may leave out without a warning.
LEFT_OUT = 0.05
# Most classes that a line names.
NAMED = 5


def warnings_about(result: RunResult) -> list[str]:
    """Returns a line for each thing that is probably wrong with a run, with the flag to change.

    Classes that are never predicted, few steps, and images that each epoch leaves out. Results of
    before they stated these give no lines about them.

    Args:
        result: What `train` or `read_result` returned.
    """
    lines = []
    missed = result.get("never_predicted", [])
    if missed:
        names = ", ".join(missed[:NAMED]) + (", ..." if len(missed) > NAMED else "")
        lines.append(
            f"{len(missed)} of {len(result['class_names'])} classes {_be(missed)} predicted for "
            f"none of the {result['images']:,} test images: {names}. Train longer with --epochs "
            f"(now {result['epochs']}), give these classes more images, or if they have fewer than "
            "others, use --sampling=balanced."
        )
    if result["steps"] < FEW_STEPS:
        lines.append(
            f"Only {result['steps']} steps: most networks need {FEW_STEPS} or more. Raise --epochs "
            f"(now {result['epochs']}) or lower --batch_size (now {result['batch_size']})."
        )
    left_out = result.get("left_out", 0)
    if left_out > LEFT_OUT * result["train_images"]:
        lines.append(
            f"Each epoch leaves out {left_out} of {result['train_images']:,} training images, "
            f"which do not fill a batch of {result['batch_size']}. Use --set=last_batch=carry, or "
            "a smaller --batch_size."
        )
    return lines


def _be(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
