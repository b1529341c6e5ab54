"""What vLLM calls: ``LarderConnector``, on vLLM's KVConnectorBase_V1.

Everything that vLLM calls here returns in bounded time and raises nothing: where something goes wrong, it is said once,
and the engine computes what was not loaded.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorRole,
    KVConnectorTransferResults,
    SupportsHMA,
)
from vllm.logger import init_logger

from . import facts
from .identity import model_of
from .layout import KVCache, Unsupported
from .options import Options
from .plan import StepPlan
from .scheduler import SchedulerHalf, Workers
from .worker import Introduction, WorkerHalf

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.outputs import KVConnectorOutput
    from vllm.v1.request import Request

P = ParamSpec("P")
R = TypeVar("R")

logger: logging.Logger = init_logger("vllm.larder")


class Metadata(KVConnectorMetadata):
    """A step's plan, from the scheduler's half to the workers'."""

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan


class Handshake(KVConnectorHandshakeMetadata):
    """What a worker says of itself, to the scheduler's half."""

    def __init__(self, introduction: Introduction) -> None:
        self.introduction = introduction


def quiet(otherwise: Callable[[], Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keeps a method from raising into the engine: what it would raise is logged, once for each method, and
    ``otherwise()`` is returned."""

    def wrap(method: Callable[P, R]) -> Callable[P, R]:
        said: list[str] = []

        @functools.wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(*args, **kwargs)
            except Exception:  # noqa: BLE001: whatever it is, the engine must go on.
                if not said:
                    said.append(method.__name__)
                    logger.exception("Larder: a fault of the connector in %s; the engine goes on", method.__name__)
                return cast(R, otherwise())

        return guarded

    return wrap


class LarderConnector(KVConnectorBase_V1, SupportsHMA):
    """Pages vLLM's KV cache to Larder and back. See the package's page for how."""

    def __init__(self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig) -> None:
        super().__init__(vllm_config=vllm_config, role=role, kv_cache_config=kv_cache_config)
        transfer = self._kv_transfer_config
        self._refused = ""
        try:
            options = Options.parse(transfer.kv_connector_extra_config)
        except ValueError as error:
            options, self._refused = Options(), f"kv_connector_extra_config: {error}"
        self._options = options
        self._scheduler: SchedulerHalf | None = None
        self._worker: WorkerHalf | None = None
        if role == KVConnectorRole.SCHEDULER:
            if transfer.kv_load_failure_policy != "recompute":
                # What cannot be loaded is computed. vLLM's default, to fail the request, would make a store that is
                # gone an outage.
                transfer.kv_load_failure_policy = "recompute"
                logger.info("Larder: kv_load_failure_policy is set to recompute")
            self._scheduler = SchedulerHalf(
                options,
                facts.block_tokens(vllm_config, kv_cache_config),
                facts.hash_tokens(vllm_config, kv_cache_config),
                lambda: facts.stable_hashes(vllm_config, logger),
                (transfer.is_kv_consumer, transfer.is_kv_producer),
                logger,
            )
        else:
            self._worker = WorkerHalf(options, facts.step_tokens(vllm_config), logger)
            if self._refused:
                self._worker.refuse(self._refused)

    @property
    def requires_kv_delivery(self) -> bool:
        """False: what is not saved is computed again some day, and no request has to be for it."""
        return False

    # The workers' half.

    def register_kv_caches(self, kv_caches: dict[str, Any]) -> None:
        """Looks at the KV cache, finds out what makes its state interchangeable, and begins to serve."""
        worker = self._worker
        if worker is None or self._refused:
            return
        try:
            refused = facts.unsupported(self._vllm_config, self._kv_cache_config)
            if refused:
                raise Unsupported(refused)
            cache = KVCache(
                facts.own_tensors(kv_caches),
                facts.block_tokens(self._vllm_config, self._kv_cache_config),
                facts.halves_are_split(self._vllm_config, kv_caches),
                self._options.chunk_tokens,
            )
            shared = facts.gathered(self._vllm_config, kv_caches)
            weights = self._options.weights_id or facts.weights(self._vllm_config)
            model = model_of(cache, shared, self._vllm_config.model_config.model, weights, facts.group())
            worker.register(cache, model)
            logger.info(
                "Larder: keeps %s, %d layers, chunks of %d tokens and %d bytes; weights %s; revision %s",
                model.name,
                cache.geometry.layers,
                cache.geometry.chunk_tokens,
                cache.geometry.chunk_bytes,
                model.weights,
                model.revision,
            )
            logger.debug("Larder: state depends on %s", shared)
        except Unsupported as error:
            worker.refuse(str(error))
            logger.warning("Larder: no state is kept: %s", error)
        except Exception as error:  # noqa: BLE001: whatever it is, the engine must go on.
            worker.refuse(f"a fault of the connector: {error!r}")
            logger.exception("Larder: no state is kept")

    @quiet(lambda: None)
    def get_handshake_metadata(self) -> KVConnectorHandshakeMetadata | None:
        """The model that this worker declares, or why it serves nothing."""
        return Handshake(self._worker.introduction) if self._worker is not None else None

    def _plan(self) -> StepPlan | None:
        metadata = self._connector_metadata
        return metadata.plan if isinstance(metadata, Metadata) else None

    @quiet(lambda: None)
    def bind_connector_metadata(self, connector_metadata: KVConnectorMetadata) -> None:
        """The plan of the step that begins."""
        super().bind_connector_metadata(connector_metadata)
        plan = self._plan()
        if self._worker is not None and plan is not None and plan.saves:
            self._worker.begin_saves(plan)

    @quiet(lambda: None)
    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Begins the loads of the step. They are done between steps: no layer of this one reads them."""
        plan = self._plan()
        if self._worker is not None and plan is not None:
            self._worker.begin_loads(plan)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing to wait for: a request is computed only when all its layers are in place."""

    @quiet(lambda: None)
    def save_kv_layer(self, layer_name: str, kv_layer: Any, attn_metadata: Any, **kwargs: Any) -> None:
        """Copies what the step completed in a layer out of the KV cache."""
        if self._worker is not None:
            self._worker.copy_layer(layer_name)

    def wait_for_save(self) -> None:
        """The end of a step: what was copied goes to the thread that pages out, and the step's blocks are free."""
        if self._worker is None:
            return
        try:
            self._worker.end_saves()
        except Exception:  # noqa: BLE001: whatever it is, the engine must go on.
            self._worker.abandon_saves()
            logger.exception("Larder: a fault of the connector while it saved; the engine goes on")

    @quiet(lambda: (None, None))
    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        """No saves (they hold no blocks), and the requests whose loads are over."""
        if self._worker is None:
            return None, None
        self._worker.ended(finished_req_ids)
        return None, self._worker.loads_over()[0]

    @quiet(KVConnectorTransferResults)
    def get_transfer_results(self, finished_req_ids: set[str]) -> KVConnectorTransferResults:
        """The requests whose loads are over. What is missing of those that failed is told block by block."""
        received = self.get_finished(finished_req_ids)[1]
        return KVConnectorTransferResults(finished_recving=received or set())

    @quiet(set)
    def get_block_ids_with_load_errors(self) -> set[int]:
        """Blocks that were to be loaded and were not; vLLM computes their requests from the first of them on."""
        return self._worker.bad_blocks() if self._worker is not None else set()

    @quiet(lambda: None)
    def shutdown(self) -> None:
        """Ends the threads; waits for what is being stored, for a bounded time."""
        if self._worker is not None:
            self._worker.close()
        if self._scheduler is not None:
            self._scheduler.close()

    # The scheduler's half.

    @quiet(lambda: None)
    def set_xfer_handshake_metadata_pp_aware(self, metadata: dict[tuple[int, int], Any]) -> None:
        """What the workers said of themselves, by pipeline and tensor rank."""
        if self._scheduler is None:
            return
        introductions = [one.introduction for _, one in sorted(metadata.items()) if isinstance(one, Handshake)]
        refused = self._refused or next((one.refused for one in introductions if one.refused), "")
        models = sorted((one.model for one in introductions if one.model), key=lambda model: model.rank)
        if not refused and [model.rank for model in models] != list(range(models[0].group_size if models else 1)):
            refused = f"of the parallel group's workers only {len(models)} serve"
        self._scheduler.serve(Workers([] if refused else models, refused))

    @quiet(lambda: (0, False))
    def get_num_new_matched_tokens(self, request: Request, num_computed_tokens: int) -> tuple[int | None, bool]:
        """Tokens that are stored behind those that vLLM has; None while that is being asked."""
        return self._scheduler.matched(request, num_computed_tokens) if self._scheduler is not None else (0, False)

    @quiet(lambda: None)
    def update_state_after_alloc(self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int) -> None:
        """Blocks for a load are there."""
        if self._scheduler is not None and num_external_tokens:
            self._scheduler.allocated(request, blocks.get_block_ids()[0], num_external_tokens)

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> KVConnectorMetadata:
        """The plan of a step."""
        return Metadata(self._step(scheduler_output))

    @quiet(StepPlan)
    def _step(self, scheduler_output: SchedulerOutput) -> StepPlan:
        if self._scheduler is None:
            return StepPlan()
        state = scheduler_output.kv_connector_block_state

        def blocks_of(request_id: str) -> list[int] | None:
            groups = state.get_block_ids(request_id) if state is not None else None
            return groups[0] if groups else None

        return self._scheduler.step(scheduler_output.num_scheduled_tokens, blocks_of)

    @quiet(lambda: None)
    def update_connector_output(self, connector_output: KVConnectorOutput) -> None:
        """What came of loads."""
        if self._scheduler is not None and connector_output.finished_recving:
            self._scheduler.loaded(connector_output.finished_recving)

    @quiet(lambda: (False, None))
    def request_finished(self, request: Request, block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        """A request has ended. Its blocks may go at once: what is saved was copied."""
        if self._scheduler is not None:
            self._scheduler.ended(request.request_id)
        return False, None

    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        """``request_finished`` where there are several groups of blocks."""
        return self.request_finished(request, [])

    def reset_cache(self) -> bool | None:
        """Nothing is kept in this process that could be reset; what is stored stays."""
        return True
