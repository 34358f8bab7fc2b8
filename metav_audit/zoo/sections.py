"""The sections of project.toml: what may stand in each, and what is usual."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metav_audit.zoo.plan import USUAL_RATES

_LEAST_RATE = 0.001


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetSection(_Section):
    """Where the protected model lies, how it is asked, and how good its owner says it is on held-out data.

    Attributes:
        model: ``module:function``, or a file of one of the formats of docs/formats.md.
        endpoint: in its place, an endpoint file with the one API that serves it.
        weights: of a network, where ``model`` gives an untrained one.
        outputs: what it gives.
        feed: how a model of another library wants its inputs; see ``metav_audit.zoo.target.load_target``.
        trust: whether its file may run code when it is read, as a pickle does.
        accuracy: the share of right labels that its owner states.
        r_squared: of a regression, the R² that its owner states.
    """

    model: str = ""
    endpoint: str | None = None
    weights: str | None = None
    outputs: Literal["logits", "probabilities", "values"] | None = None
    feed: Literal["array", "frame"] = "array"
    trust: bool = False
    accuracy: float | None = Field(default=None, gt=0, le=1)
    r_squared: float | None = Field(default=None, le=1)

    @model_validator(mode="after")
    def _is_a_model_or_an_endpoint(self) -> Self:
        if bool(self.model) == (self.endpoint is not None):
            raise ValueError("model: name the model, or the endpoint file of the API that serves it, and not both")
        if self.endpoint is not None and (self.weights or self.outputs or self.feed != "array" or self.trust):
            raise ValueError(
                "endpoint: weights, outputs, feed and trust are of a model that is at hand: leave them out"
            )
        return self


class DataSection(_Section):
    """Where the data lie; ``validation`` defaults to a fifth of ``heldout``, which is then set aside."""

    train: str
    heldout: str
    validation: str | None = None


class ZooSection(_Section):
    """What the zoo holds, where, and who trains it.

    Attributes:
        preset: which models.
        share: of a preset's lineages, where time is short.
        architectures: of the surrogates beside the target's own.
        store: a folder, or an address that fsspec knows, such as s3://bucket/zoo.
        backend: processes of this machine, or a cluster's workers.
        address: of the cluster's scheduler.
        device: where models are trained; "auto" takes the best that a machine has.
        own: a folder of surrogates that were trained elsewhere; see ``metav_audit.zoo.own``.
    """

    preset: str = "standard"
    share: float = Field(default=1.0, gt=0, le=1)
    architectures: tuple[str, ...] | None = None
    store: str = "zoo"
    backend: Literal["local", "dask", "ray"] = "local"
    address: str | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    own: str | None = None


class FingerprintSection(_Section):
    """How the fingerprint is optimised; without ``queries``, as many as is usual for the method.

    The last three are those of the method fitprint.
    """

    queries: int | None = Field(default=None, ge=1, le=10_000)
    steps: int = Field(default=400, ge=1, le=1_000_000)
    identity: str | None = None
    nonce: str | None = None
    bits: int = Field(default=4, ge=1, le=64)


class TrainingSection(_Section):
    """How the target was trained, so that siblings can be: its program, run again with other seeds.

    Attributes:
        program: ``module:function`` taking (seed, data) and returning a torch.nn.Module, or "built-in"; without it
            there are no siblings, and ``ancestor`` alone counts.
        habits: what the built-in program does; see ``metav_audit.zoo.habits``.
        siblings: how many are trained.
        seed: the target's own, where it is known: with it the program can be replayed.
        ancestor: the file of the weights that every run starts from, safetensors, or "none"; not stated by default.
        checkpoint: a file that the target's own run left on its way, and from which siblings go on: the program takes
            its path as a third argument. What siblings then vary is the run's tail alone.
    """

    program: str | None = Field(default=None, pattern=r"^(built-in|[^:\s]+:[^:\s]+)$")
    habits: dict[str, str | float | int] = {}
    siblings: int = Field(default=39, ge=9, le=9999)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    ancestor: str | None = None
    checkpoint: str | None = None


class NaturalSection(_Section):
    """Natural inputs, ``count`` at most, by which an auditor sees that an endpoint was asked rightly.

    They travel in the bundle, and whoever is asked sees them: some of the validation data; public ones, that lie where
    ``data`` says; synthetic ones, means of a few with the target's own labels; or none at all.
    """

    source: Literal["validation", "public", "synthetic", "none"] = "validation"
    data: str | None = None
    count: int = Field(default=16, ge=1, le=1000)

    @model_validator(mode="after")
    def _public_data_are_named(self) -> Self:
        if (self.source == "public") != (self.data is not None):
            raise ValueError('data: name public inputs, and say source = "public"')
        return self


class RatesSection(_Section):
    """The error rates a verdict promises."""

    false_match: float = Field(default=USUAL_RATES.false_match, ge=_LEAST_RATE, lt=1)
    false_no_match: float = Field(default=USUAL_RATES.false_no_match, ge=_LEAST_RATE, lt=1)


class ProjectFile(_Section):
    """The whole of project.toml."""

    name: str = Field(min_length=1, max_length=200)
    seed: int = Field(default=0, ge=0, lt=2**53)
    task: dict[str, Any]
    target: TargetSection
    data: DataSection
    training: TrainingSection | None = None
    zoo: ZooSection = ZooSection()
    fingerprint: FingerprintSection = FingerprintSection()
    natural: NaturalSection = NaturalSection()
    rates: RatesSection = RatesSection()
