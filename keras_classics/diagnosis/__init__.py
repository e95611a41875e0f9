"""Diagnosis: what keeps a network from learning, and the smallest change that mends it."""

from keras_classics.backend import lazy_refusal, tf

__all__ = ["CHECKS", "Case", "Diagnosis", "Finding", "diagnose", "examine", "make_case"]

if tf is not None:
    from keras_classics.diagnosis.case import Case, make_case
    from keras_classics.diagnosis.checks import CHECKS
    from keras_classics.diagnosis.diagnose import diagnose, examine
    from keras_classics.diagnosis.findings import Diagnosis, Finding
else:
    __getattr__ = lazy_refusal(__name__, __all__)
