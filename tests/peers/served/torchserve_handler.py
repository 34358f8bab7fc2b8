"""TorchServe's image classifier without torchvision: a picture in, ``{label: probability}`` of the ``topk`` best out.

The steps are those of ``ts.torch_handler.image_classifier``, but for the resizing that ImageNet's models want;
``seconds`` makes it slow.
"""

import io
import time

import numpy as np
import torch
from PIL import Image
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import map_class_to_label


class DigitsHandler(BaseHandler):
    def preprocess(self, data):
        pictures = [Image.open(io.BytesIO(row.get("data") or row.get("body"))) for row in data]
        values = np.stack([np.asarray(picture, np.float32)[None] / np.float32(255) for picture in pictures])
        return torch.from_numpy(values).to(self.device)

    def postprocess(self, data):
        time.sleep(self.model_yaml_config.get("seconds", 0))
        probabilities, classes = torch.topk(torch.softmax(data, dim=1), self.model_yaml_config["topk"], dim=1)
        return map_class_to_label(probabilities.tolist(), self.mapping, classes.tolist())
