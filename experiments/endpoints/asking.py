"""One round of requests to a chat server: several at once, repeated if that can help, within the cost cap."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import openai

from experiments.config import Endpoint
from experiments.endpoints import pace
from experiments.endpoints.call import Call, dollars, read
from experiments.endpoints.failures import Failure, failure
from experiments.endpoints.ledger import Ledger
from jaxft.errors import UserError

log = logging.getLogger("jaxft")

#: Seconds between two progress notes, and seconds to connect.
NOTE_SECONDS, CONNECT_SECONDS = 15.0, 10.0


class Asking:
    """The workers of one round and their shared state; all in one thread, so no lock is needed."""

    def __init__(self, endpoint: Endpoint, ledger: Ledger, max_cost: float, label: str) -> None:
        self.endpoint, self.ledger, self.max_cost, self.label = endpoint, ledger, max_cost, label
        self._pace = pace.Pace(endpoint.requests_per_minute)
        self._under_way = 0
        self._settled = asyncio.Condition()
        self._stop: UserError | None = None
        self._capped = False
        self._given_up = 0
        self._refused: Counter[str] = Counter()

    async def run(self, key: str, calls: Sequence[Call], known: int) -> None:
        """Send requests until every call is answered, given up or beyond the cap. UserError if no call can be answered.

        known: the number of answers that the ledger already had for this round, for the notes.
        """
        before, waiting = len(self.ledger.answers), iter(calls)
        # On a kept connection the client takes an answer that is delivered twice for the answer to its next request.
        # Attempts and time limits are decided only here.
        async with openai.AsyncOpenAI(
            api_key=key,
            base_url=self.endpoint.url,
            max_retries=0,
            timeout=openai.Timeout(None, connect=min(CONNECT_SECONDS, self.endpoint.timeout)),
            default_headers={"Connection": "close"},
        ) as client:
            telling = asyncio.create_task(self._tell(before, known, len(calls)))
            workers = [asyncio.create_task(self._work(client, waiting)) for _ in range(self.endpoint.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:  # after a full disk or an interruption in one of them, the others send no more
                for task in (telling, *workers):
                    task.cancel()
                await asyncio.gather(telling, *workers, return_exceptions=True)
        answered = len(self.ledger.answers) - before
        log.info(f"{self.label}: {self._standing(known + answered, known + len(calls))}")
        self._conclude(answered, len(calls))

    async def _work(self, client: openai.AsyncOpenAI, waiting: Iterator[Call]) -> None:
        for call in waiting:
            await self._ask(client, call)
            if self._stop or self._capped:
                return

    async def _ask(self, client: openai.AsyncOpenAI, call: Call) -> None:
        """Send one call until it is answered, or until attempts or money are used up or no repetition can help."""
        failed: list[Failure] = []
        while len(failed) < self.endpoint.attempts:
            if failed:
                await asyncio.sleep(pace.backoff(len(failed)))
            await self._pace.turn()
            if self._stop or not await self._may_cost(call.cost):
                return
            problem = await self._send(client, call)
            if problem is None:
                return
            failed.append(problem)
            if problem.stop or not problem.again:
                self._stop = self._stop or problem.stop
                self._refused[problem.said] += problem.stop is None
                return
            self._pace.hold(problem.hold)
        self._given_up += 1
        if not any(one.connected for one in failed):
            self._stop = UserError(
                f"{self.endpoint.url}: cannot be reached ({failed[-1].said}); look at the address and the network, "
                "then run again"
            )

    async def _send(self, client: openai.AsyncOpenAI, call: Call) -> Failure | None:
        sending = self.ledger.send(call.name, call.cost)
        self._under_way += 1
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                response = await client.chat.completions.with_raw_response.create(**call.body)
            answer = read(response.text, call.tokens_in, call.tokens_out)
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            problem = failure(error, self.endpoint)
            if not problem.charged:
                self.ledger.free(sending)
            return problem
        else:
            self.ledger.answer(sending, dollars(self.endpoint, answer["tokens_in"], answer["tokens_out"]), answer)
            return None
        finally:
            self._under_way -= 1
            async with self._settled:
                self._settled.notify_all()

    async def _may_cost(self, cost: float) -> bool:
        """Wait for the requests under way if necessary; true if this further cost is within the cap."""

        def fits() -> bool:
            return self.ledger.paid + self.ledger.possible + cost <= self.max_cost

        async with self._settled:
            await self._settled.wait_for(lambda: fits() or not self._under_way)
        self._capped = self._capped or not fits()
        return not self._capped

    async def _tell(self, before: int, known: int, wanted: int) -> None:
        start = time.monotonic()
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            answered = len(self.ledger.answers) - before
            left = (wanted - answered) * (time.monotonic() - start) / max(answered, 1) / 60
            ahead = f", about {left:.0f} min left" if answered else ""
            log.info(f"{self.label}: {self._standing(known + answered, known + wanted)}{ahead}")

    def _standing(self, answered: int, wanted: int) -> str:
        return f"{answered} of {wanted} answered, {self.ledger.paid:.4f} of {self.max_cost:g} US dollars paid"

    def _conclude(self, answered: int, wanted: int) -> None:
        """Report the calls without an answer and the reasons. UserError if that is every call."""
        if self._stop:
            raise self._stop
        if refused := self._refused.total():
            said = self._refused.most_common(1)[0][0]
            if refused == wanted:
                raise UserError(f"{self.endpoint.url}: refuses every request: {said}")
            log.info(f"{self.label}: {refused} requests refused by the server and left out: {said}")
        if self._given_up:
            log.info(
                f"{self.label}: {self._given_up} requests without an answer after {self.endpoint.attempts} attempts"
            )
        if self._capped:
            rest = wanted - answered - self._given_up - refused
            log.info(
                f"{self.label}: {rest} requests were not sent, as they could cost more than max_cost leaves, "
                f"{self.max_cost:g} US dollars in all; raise it and run again, the answers are kept"
            )
