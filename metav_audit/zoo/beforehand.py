"""What spoils a zoo whatever its target answers: found before that is asked, and before any model is trained."""

from __future__ import annotations

from metav_audit.config import nearest
from metav_audit.errors import ConfigurationError
from metav_audit.zoo.device import CPU
from metav_audit.zoo.habits import BUILT_IN_PROGRAM
from metav_audit.zoo.own import own_models
from metav_audit.zoo.program import check_program
from metav_audit.zoo.project import Project, load_public, look_beside
from metav_audit.zoo.recipes.learners import LEARNERS
from metav_audit.zoo.store import Store


def check_beforehand(project: Project, *, gradients: bool) -> None:
    """Look at all that a zoo needs beside target and data.

    Args:
        project: the owner's.
        gradients: whether the target gives any: it is a network of torch.

    Raises:
        ConfigurationError: something is missing, or does not suit such a target.
        DataError: own surrogates or natural inputs do not fit the task.
    """
    look_beside(project)
    check_program(project)
    own_models(project)
    Store(project.store_place).prepare()
    if project.settings.natural.source == "public":
        load_public(project)
    if not gradients:
        _check_without_gradients(project)


def _check_without_gradients(project: Project) -> None:
    if project.device != CPU:
        raise ConfigurationError("a target of another library, and its zoo, run on the processor: choose device cpu")
    for name in project.settings.zoo.architectures or ():
        if name not in LEARNERS:
            raise ConfigurationError(
                f"architecture {name!r} is none of those beside a target without gradients: use some of "
                f"{', '.join(LEARNERS)}{nearest(name, LEARNERS)}, or leave architectures out"
            )
    if project.training is None:
        raise ConfigurationError(
            "a target of another library can be asked and fitted again, no more: name the program that fits it below "
            f'[training] in {project.path}: program = "module:function", taking (seed, data) and returning '
            "the fitted model"
        )
    if project.training.program == BUILT_IN_PROGRAM:
        raise ConfigurationError(
            'the built-in program trains networks of torch alone: name your own, program = "module:function", taking '
            "(seed, data) and returning the fitted model"
        )
