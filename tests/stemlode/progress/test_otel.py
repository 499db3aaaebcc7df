"""What a run exports, as a collector receives it."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stemlode.progress import meters, otel
from stemlode.runs import Run

KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    got: list = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                data = gzip.decompress(data)
            got.append(KINDS[self.path].FromString(data))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(otel.VARIABLE, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(otel, "_STATE", {})
    yield got
    server.shutdown()


def test_spans_and_metrics_reach_a_collector(collector: list, tmp_path: Path) -> None:
    run, attempt = Run("prune", str(tmp_path), {}, {}, time.time()), "ab" * 16
    with otel.span("prune", "", str(tmp_path), attempt, root=True):
        meters.begin(run, attempt).reject("prune", "t", "silent", "why")
        with meters.item("pairs", "song", 2):
            meters.observe("decode_ms", 5.0)
        meters.end()
    otel.flush()
    spans, metrics = {}, {}
    for request in collector:
        for resource in getattr(request, "resource_spans", ()):
            spans |= {s.name: s for scope in resource.scope_spans for s in scope.spans}
        for resource in getattr(request, "resource_metrics", ()):
            metrics |= {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    assert {*spans} == {"prune", "prune pairs"}
    assert {span.trace_id.hex() for span in spans.values()} == {attempt}
    assert spans["prune pairs"].parent_span_id == spans["prune"].span_id == bytes.fromhex("ab" * 8)
    assert metrics["pairs"].sum.data_points[0].as_int == 2
    assert metrics["rejects/silent"].sum.data_points[0].as_int == 1
    assert metrics["decode_ms"].histogram.data_points[0].sum == 5.0


def test_without_an_endpoint_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(otel.VARIABLE, raising=False)
    monkeypatch.setattr(otel, "_STATE", {})
    otel.count("verb", "x", 1)
    assert otel._STATE == {}


def test_without_the_extra_a_note_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise ImportError("opentelemetry")

    monkeypatch.setenv(otel.VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setattr(otel, "_STATE", {})
    monkeypatch.setattr(otel, "_Tools", missing)
    otel.count("verb", "x", 1)
    otel.count("verb", "x", 1)
    assert capsys.readouterr().err.count("stemlode[otel]") == 1
