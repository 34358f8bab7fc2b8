"""BentoML over suspects, of which it answers one request at a time; DIGITS_WEIGHTS names the folder."""

import os
import time
from pathlib import Path

import bentoml
from network import Network

SECONDS = 0.05
"""What an answer takes, so that a second request finds the service busy."""


@bentoml.service(traffic={"max_concurrency": 1, "timeout": 10})
class Digits:
    def __init__(self) -> None:
        self.networks = {path.stem: Network(path) for path in Path(os.environ["DIGITS_WEIGHTS"]).glob("*.npz")}

    def answer(self, name: str, images: list) -> list:
        time.sleep(SECONDS)
        return self.networks[name].predict_proba(images).tolist()

    @bentoml.api
    def finetuned(self, images: list) -> list:
        return self.answer("finetuned", images)

    @bentoml.api
    def independent(self, images: list) -> list:
        return self.answer("independent", images)
