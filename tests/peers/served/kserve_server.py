"""KServe over suspects: ``kserve_server.py PORT NAME=WEIGHTS ...``."""

import functools
import sys

import kserve
import uvicorn
from kserve.utils.utils import get_predict_response
from network import Network

# KServe binds every interface and has no option for it.
_config = uvicorn.Config.__init__
uvicorn.Config.__init__ = functools.partialmethod(lambda self, *a, **k: _config(self, *a, **{**k, "host": "127.0.0.1"}))


class Digits(kserve.Model):
    def __init__(self, name, weights):
        super().__init__(name)
        self.network = Network(weights)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        """Answer v1, a dict, and v2, an InferRequest."""
        inputs = payload["instances"] if isinstance(payload, dict) else payload.inputs[0].as_numpy()
        scores = self.network.predict_proba(inputs)
        return get_predict_response(payload, scores.tolist() if isinstance(payload, dict) else scores, self.name)


if __name__ == "__main__":
    models = [Digits(*word.split("=", 1)) for word in sys.argv[2:]]
    kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start(models)
