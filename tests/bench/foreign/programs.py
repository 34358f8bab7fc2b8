"""The owners' training programs, one a task: plain torch, all randomness from the seed; a target is a run of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metav_audit.task import ClassScores, ImageDomain, Quantities, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.data import LabelledData
from tests.bench.tasks import LESIONS, WARFARIN

Loss = Callable[[Tensor, Tensor], Tensor]

DIGITS = TaskSpec(ImageDomain(1, 8, 8), ClassScores(tuple("0123456789")))
_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FASHION = TaskSpec(ImageDomain(1, 28, 28), ClassScores(_GARMENTS))

ADULT_NUMBERS = {
    "age": (17.0, 90.0),
    "education-num": (1.0, 16.0),
    "capital-gain": (0.0, 20_000.0),
    "capital-loss": (0.0, 4_000.0),
    "hours-per-week": (1.0, 99.0),
}
"""A column of the file: its range; what lies beyond is clipped."""
OTHER = "other"
ADULT_CATEGORIES = {
    "workclass": ("Private", "Self-emp-not-inc", "Local-gov", "State-gov", "Self-emp-inc", "Federal-gov", OTHER),
    "marital-status": ("Married-civ-spouse", "Never-married", "Divorced", "Separated", "Widowed", OTHER),
    "occupation": (
        *("Prof-specialty", "Craft-repair", "Exec-managerial", "Adm-clerical", "Sales", "Other-service"),
        *("Machine-op-inspct", "Transport-moving", "Handlers-cleaners", "Farming-fishing", "Tech-support", OTHER),
    ),
    "relationship": ("Husband", "Not-in-family", "Own-child", "Unmarried", "Wife", OTHER),
    "race": ("White", "Black", "Asian-Pac-Islander", OTHER),
    "sex": ("Male", "Female"),
    "native-country": ("United-States", "Mexico", OTHER),
}
"""A column of the file: its categories; whatever else it holds is other."""
ADULT = TaskSpec(
    TabularDomain(
        (
            *(NumberColumn(name, low, high) for name, (low, high) in ADULT_NUMBERS.items()),
            *(CategoryColumn(name, categories) for name, categories in ADULT_CATEGORIES.items()),
        )
    ),
    ClassScores(("<=50K", ">50K")),
)

CALIFORNIA_NUMBERS = {
    "longitude": (-124.5, -114.0, 0.01),
    "latitude": (32.5, 42.0, 0.01),
    "housing_median_age": (1.0, 52.0, 1.0),
    "total_rooms": (1.0, 15_000.0, 1.0),
    "total_bedrooms": (1.0, 3_000.0, 1.0),
    "population": (1.0, 8_000.0, 1.0),
    "households": (1.0, 2_500.0, 1.0),
    "median_income": (0.4, 12.4, 0.001),
}
OCEAN = ("<1H OCEAN", "INLAND", "NEAR OCEAN", "NEAR BAY", "ISLAND")
CALIFORNIA = TaskSpec(
    TabularDomain(
        (
            *(NumberColumn(name, low, high, step) for name, (low, high, step) in CALIFORNIA_NUMBERS.items()),
            CategoryColumn("ocean_proximity", OCEAN),
        )
    ),
    Quantities((Quantity("median_house_value_kusd", 207.0, 115.0),)),
)

SPECS = {
    "digits": DIGITS,
    "fashion": FASHION,
    "adult": ADULT,
    "lesions": LESIONS,
    "warfarin": WARFARIN,
    "california": CALIFORNIA,
}


class Units(nn.Module):
    """Gives quantities in their units from numbers around 0."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__()
        assert isinstance(spec.output, Quantities)
        self.center: Tensor
        self.scale: Tensor
        self.register_buffer("center", torch.from_numpy(spec.output.center).float())
        self.register_buffer("scale", torch.from_numpy(spec.output.scale).float())

    def forward(self, numbers: Tensor) -> Tensor:
        """Scale and shift."""
        return self.center + self.scale * numbers


def perceptron(spec: TaskSpec, *widths: int) -> nn.Module:
    """Return a perceptron with these hidden widths, which gives logits or values in their units."""
    sizes = (spec.domain.shape[0], *widths)
    layers: list[nn.Module] = []
    for inward, outward in zip(sizes, widths, strict=False):
        layers += [nn.Linear(inward, outward), nn.ReLU()]
    head = [Units(spec)] if isinstance(spec.output, Quantities) else []
    return nn.Sequential(*layers, nn.Linear(widths[-1], spec.output.size), *head)


def digits_network() -> nn.Module:
    """Two convolutions and a hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def fashion_network() -> nn.Module:
    """Two convolutions of stride 2 and a hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(784, 48),
        nn.ReLU(),
        nn.Linear(48, 10),
    )


def lesions_network() -> nn.Module:
    """Three convolutions of stride 2, normalised, and a hidden layer."""
    layers: list[nn.Module] = []
    for inward, outward in ((3, 12), (12, 24), (24, 32)):
        layers += [nn.Conv2d(inward, outward, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outward), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 48), nn.ReLU(), nn.Linear(48, 7))


def adult_network() -> nn.Module:
    """A perceptron of two hidden layers."""
    return perceptron(ADULT, 64, 32)


def warfarin_network() -> nn.Module:
    """A perceptron of two hidden layers."""
    return perceptron(WARFARIN, 64, 32)


def california_network() -> nn.Module:
    """A perceptron of two hidden layers."""
    return perceptron(CALIFORNIA, 96, 48)


class Recipe(NamedTuple):
    """How an owner trains."""

    epochs: int
    rate: float
    batch: int


def _scaled_error(values: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error in standard deviations of the wanted values, whatever their units."""
    return nn.functional.mse_loss(values / wanted.std(), wanted / wanted.std())


def _train(build: Callable[[], nn.Module], seed: int, data: LabelledData, recipe: Recipe, loss: Loss) -> nn.Module:
    """Train by Adam, its rate decayed to 0 along a cosine."""
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
    model.train()
    for _ in range(recipe.epochs):
        for index in torch.split(torch.randperm(len(inputs), generator=chance), recipe.batch):
            optimizer.zero_grad()
            loss(model(inputs[index]), labels[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    return model.eval()


def digits(seed: int, data: LabelledData) -> nn.Module:
    """Train on digits."""
    return _train(digits_network, seed, data, Recipe(30, 4e-3, 48), nn.functional.cross_entropy)


def fashion(seed: int, data: LabelledData) -> nn.Module:
    """Train on garments."""
    return _train(fashion_network, seed, data, Recipe(12, 3e-3, 64), nn.functional.cross_entropy)


def lesions(seed: int, data: LabelledData) -> nn.Module:
    """Train on lesions."""
    return _train(lesions_network, seed, data, Recipe(12, 3e-3, 64), nn.functional.cross_entropy)


def adult(seed: int, data: LabelledData) -> nn.Module:
    """Train on incomes."""
    return _train(adult_network, seed, data, Recipe(15, 3e-3, 64), nn.functional.cross_entropy)


def warfarin(seed: int, data: LabelledData) -> nn.Module:
    """Train on doses."""
    return _train(warfarin_network, seed, data, Recipe(15, 2e-3, 32), _scaled_error)


def california(seed: int, data: LabelledData) -> nn.Module:
    """Train on house values."""
    return _train(california_network, seed, data, Recipe(30, 3e-3, 64), _scaled_error)
