"""What the pipeline asks of its parts; each can be tested alone, and stands behind one of these."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from consumer.answer import Answer, Unanswerable
from consumer.batch import Batch, Item, Lease, Outgoing
from schemas import AnsweredBy, DeadLetterReason


class Engine(Protocol):
    """The model: texts in, answers out."""

    def model_text(self, text: str) -> str:
        """The text as the model sees it. Called from the prepare stage."""
        ...

    def begin(self, model_texts: Sequence[str]) -> "Future[list[Answer | Unanswerable]]":
        """Ask for one answer per text, in order, and return at once; what is returned raises when the model itself is
        broken. Called from the prepare stage."""
        ...


class Cache(Protocol):
    """Answers to texts seen before; thread-safe, and never raises or delays for more than its timeout."""

    def lookup(self, keys: Iterable[bytes]) -> Mapping[bytes, tuple[Answer, AnsweredBy]]:
        """Look in memory, then in Redis."""
        ...

    def store(self, answers: Mapping[bytes, Answer]) -> None:
        """Keep answers; returns at once."""
        ...


class Source(Protocol):
    """Where batches come from; used by the thread that calls `Pipeline.run`."""

    def take(self, timeout_s: float) -> Batch | None:
        """What has arrived, or None after `timeout_s`; raises when it cannot be read any more."""
        ...

    def put_back_pressure(self) -> None:
        """Stop fetching and stay a member; blocks a moment."""
        ...

    def serve_offsets(self) -> bool:
        """Do what offsets need of this thread; fetches nothing, takes a moment; True when nothing is left to do. Called
        while `take` is not."""
        ...

    def release(self) -> None:
        """Fetch again after back-pressure."""
        ...


class InFlight(Protocol):
    """Counts batches in flight, so that a revoke can wait for them."""

    def took(self, leases: Iterable[Lease]) -> None:
        """A batch of these leases entered the pipeline."""
        ...

    def finished(self, leases: Iterable[Lease]) -> None:
        """It has left it, checkpointed or dropped."""
        ...

    def abandon(self) -> None:
        """Nothing in flight will be finished any more: let no revoke wait for it."""
        ...


class Checkpoint(Protocol):
    """Makes the outcome of batches durable, and says so to the leases (`InFlight.finished`). Used by the publish stage
    only; everything raises when the process must end."""

    def complete(self, messages: Sequence[Outgoing], next_offsets: Mapping[Lease, int]) -> None:
        """Publish a batch; it is durable now or after a later `serve` or `finish`, in order."""
        ...

    def serve(self) -> float:
        """Called between batches; returns after how many seconds at most it wants to be called again."""
        ...

    def finish(self) -> None:
        """No more batches will come: make all of them durable."""
        ...


class Observer(Protocol):
    """Is told what becomes of batches, for metrics and traces. Called from several threads; fast, and never raises."""

    def taken(self, batch: Batch) -> None:
        """A batch was read and is about to enter the pipeline. May set its items' `added_headers`."""
        ...

    def worked(self, stage: str, waited_s: float, took_s: float) -> None:
        """A stage is done with a batch that had waited for it."""
        ...

    def out(self, batch: Batch, held: Sequence[Item]) -> None:
        """The batch has left the pipeline: the outcomes of `held` are published; the others were left to another
        member. Called once for every batch that was taken, unless a stage fails."""
        ...


class Alarm(Protocol):
    """Watches the share of dead letters."""

    def count(self, reasons: Sequence[DeadLetterReason | None]) -> None:
        """One per record that came out, None for a tagged comment. Called from the publish stage."""
        ...

    def poll(self) -> bool:
        """Whether nothing more should be read until a person says so. Called by the thread that calls `run`, at least
        about every 0.1 s."""
        ...
