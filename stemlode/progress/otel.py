"""OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` is installed.

Every process of a run exports for itself. The launcher's attempt is the trace: its id is known to
all workers, so that their spans join it without any message between them. Metrics have the names of
`meters`. Free of Beam.
"""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORT_MS = 10_000  # between two exports of metrics
WAIT_MS = 3_000  # that the end of a process waits for the collector
_STATE: dict[str, Any] = {}
_LOCK = threading.Lock()


def is_wanted() -> bool:
    """Whether the environment names a collector."""
    return bool(os.environ.get(VARIABLE)) and not os.environ.get("OTEL_SDK_DISABLED")


def count(verb: str, name: str, number: float) -> None:
    """Add to a counter."""
    if number and (tools := _tools()) is not None:
        tools.counter(name).add(number, {"verb": verb})


def observe(verb: str, name: str, value: float) -> None:
    """A value of a histogram."""
    if (tools := _tools()) is not None:
        tools.histogram(name).record(value, {"verb": verb})


@contextlib.contextmanager
def span(
    verb: str, stage: str, key: str, attempt: str, *, root: bool = False, **facts: Any
) -> Iterator[None]:
    """While something is done; `root`: by the launcher, for the whole run."""
    tools = _tools()
    if tools is None:
        yield
        return
    attributes = {"verb": verb, "stage": stage, "key": key, **facts}
    with tools.span(f"{verb} {stage}".strip(), attributes, attempt, root=root):
        yield


def flush() -> None:
    """Send what there is; a collector that does not answer is waited for a little while."""
    tools = _STATE.get("tools")
    if tools is not None and _STATE.get("process") == os.getpid():
        tools.flush()


class _Tools:
    """The providers of a process."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter,
        )
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
            PeriodicExportingMetricReader,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        resource = Resource.create(
            {"service.name": os.environ.get("OTEL_SERVICE_NAME", "stemlode")}
        )
        exporter = OTLPMetricExporter(timeout=WAIT_MS / 1000)
        reader = PeriodicExportingMetricReader(exporter, EXPORT_MS, WAIT_MS)
        self.metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
        ids: Any = _Ids()
        self.ids = ids
        self.traces = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=WAIT_MS / 1000)))
        self.meter = self.metrics.get_meter("stemlode")
        self.tracer = self.traces.get_tracer("stemlode")
        self.made: dict[str, Any] = {}

    def counter(self, name: str) -> Any:
        return self.made.setdefault(name, None) or self._make(name, self.meter.create_counter)

    def histogram(self, name: str) -> Any:
        return self.made.setdefault(name, None) or self._make(name, self.meter.create_histogram)

    def _make(self, name: str, make: Any) -> Any:
        unit = "ms" if name.endswith("_ms") else "s" if name.endswith("_seconds") else "1"
        self.made[name] = made = make(name, unit=unit)
        return made

    @contextlib.contextmanager
    def span(
        self, name: str, attributes: dict[str, Any], attempt: str, *, root: bool
    ) -> Iterator[None]:
        from opentelemetry import trace  # noqa: PLC0415

        trace_id, span_id = int(attempt, 16), int(attempt[:16], 16)
        if root:
            self.ids.next = (trace_id, span_id)
            context = None
        else:
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            above = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(above))
        with self.tracer.start_as_current_span(name, context, attributes=attributes):
            yield

    def flush(self) -> None:
        with contextlib.suppress(Exception):
            self.traces.force_flush(WAIT_MS)
        with contextlib.suppress(Exception):
            self.metrics.force_flush(WAIT_MS)


class _Ids:
    """Random ids, but for the span of the launcher, whose ids all workers know."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

        self.random = RandomIdGenerator()
        self.next: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.next[0] if self.next else self.random.generate_trace_id()

    def generate_span_id(self) -> int:
        if self.next:
            (_, span_id), self.next = self.next, None
            return span_id
        return self.random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        return True


def _tools() -> _Tools | None:
    """This process' own, made when first asked for."""
    if not is_wanted():
        return None
    if _STATE.get("process") == os.getpid():
        return _STATE["tools"]
    with _LOCK:
        if _STATE.get("process") != os.getpid():
            _STATE.update(process=os.getpid(), tools=_made())
    return _STATE["tools"]


def _made() -> _Tools | None:
    try:
        tools = _Tools()
    except ImportError:
        print(
            f"note: {VARIABLE} is set, and nothing is exported: pip install 'stemlode[otel]'",
            file=sys.stderr,
        )
        return None
    import logging  # noqa: PLC0415 - only here

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # an absent collector is no news
    atexit.register(flush)
    return tools
