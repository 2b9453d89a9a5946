"""The metrics of a worker. Those of OpenTelemetry's semantic conventions have its names."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "Time of a request in a thread, without its time in the queue. Unknown methods are _OTHER, and "
    "unknown paths have no route.",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


def _live_sum_gauge(name: str, description: str, *labels: str) -> Gauge:
    """Return a gauge that is the sum of those of the workers that live."""
    return Gauge(name, description, labels, multiprocess_mode="livesum")


WORKERS = _live_sum_gauge("alchemist_workers", "Workers that serve requests.")
ACTIVE_REQUESTS = _live_sum_gauge("http_server_active_requests", "Requests that have a thread.")
QUEUE_LENGTH = _live_sum_gauge("alchemist_queue_length", "Requests that wait for a thread.")
CONNECTIONS = _live_sum_gauge("alchemist_connections", "Connections of clients.")
BUFFERED_BYTES = _live_sum_gauge(
    "alchemist_buffered_bytes", "Bytes of requests and of responses in memory.", "buffer"
)
POOL_CONNECTIONS = _live_sum_gauge(
    "db_client_connection_count",
    "Connections of a database pool that are in use.",
    *("db_client_connection_pool_name", "db_client_connection_state"),
)
POOL_SIZE = _live_sum_gauge(
    "db_client_connection_max",
    "Connections that a database pool may have.",
    "db_client_connection_pool_name",
)

QUEUED_REQUESTS = Counter("alchemist_queue_requests", "Requests that have left the queue.")
QUEUE_SECONDS = Counter("alchemist_queue_seconds", "Seconds that requests were in the queue.")
REJECTIONS = Counter(
    "alchemist_rejected_requests", "Requests that were rejected before the operation.", ["reason"]
)
POOL_WAITS = Counter(
    "alchemist_db_pool_waits",
    "How many times a request waited for a connection of a pool.",
    ["db_client_connection_pool_name"],
)
POOL_WAIT_SECONDS = Counter(
    "alchemist_db_pool_wait_seconds",
    "Seconds that requests waited for a connection of a pool.",
    ["db_client_connection_pool_name"],
)
STATEMENTS = Counter("alchemist_db_statements", "Statements of requests.")
STATEMENT_SECONDS = Counter("alchemist_db_statement_seconds", "Seconds that statements took.")
RETRIES = Counter(
    "alchemist_request_retries",
    "How many times an operation was repeated after a deadlock, or with another connection.",
)
REPLAYS = Counter(
    "alchemist_idempotent_replays", "Requests that were answered as the first with their key."
)
TOKEN_LOOKUPS = Counter(
    "alchemist_token_lookups", "Valid tokens, by where they were found.", ["source"]
)
ORDERS_PLACED = Counter("alchemist_orders_placed", "Orders that were placed.")
COUPONS_REDEEMED = Counter("alchemist_coupons_redeemed", "Coupons that were redeemed.")
