"""An adapter of a third party: one CSV row of numbers an input, one CSV row of scores an answer."""

from typing import ClassVar

from metav_audit.adapter import Adapter, Answer, AnswerError, Inputs, Request, Response


class CsvRows(Adapter):
    """Posts text/csv and reads text/csv; url, scores and batch are all the options it needs."""

    name: ClassVar[str] = "csv-rows"
    summary: ClassVar[str] = "CSV: a row of numbers in, a row of scores out"

    def encode(self, inputs: Inputs) -> Request:
        """Write one row an input."""
        rows = [",".join(map(repr, row)) for row in inputs.reshape(len(inputs), -1).tolist()]
        return Request(self.options.url, "\n".join(rows).encode(), headers={"Content-Type": "text/csv"})

    def decode(self, response: Response, count: int) -> list[Answer]:
        """Read one row an answer."""
        try:
            rows = [line.split(",") for line in response.content.decode().strip().splitlines()]
            answers = [Answer(tuple(map(float, row))) for row in rows]
        except ValueError:
            raise AnswerError("the endpoint answered with something that is not rows of numbers") from None
        if len(answers) != count:
            raise AnswerError(f"{count} inputs were sent, {len(answers)} answers came back")
        return answers
