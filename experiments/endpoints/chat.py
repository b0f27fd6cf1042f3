"""A model behind a server that speaks OpenAI's chat protocol: every answer is kept, none is paid for twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.config import Endpoint
from experiments.endpoints import access
from experiments.endpoints.call import Answer, Call, Request, prepare
from experiments.endpoints.ledger import Ledger
from experiments.store.cache import digest


@dataclass(frozen=True)
class Usage:
    """Totals of one folder, over all calls; costs in US dollars by the endpoint's prices at the time."""

    requests: int  # sent, every attempt
    answers: int
    tokens_in: int  # of the answers
    tokens_out: int
    cost: float  # of the answers
    lost: float  # at most, for requests whose answer did not arrive and that may have been paid for


class Chat:
    """One endpoint, and the folder that keeps its answers.

    max_cost: US dollars for all requests of this folder. Before a request is sent, its highest cost is set aside:
    `max_tokens` of reply and a token for every byte of the prompt. If that would exceed max_cost together with what is
    paid, under way and lost, nothing more is sent. This holds as long as the prices are those of the provider and it
    charges no more tokens than that.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, max_cost: float) -> None:
        self.endpoint, self.max_cost = endpoint, max_cost
        self._ledger = Ledger(Path(folder) / "answers.jsonl")

    def answers(self, requests: Sequence[Request], label: str) -> list[Answer | None]:
        """An answer to every request, from the folder or else from the server; equal requests are sent once.

        None if all attempts failed, the server refuses this request, or max_cost was reached; a later call tries again.
        label: names the work in progress notes. UserError if the server cannot be reached or refuses the key or the
        model; answers received until then are kept. On several hosts, the leader calls this.
        """
        names = [self._name(request) for request in requests]
        with self._ledger.locked():
            missing = self._missing(requests, names)
            if missing:
                self._ask(missing, len(set(names)) - len(missing), label)
            found = self._ledger.answers
            return [Answer(**found[name]) if name in found else None for name in names]

    def estimate(self, requests: Sequence[Request]) -> float:
        """The highest cost in US dollars of the requests without an answer, if none has to be repeated."""
        return sum(call.cost for call in self._missing(requests, [self._name(request) for request in requests]))

    @property
    def usage(self) -> Usage:
        answers = self._ledger.answers.values()
        return Usage(
            requests=self._ledger.requests,
            answers=len(answers),
            tokens_in=sum(answer["tokens_in"] for answer in answers),
            tokens_out=sum(answer["tokens_out"] for answer in answers),
            cost=self._ledger.paid,
            lost=self._ledger.possible,
        )

    def _ask(self, calls: Sequence[Call], known: int, label: str) -> None:
        key = access.key(self.endpoint)
        access.package("openai")
        from experiments.endpoints.asking import Asking  # imports the client, which takes a second

        asyncio.run(Asking(self.endpoint, self._ledger, self.max_cost, label).run(key, calls, known))

    def _missing(self, requests: Sequence[Request], names: Sequence[str]) -> list[Call]:
        wanted = dict(zip(names, requests, strict=True))
        return [
            prepare(self.endpoint, name, request)
            for name, request in wanted.items()
            if name not in self._ledger.answers
        ]

    def _name(self, request: Request) -> str:
        messages = [message.fields() for message in request.messages]
        return digest([self.endpoint.url, self.endpoint.model, {**vars(request), "messages": messages}])
