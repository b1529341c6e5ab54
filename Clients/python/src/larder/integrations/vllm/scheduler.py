"""The half of the connector beside vLLM's scheduler: what to load and to save, and under which names."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any

from ... import Model
from ..recent import Recent
from .keys import KeyChain, adapter_context
from .link import Link
from .lookup import Lookup, Lookups
from .naming import Place, content_session, hinted_session, place_of
from .options import Options
from .plan import LoadPlan, SavePlan, StepPlan
from .tally import Tally

#: Seconds that the scheduler itself waits for a lookup before it turns to other requests and asks again.
PATIENCE_SECONDS = 0.02
#: Seconds after which an answer is asked for anew.
STALE_SECONDS = 1.0
#: Seconds for which a chunk that could not be loaded is not tried again, and how many such chunks are remembered.
BAD_SECONDS = 10.0
BAD_KEYS = 4096
#: Adapters whose files' digests are remembered.
ADAPTERS = 256


@dataclass
class Tracked:
    """A request that vLLM's scheduler knows of."""

    request: Any
    place: Place
    chain: KeyChain
    hint: str | None
    lookup: Lookup | None = None
    #: Chunks that are in the store, as far as is known.
    known: int = 0
    #: Chunks that were given to be saved, or were known when the first was.
    saved: int = 0
    #: Tokens that were promised by the load under way, and before it.
    promised: int = 0
    failed: bool = False
    session: str | None = None
    counted: bool = False


@dataclass
class Workers:
    """What the workers said of themselves: their models in order of rank, or why there is no store."""

    models: list[Model] = field(default_factory=list)
    refused: str = ""


class SchedulerHalf:
    """Decides what is loaded and saved.

    Args:
        options: the connector's options.
        block_tokens: tokens of vLLM's blocks.
        hash_tokens: tokens of the blocks that vLLM hashes.
        source: called once requests come: the algorithm of vLLM's block hashes if they are the same in every process,
            else empty.
        roles: whether state is loaded, and saved.
        log: where it is said what is wrong.
    """

    def __init__(
        self,
        options: Options,
        block_tokens: int,
        hash_tokens: int,
        source: Any,
        roles: tuple[bool, bool],
        log: logging.Logger,
    ) -> None:
        self.tally = Tally(log, "scheduler")
        self._options = options
        self._block_tokens = block_tokens
        self._hash_tokens = hash_tokens
        self._source_of = source
        self._source: str | None = None
        self._loads, self._saves = roles
        self._pattern = re.compile(options.session_pattern)
        self._workers: Workers | None = None
        self._tracked: dict[str, Tracked] = {}
        self._plans: list[LoadPlan] = []
        self._salts: dict[str, Place] = {}
        self._adapters: Recent[tuple[str, str], bytes] = Recent(ADAPTERS)
        self._bad: dict[bytes, float] = {}
        link = Link(options.socket, "vllm scheduler", options.lookup_timeout_seconds, self.tally, options.ttl_seconds)
        self._lookups = Lookups(link, self.tally)

    def serve(self, workers: Workers) -> None:
        """Takes up what the workers said of themselves."""
        self._workers = workers
        if workers.refused:
            self.tally.warn_once("refused", f"no state is kept: {workers.refused}")
            return
        self._lookups.serve(workers.models)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk; 0 if nothing is kept."""
        return self._workers.models[0].page_tokens if self._workers and self._workers.models else 0

    # Loading.

    def matched(self, request: Any, local: int) -> tuple[int | None, bool]:
        """Tokens that can be loaded behind the first ``local``, and whether they are; None to be asked again."""
        tracked = self._track(request)
        if tracked is None or not self._loads or tracked.failed:
            return 0, False
        tokens = self.chunk_tokens
        keys = self._good(tracked.chain.up_to(request.num_tokens - 1))
        if len(keys) * tokens <= local:
            return 0, False
        if tracked.lookup is None or (tracked.lookup.done.is_set() and tracked.lookup.age > STALE_SECONDS):
            tracked.lookup = self._lookups.ask(tracked.place, keys)
        lookup = tracked.lookup
        if not lookup.done.wait(max(0.0, PATIENCE_SECONDS - lookup.age)):
            if lookup.age < self._options.lookup_timeout_seconds:
                return None, False
            self._missed(tracked, "lookup took too long")
            tracked.failed = True
            return 0, False
        tracked.known = max(tracked.known, lookup.matched)
        more = lookup.matched * tokens - local
        if more < max(1, self._options.minimum_tokens):
            self._missed(tracked, "too little to load" if more > 0 else lookup.why)
            return 0, False
        return more, True

    def allocated(self, request: Any, block_ids: list[int], tokens: int) -> None:
        """Blocks were allocated for ``tokens`` tokens to be loaded."""
        tracked = self._tracked.get(request.request_id)
        if tracked is None or not tokens or tracked.lookup is None:
            return
        chunk = self.chunk_tokens
        end = tracked.lookup.matched
        first = end - -(-tokens // chunk)
        keys = tracked.chain.up_to(end * chunk)
        tracked.promised = end * chunk
        self.tally.count("tokens to load", tokens)
        self._plans.append(
            LoadPlan(
                request.request_id,
                tracked.place,
                self._content_session(tracked),
                first,
                tuple(keys[first:end]),
                tuple(block_ids),
            )
        )

    def loaded(self, request_ids: set[str]) -> None:
        """Loads are over. vLLM has set how many tokens of each are there."""
        for request_id in request_ids:
            tracked = self._tracked.get(request_id)
            if tracked is None or not tracked.promised:
                continue
            there = tracked.request.num_computed_tokens
            if there < tracked.promised:
                tracked.failed = True
                tracked.known = there // self.chunk_tokens
                if len(self._bad) < BAD_KEYS:
                    key = tracked.chain.up_to(tracked.promised)[tracked.known]
                    self._bad[key] = time.monotonic() + BAD_SECONDS
                self.tally.count("requests that recompute after a failed load")
            else:
                self.tally.count("requests with a hit")
            self.tally.count("tokens loaded", min(there, tracked.promised))
            tracked.promised = 0

    def _good(self, keys: list[bytes]) -> list[bytes]:
        """The keys before the first that could not be loaded lately."""
        if not self._bad:
            return keys
        now = time.monotonic()
        self._bad = {key: until for key, until in self._bad.items() if until > now}
        return keys[: next((number for number, key in enumerate(keys) if key in self._bad), len(keys))]

    def _missed(self, tracked: Tracked, why: str) -> None:
        if not tracked.counted:
            tracked.counted = True
            self.tally.count(f"requests without a hit: {why}")

    # Saving.

    def step(self, scheduled: dict[str, int], blocks_of: Any) -> StepPlan:
        """The plan of a step: loads that were allocated, and chunks that the step completes.

        Args:
            scheduled: tokens of each request that this step computes.
            blocks_of: gives the block ids of a request.
        """
        plan = StepPlan(loads=self._plans)
        self._plans = []
        if self._saves and self.chunk_tokens:
            for request_id, tokens in scheduled.items():
                tracked = self._tracked.get(request_id)
                save = self._save(tracked, tokens, blocks_of) if tracked is not None else None
                if save is not None:
                    plan.saves.append(save)
        self.tally.report()
        return plan

    def _save(self, tracked: Tracked, scheduled: int, blocks_of: Any) -> SavePlan | None:
        """The chunks of a request that are whole after this step. Only tokens that are settled count: what a draft
        model guessed may be computed anew, over the same blocks."""
        request = tracked.request
        settled = min(request.num_computed_tokens + scheduled, request.num_tokens)
        keys = tracked.chain.up_to(settled)
        if len(keys) <= max(tracked.saved, tracked.known):
            return None
        block_ids = blocks_of(request.request_id)
        if block_ids is None or len(block_ids) * self._block_tokens < len(keys) * self.chunk_tokens:
            return None
        first = max(tracked.saved, tracked.known)
        tracked.saved = len(keys)
        self.tally.count("chunks to save", len(keys) - first)
        session = tracked.hint or self._content_session(tracked)
        return SavePlan(
            request.request_id, tracked.place, session, tracked.hint is not None, tuple(keys), first, tuple(block_ids)
        )

    def _content_session(self, tracked: Tracked) -> str:
        """The session that is named by the content of the whole prompt."""
        if tracked.session is None:
            keys = tracked.chain.up_to(tracked.request.num_prompt_tokens)
            keys = keys or tracked.chain.up_to(tracked.request.num_tokens)
            tracked.session = content_session(keys[-1])
        return tracked.session

    # Requests.

    def ended(self, request_id: str) -> None:
        """vLLM forgets a request."""
        self._tracked.pop(request_id, None)

    def close(self) -> None:
        """Ends the lookups, and says what was counted."""
        self._lookups.close(self._options.lookup_timeout_seconds)
        self.tally.report(force=True)

    def _track(self, request: Any) -> Tracked | None:
        tracked = self._tracked.get(request.request_id)
        if tracked is not None or not self.chunk_tokens:
            return tracked
        if getattr(request, "prompt_embeds", None) is not None:
            self.tally.count("requests without a store: prompt embeddings")
            return None
        place = self._place(request.cache_salt)
        context = self._context(request.lora_request)
        if place is None or context is None:
            return None
        if self._source is None:
            self._source = self._source_of()
        chain = KeyChain(request, self.chunk_tokens, self._hash_tokens, context, self._source)
        hint = hinted_session(request.request_id, request.kv_transfer_params, self._pattern)
        tracked = self._tracked[request.request_id] = Tracked(request, place, chain, hint)
        self.tally.count("requests")
        return tracked

    def _place(self, salt: str | None) -> Place | None:
        if not salt:
            return place_of(self._options.namespace, None)
        place = self._salts.get(salt)
        if place is None:
            if len(self._salts) >= self._options.salted_namespaces:
                self.tally.count("requests without a store: too many salts")
                self.tally.warn_once(
                    "salts",
                    f"more than {len(self._salts)} values of cache_salt; further ones go without a store. A salt "
                    "is for a tenant, not for a request; raise salted_namespaces if there are so many tenants",
                )
                return None
            place = self._salts[salt] = place_of(self._options.namespace, salt)
        return place

    def _context(self, adapter: Any) -> bytes | None:
        """What of a LoRA adapter goes into keys; None if its files cannot be read."""
        if not adapter:
            return b""
        name = (adapter.lora_name, adapter.lora_path)
        context = self._adapters.get(name)
        if context is None:
            try:
                context = adapter_context(*name, self._options.lora_digest)
            except (OSError, ValueError) as error:
                self.tally.count("requests without a store: adapter")
                self.tally.warn_once(
                    "adapter",
                    f"state of an adapter is not kept: {error}. Set lora_digest to false if its "
                    "name and path are identity enough",
                )
                return None
            self._adapters[name] = context
        return context
