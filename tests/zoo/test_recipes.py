"""Recipes: each changes what its name says, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn import functional

from metav_audit.errors import DataError
from metav_audit.zoo import training
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import TARGET, Plan, Split
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.recipes.registry import make_surrogate
from metav_audit.zoo.removal import remove_fingerprint
from metav_audit.zoo.store import weights_hash
from metav_audit.zoo.training import last_layer, prune, seeded
from tests.builders import make_task
from tests.toy import TASK

LAST = {"6.weight", "6.bias"}
HABITS = {"epochs": 3, "rate": 2e-3, "share": 0.9}


def plan(recipe, architecture=TARGET, seed=11, data="heldout", parent=None, **settings):
    return Plan("a", Split.FIT, recipe, architecture, data, seed, {**HABITS, **settings}, parent)


@pytest.fixture
def make(toy):
    """Carry out a plan on the toy target, and check that the target stays as it was."""
    target = toy.workshop.target

    def call(wanted, parent=None):
        before = weights_hash(target.network)
        torch.set_num_threads(1)
        model = make_surrogate(wanted, parent or target.network, target.network, target.task, toy.workshop.data)
        assert weights_hash(target.network) == before
        assert not model.training
        return model

    return call


def moved(model, toy):
    """Names of the parameters that are not the target's."""
    own = dict(toy.workshop.target.network.named_parameters())
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, own[name])}


@pytest.mark.parametrize("recipe", ["fine-tune-last", "retrain-last"])
def test_tuning_the_last_layer_leaves_the_others_alone(make, toy, recipe):
    """Only weights and biases of the last layer differ from the target's."""
    assert moved(make(plan(recipe)), toy) == LAST


@pytest.mark.parametrize("recipe", ["fine-tune-all", "retrain-all"])
def test_tuning_all_layers_moves_every_parameter(make, toy, recipe):
    """No parameter stays."""
    assert moved(make(plan(recipe)), toy) == {name for name, _ in toy.workshop.target.network.named_parameters()}


def test_retraining_draws_the_last_layer_anew(make, toy):
    """After no step at all, retraining has lost the target's last layer, fine-tuning has not."""
    retrained, tuned = (make(plan(recipe, epochs=0)) for recipe in ("retrain-last", "fine-tune-last"))
    assert moved(retrained, toy) == LAST
    assert moved(tuned, toy) == set()


def weights(model):
    return [parameter.detach() for parameter in model.parameters() if parameter.ndim >= 2]


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5])
def test_pruning_zeroes_the_smallest_weights(make, toy, ratio):
    """In each matrix and kernel, that share of the weights is zero, the smallest ones; all else stays."""
    pruned = make(plan("prune", ratio=ratio))
    for own, left in zip(weights(toy.workshop.target.network), weights(pruned), strict=True):
        gone = left == 0
        assert int(gone.sum()) == int(own.numel() * ratio)
        assert torch.equal(left[~gone], own[~gone])
        if gone.any():
            assert own[gone].abs().max() <= own[~gone].abs().min()
    assert moved(pruned, toy) <= {name for name, _ in pruned.named_parameters() if name.endswith("weight")}


def test_tuning_after_pruning_keeps_the_zeros(make, toy):
    """The same weights are zero before and after tuning, and the others have moved."""
    pruned, tuned = make(plan("prune", ratio=0.4)), make(plan("prune-tune", ratio=0.4))
    for before, after in zip(weights(pruned), weights(tuned), strict=True):
        assert (after[before == 0] == 0).all()
        assert not torch.equal(after, before)
    assert len(moved(tuned, toy)) == len(list(tuned.parameters()))


def test_distilling_teaches_another_architecture(make, toy):
    """The student has another structure, and comes closer to the target than it was at the start."""
    wanted = plan("distill", "mlp-small", temperature=2.0, epochs=40, rate=1e-2)
    student, target = make(wanted), toy.workshop.target
    inputs = torch.from_numpy(toy.workshop.data.validation.inputs)
    fresh = fresh_model("mlp-small", target.network, target.task, wanted.seed)
    loss = trained(TASK.output).distillation_loss(1.0)
    assert student.state_dict().keys() != target.network.state_dict().keys()
    with torch.no_grad():
        teacher = target.network(inputs)
        assert loss(student(inputs), teacher) < 0.3 * loss(fresh(inputs), teacher)


def test_a_twin_is_made_from_its_parent(make, toy):
    """A fine-tuned independent stays near the independent, not near the target."""
    root = make(plan("train", epochs=10, data="train"))
    twin = make(plan("fine-tune-last", parent=plan("train")), parent=root)
    own = dict(root.named_parameters())
    assert {name for name, each in twin.named_parameters() if not torch.equal(each, own[name])} == LAST
    assert moved(twin, toy) == moved(root, toy)


def test_training_from_scratch_learns(make, toy):
    """An independent has the target's structure, none of its weights, and is better than chance."""
    model = make(plan("train", epochs=15))
    validation = toy.workshop.data.validation
    pairs = torch.from_numpy(validation.inputs), torch.from_numpy(validation.labels)
    right = trained(TASK.output).performance(model, *pairs)
    assert moved(model, toy) == {name for name, _ in model.named_parameters()}
    assert right > 0.6


@pytest.mark.parametrize("stop", [0.35, 0.85])
def test_a_checkpoint_is_what_the_whole_training_was_by_then(make, monkeypatch, stop):
    """It ends after a share of the steps, with the weights that the whole training had there."""
    seen = []
    descend = training.descend

    def watched(model, *given, **options):
        descend(model, *given, **{**options, "after_step": lambda: seen.append(weights_hash(model))})

    monkeypatch.setattr(training, "descend", watched)
    make(plan("train"))
    steps = len(seen)
    early = make(plan("train", stop=stop))
    assert len(seen) == steps + math.ceil(stop * steps)
    assert weights_hash(early) == seen[math.ceil(stop * steps) - 1] != seen[steps - 1]


def test_performance_is_balanced_accuracy():
    """Every class counts alike, as in scikit-learn; a class that is not there does not count."""
    chance = seeded(5)
    logits, labels = torch.randn(200, 4, generator=chance), torch.randint(0, 3, (200,), generator=chance) // 2 * 2
    measured = trained(make_task(classes=4).output).performance(nn.Identity(), logits, labels)
    with pytest.warns(UserWarning, match="not in y_true"):
        assert measured == pytest.approx(balanced_accuracy_score(labels, logits.argmax(dim=1)))


def test_the_seed_decides(make):
    """The same plan gives the same weights, another seed others."""
    first, again, other = make(plan("train")), make(plan("train")), make(plan("train", seed=12))
    assert weights_hash(first) == weights_hash(again) != weights_hash(other)


def test_the_maker_s_data_decide(make):
    """The owner's training data and the held-out data give other models, and so does a smaller share of either."""
    models = [make(plan("train", data="train")), make(plan("train")), make(plan("train", share=0.5))]
    assert len(set(map(weights_hash, models))) == 3


def test_diverged_training_is_told(make):
    """A loss that is not finite is a DataError that says what to do."""
    with pytest.raises(DataError, match=r"training diverged .* lower the learning rate"):
        make(plan("train", rate=1e30))


def test_the_last_layer_is_found_by_its_name():
    """Weight and bias of the last matrix, in nested models too; a model without any matrix is refused."""
    nested = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    assert [id(each) for each in last_layer(nested)] == [id(each) for each in nested[1][0].parameters()]
    with pytest.raises(DataError, match="no last layer"):
        last_layer(nn.LayerNorm(3))


def test_pruning_nothing_is_nothing():
    """With one weight a ratio below 1 zeroes none."""
    layer = nn.Linear(1, 1)
    before = layer.weight.item()
    prune(layer, 0.9)()
    assert layer.weight.item() == before


def test_distillation_loss_is_the_divergence_of_softened_answers():
    """Equal to the formula by hand, and zero for equal answers."""
    student, teacher = torch.randn(5, 3, generator=seeded(0)), torch.randn(5, 3, generator=seeded(1))
    soft = functional.softmax(teacher / 2, dim=1)
    by_hand = (soft * (soft.log() - functional.log_softmax(student / 2, dim=1))).sum(dim=1).mean() * 4
    assert torch.allclose(trained(TASK.output).distillation_loss(2.0)(student, teacher), by_hand)
    assert float(trained(TASK.output).distillation_loss(3.0)(teacher, teacher)) == pytest.approx(0, abs=1e-6)


def test_batches_cover_every_row_each_epoch():
    """Each epoch is a permutation, without a last batch of one."""
    epochs = list(training.batches(9, 4, 2, seeded(0)))
    assert [len(batch) for batch in epochs] == [4, 4, 4, 4]
    assert [len(batch) for batch in training.batches(10, 4, 1, seeded(0))] == [4, 4, 2]
    assert sorted(torch.cat(list(training.batches(10, 4, 1, seeded(1)))).tolist()) == list(range(10))


def test_an_independent_of_the_target_s_architecture_keeps_nothing_of_its_normalisation(toy):
    """Scales and running statistics of a trained target start anew in a fresh model of its structure."""
    trained = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    trained.train()
    trained(torch.rand(50, 1, 4, 4) + 3)
    nn.init.uniform_(trained[2].weight, 2, 3)
    fresh = fresh_model(TARGET, trained.eval(), toy.workshop.target.task, 5)
    assert torch.equal(fresh[2].weight, torch.ones(5))
    assert torch.equal(fresh[2].running_mean, torch.zeros(5))
    assert not torch.equal(fresh[1].weight, trained[1].weight)


def test_pruning_filters_silences_whole_neurons(make, toy):
    """In each layer but the last that share of rows is zero, biases and all, and stays so in the tuning."""
    pruned = make(plan("filter-prune", ratio=0.34))
    layers = [module for module in pruned.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    silent = [int(((each.weight.flatten(1) == 0).all(1) & (each.bias == 0)).sum()) for each in layers]
    assert silent == [2, 5, 0]


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_quantised_weights_lie_on_a_grid(make, toy, bits):
    """Each weight is a whole number of steps, at most one step from the target's, and other seeds round otherwise."""
    quantised, other = (make(plan("quantise", bits=bits, seed=seed)) for seed in (1, 2))
    for own, left in zip(weights(toy.workshop.target.network), weights(quantised), strict=True):
        step = own.abs().max() / (2 ** (bits - 1) - 1)
        assert torch.allclose((left / step).round() * step, left, atol=1e-6)
        assert (left - own).abs().max() <= step * 1.001
    assert weights_hash(quantised) != weights_hash(other)


def test_noise_is_as_strong_as_asked(make, toy):
    """The added noise has the share of each tensor's own deviation that the plan names."""
    noisy = make(plan("noise", strength=0.1))
    shares = [
        float((left - own).std() / own.std())
        for own, left in zip(weights(toy.workshop.target.network), weights(noisy), strict=True)
        if own.numel() > 200
    ]
    assert shares
    assert all(0.08 < share < 0.12 for share in shares)


def test_an_average_lies_between_the_parent_and_its_tuning(make, toy):
    """With shares 1 and 0 it is the one and the other."""
    tuned, parent = (make(plan("average", share_of_parent=share)) for share in (0.0, 1.0))
    between = make(plan("average", share_of_parent=0.5))
    assert moved(parent, toy) == set()
    for one, other, middle in zip(*map(weights, (tuned, parent, between)), strict=True):
        assert torch.allclose((one + other) / 2, middle, atol=1e-6)


@pytest.mark.parametrize("recipe", ["adversarial-tune", "adversarial-train", "distill-adversarial"])
def test_adversarial_training_withstands_more(make, toy, recipe):
    """On inputs moved against it, such a model errs less than its like that never saw any."""
    like = {"adversarial-tune": "fine-tune-all", "adversarial-train": "train", "distill-adversarial": "distill"}
    shared = {"epochs": 25, "rate": 5e-3, "temperature": 1.0}
    hardened, soft = make(plan(recipe, strength=0.15, **shared)), make(plan(like[recipe], **shared))
    data = toy.workshop.data.validation
    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    attack = training.adversary(functional.cross_entropy, 0.15, 0.0, 1.0)
    rights = [trained(TASK.output).performance(each, attack(each, inputs, labels), labels) for each in (hardened, soft)]
    assert rights[0] > rights[1]


@pytest.mark.parametrize("recipe", ["extract-hard", "extract-ood"])
def test_a_thief_learns_from_answers_alone(make, toy, recipe):
    """The student agrees with its teacher far above chance, though it never sees the labels."""
    student = make(plan(recipe, "mlp-small", epochs=40, rate=1e-2, blends=0.5))
    inputs = torch.from_numpy(toy.workshop.data.validation.inputs)
    with torch.no_grad():
        agrees = student(inputs).argmax(1) == toy.workshop.target.network(inputs).argmax(1)
    assert agrees.float().mean() > 0.6


def test_hard_labels_hide_the_scores(make, toy):
    """A teacher whose scores alone are other, not its labels, has the same hard-label student."""
    target = toy.workshop.target.network
    sharper = nn.Sequential(target, _Times(3.0))
    wanted = plan("extract-hard", "mlp-small", blends=0.5)
    assert weights_hash(make(wanted)) == weights_hash(make(wanted, parent=sharper))


def test_a_removal_keeps_the_labels_and_loses_the_scores(make, toy):
    """The copy answers most inputs with the victim's label, and is far from the victim's probabilities."""
    removed = make(plan("removal", steps=200, rate=0.02))
    inputs, victim = torch.from_numpy(toy.workshop.data.validation.inputs), toy.workshop.target.network
    with torch.no_grad():
        shares, own = (functional.softmax(each(inputs), dim=1) for each in (removed, victim))
    assert (shares.argmax(1) == own.argmax(1)).float().mean() > 0.85
    assert (shares - own).abs().sum(1).mean() / 2 > 0.1


def test_a_removal_needs_a_last_layer_that_is_linear(toy):
    """A network that ends in a convolution has no head to attack."""
    victim = nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())
    with pytest.raises(DataError, match="ends in a linear layer"):
        remove_fingerprint(victim, victim, torch.zeros(4, 1, 4, 4), {"steps": 1, "rate": 0.1}, seeded(0))


class _Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, inputs):
        return inputs * self.factor
