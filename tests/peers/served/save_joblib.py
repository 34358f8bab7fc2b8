"""Write scikit-learn models for MLServer: ``save_joblib.py WEIGHTS MODEL ...``, in pairs."""

import sys

import joblib
from estimator import DigitsClassifier

for weights, model in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    joblib.dump(DigitsClassifier(weights), model)
