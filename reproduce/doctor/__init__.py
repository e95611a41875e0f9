"""A bench for `keras_classics.diagnosis`: planted faults, and healthy trainings."""
