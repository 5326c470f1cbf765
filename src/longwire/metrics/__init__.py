"""Metrics and tracing of servers, clients and RPC: Prometheus and OpenTelemetry.

Counters that each connection keeps anyway are read when somebody asks; nothing is done
for a message. The extra ``metrics`` brings ``prometheus-client``, ``tracing`` brings
``opentelemetry-api``; neither is imported before it is needed.
"""

from .metrics import Metrics
from .tracing import Tracing

__all__ = ["Metrics", "Tracing"]
