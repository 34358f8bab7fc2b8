"""Write MLflow models of the scikit-learn flavour that answer probabilities: ``save_mlflow.py WEIGHTS FOLDER ...``."""

import sys
from pathlib import Path

import mlflow.sklearn
from estimator import DigitsClassifier

CODE = [str(Path(__file__).with_name(name)) for name in ("estimator.py", "network.py")]

for weights, folder in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    mlflow.sklearn.save_model(
        DigitsClassifier(weights),
        folder,
        serialization_format="cloudpickle",
        code_paths=CODE,
        pip_requirements=["scikit-learn"],
        pyfunc_predict_fn="predict_proba",
    )
