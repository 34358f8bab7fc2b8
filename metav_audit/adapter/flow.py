"""An adapter at work, kept within its contract: whatever a stranger's code raises becomes an AnswerError."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from metav_audit.adapter.contract import Adapter, Outcome, Request, Response, Wait
from metav_audit.errors import FOREIGN, AnswerError, MetavAuditError
from metav_audit.task import Answer, Inputs, check_answer

Step = Request | Wait | list[Answer]


class Flow:
    """The adapter's generator for one batch of inputs, of shape (batch, *domain.shape)."""

    def __init__(self, adapter: Adapter, inputs: Inputs) -> None:
        self._adapter = adapter
        self._inputs = inputs
        self._generator: Generator[Request | Wait, Response | None, list[Answer]] | None = None

    def advance(self, response: Response | None) -> Step:
        """Hand over the last response, None at the start and after a Wait; return what comes next, checked.

        Raises:
            AnswerError: the response does not hold the answers, or the adapter breaks its contract.
        """
        try:
            return self._advance(response)
        except MetavAuditError:
            raise
        # A stranger's code may raise anything.
        except FOREIGN as error:
            raise _broken(self._adapter, f"raised {type(error).__name__} over an answer") from error

    def _advance(self, response: Response | None) -> Step:
        if self._generator is None:
            # The contract's send type has no None; the generator is sent one wherever it is owed no response.
            self._generator = self._adapter.flow(self._inputs)  # type: ignore[assignment]
        assert self._generator is not None
        try:
            step: Any = self._generator.send(response)
        except StopIteration as end:
            return self._answers(end.value)
        if not isinstance(step, Request | Wait):
            raise _broken(self._adapter, f"asked for a {type(step).__name__}, neither a Request nor a Wait")
        return step

    def _answers(self, answers: Any) -> list[Answer]:
        count = len(self._inputs)
        if not isinstance(answers, list) or not all(isinstance(answer, Answer) for answer in answers):
            raise _broken(self._adapter, "returned something that is no list of answers")
        if len(answers) != count:
            raise AnswerError(f"{count} inputs were sent, {len(answers)} answers came back")
        for answer in answers:
            check_answer(answer, self._adapter.task.output, self._adapter.options.scores)
        return answers


def classify(adapter: Adapter, response: Response) -> Outcome:
    """Let the adapter say what a response means.

    Raises:
        AnswerError: it does not say one of the outcomes.
    """
    try:
        return Outcome(adapter.classify(response))
    except FOREIGN as error:
        raise _broken(adapter, f"could not classify HTTP {response.status} ({type(error).__name__})") from error


def _broken(adapter: Adapter, what: str) -> AnswerError:
    return AnswerError(f"adapter {adapter.name} {what}: report it to the adapter's author")
