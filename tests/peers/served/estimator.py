"""A suspect as a scikit-learn classifier."""

import numpy as np
from network import Network
from sklearn.base import BaseEstimator, ClassifierMixin


class DigitsClassifier(ClassifierMixin, BaseEstimator):
    """Classifies images of 8 x 8 by the parameters in an .npz."""

    def __init__(self, weights):
        self.weights = weights
        self.network_ = Network(weights)
        self.classes_ = np.arange(10)

    def predict_proba(self, inputs):
        return self.network_.predict_proba(inputs)

    def predict(self, inputs):
        return self.classes_[self.predict_proba(inputs).argmax(axis=1)]
