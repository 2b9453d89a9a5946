# The images of Alchemist: the service (`production`, the default), the proxy (`proxy`), the pooler
# (`pgbouncer`) and the test suite (`test`). They need BuildKit, the default builder of Docker since version 23.
#
# Base images are pinned to a minor version, so that `build --pull` gets the security fixes of that
# version and nothing else.

FROM python:3.11-slim-bookworm AS python
# The image contains the bytecode: with a read-only root filesystem, every start would compile every
# module again.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
# A fixed, numeric user id: volumes keep their owner when the image is replaced, and Kubernetes can
# check `runAsNonRoot`.
RUN groupadd --gid 10001 alchemist \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin alchemist
WORKDIR /app


FROM python AS build
# The virtual environment has no pip. Only wheels are installed, so no build script runs and no
# compiler is needed; the wheel of psycopg contains libpq.
RUN python -m venv --without-pip /opt/venv
# `--build-arg REQUIREMENTS=telemetry` adds OpenTelemetry and Sentry.
ARG REQUIREMENTS=production
COPY requirements/production.txt requirements/telemetry.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --require-hashes --only-binary=:all: \
        -r /requirements/$REQUIREMENTS.txt
# The console script of the package. The package is not installed, because it needs `alembic.ini`,
# `wsgi.py` and the migrations in its parent directory.
COPY --chmod=755 <<'EOF' /opt/venv/bin/alchemist
#!/opt/venv/bin/python
from alchemist.cli import main

main(prog_name="alchemist")
EOF

COPY alembic.ini gunicorn.conf.py wsgi.py ./
COPY alchemist/ alchemist/
COPY migrations/ migrations/
# With a strict umask on the host, the user of the service could not read the files.
RUN chmod -R a+rX . && python -m compileall -q .


FROM build AS test
COPY requirements/development.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --require-hashes --only-binary=:all: \
        -r /requirements/development.txt
# Tests write caches and examples of Hypothesis into the working directory.
RUN chown 10001:10001 .
COPY --chown=10001:10001 . .
ENV HOME=/tmp
USER 10001:10001
CMD ["python", "-m", "pytest"]


FROM nginx:1.30-alpine AS proxy
LABEL org.opencontainers.image.title="Alchemist's proxy" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# Part of the image: Compose cannot write inline `configs` into a read-only container.
COPY --chmod=644 <<'EOF' /etc/nginx/nginx.conf
# One worker is enough: it needs much less CPU than the service for the same requests.
worker_processes 1;
# Three descriptors per request: client, upstream, and a temporary file for the response.
worker_rlimit_nofile 16384;
# Shorter than the stop_grace_period of the container.
worker_shutdown_timeout 20s;
pid /tmp/nginx.pid;
error_log stderr error;

events {
    # An unfinished request head occupies one until client_header_timeout; limit_conn counts only
    # requests whose head is complete.
    worker_connections 8192;
}

http {
    # Without the query, which may contain an e-mail address. Only the error log contains queries.
    log_format json escape=json
        '{"time": "$time_iso8601", "request_id": "$answer_request_id", '
        '"client_request_id": "$client_request_id", "trace_id": "$trace_id", "method": "$method", "path": "$path", "status": $status, "sent": $body_bytes_sent, '
        '"seconds": $request_time, "upstream_seconds": "$upstream_response_time"}';
    # Parsed from the request line: error_page changes nginx's own variables for method and path.
    map $request $method {
        "~^(?<method_token>\S+)" $method_token;
    }
    map $request_uri $path {
        "~^(?<path_without_query>[^?]*)" $path_without_query;
    }
    map $path $logged {
        /livez 0;
        default 1;
    }
    access_log /dev/stdout json if=$logged;
    server_tokens off;

    # Responses are buffered, so that a slow client occupies no memory of the service. Temporary files
    # are in the size-limited tmpfs on /tmp. Request bodies are passed on as they arrive: the service
    # gives a thread to complete requests only, and unlike nginx it limits the time of a whole body.
    # Buffered here, the bodies of slow clients would fill the tmpfs.
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    client_body_buffer_size 8k;
    proxy_request_buffering off;
    proxy_buffering on;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    # Above the largest list of version 1.
    proxy_max_temp_file_size 17m;

    # The service itself rejects bodies over 1 MiB, so the limit here is slightly higher. The service
    # responds without reading the body and drains the connection for two seconds only: after that a
    # longer body would break the connection, and the client would get 502.
    client_max_body_size 1080k;
    client_header_buffer_size 2k;
    large_client_header_buffers 4 8k;
    # nginx closes the connection of a slow request without a response.
    client_header_timeout 10s;
    client_body_timeout 10s;
    send_timeout 10s;
    # Announced, and kept open a little longer: a request may be on its way.
    keepalive_timeout 65s 60s;
    # For reading the rest of a body that is rejected. By default a slow client has 30 s.
    lingering_time 5s;
    lingering_timeout 2s;
    reset_timedout_connection on;

    # The client's address is that which a proxy in front of this one reports. The port is published
    # on the loopback address of the host, so requests arrive from the host's private address.
    # For proxies with other addresses, mount a file with more set_real_ip_from directives.
    set_real_ip_from 10.0.0.0/8;
    set_real_ip_from 172.16.0.0/12;
    set_real_ip_from 192.168.0.0/16;
    set_real_ip_from fc00::/7;
    include /etc/nginx/real_ip.d/*.conf;
    real_ip_header X-Forwarded-For;
    real_ip_recursive on;

    # One address must not use up the connections, or all threads of the service.
    limit_conn_zone $binary_remote_addr zone=connections:4m;
    limit_req_zone $binary_remote_addr zone=requests:4m rate=100r/s;
    limit_conn_status 429;
    limit_req_status 429;
    # The log has the status of each rejected request.
    limit_conn_log_level info;
    limit_req_log_level info;

    # gzip would make ETags weak (W/"…"), and If-Match uses the strong comparison (RFC 9110 §13.1.1).
    gzip off;
    # Do not change the path.
    merge_slashes off;

    # gunicorn accepts request lines of up to 8,190 bytes.
    map $request $request_line_too_long {
        "~^.{8191}" 1;
        default 0;
    }
    # The id that the service gave the request, or nginx's own without an answer of the service: so
    # both logs and the response contain the same id.
    map $upstream_http_x_request_id $answer_request_id {
        "" $request_id;
        default $upstream_http_x_request_id;
    }
    # The client's own id, if the service would accept it.
    map $http_x_request_id $client_request_id {
        "~^[A-Za-z0-9._-]{1,64}$" $http_x_request_id;
        default "";
    }
    # The trace of the client, as in the log of the service.
    map $http_traceparent $trace_id {
        "~^(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})(?<client_trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$" $client_trace_id;
        default $answer_request_id;
    }
    # A proxy in front of this one that terminates TLS sets the header.
    map $http_x_forwarded_proto $forwarded_proto {
        "" $scheme;
        default $http_x_forwarded_proto;
    }

    # Errors of this proxy, in the format of the service (RFC 9457).
    map $status $problem_code {
        400 bad-request;
        404 not-found;
        413 content-too-large;
        414 uri-too-long;
        429 rate-limited;
        431 headers-too-large;
        501 not-implemented;
        502 bad-gateway;
        503 unavailable;
        504 gateway-timeout;
        default internal;
    }
    map $status $problem_title {
        400 "Bad Request";
        404 "Not Found";
        413 "Content Too Large";
        414 "URI Too Long";
        429 "Too Many Requests";
        431 "Request Header Fields Too Large";
        501 "Not Implemented";
        502 "Bad Gateway";
        503 "Service Unavailable";
        504 "Gateway Timeout";
        default "Internal Server Error";
    }
    map $status $problem_detail {
        400 "The request is not valid HTTP.";
        404 "There is no resource at this path.";
        413 "The body exceeds 1 MiB.";
        414 "The URL is too long.";
        429 "There are too many requests or connections from this address.";
        431 "The headers are too large.";
        501 "The server does not support this method or protocol version.";
        502 "The service closed the connection without a complete response. The request may or may not have taken effect.";
        503 "The service is not reachable.";
        504 "The service did not respond in time. The request may or may not have taken effect.";
        default "The proxy failed to handle the request.";
    }
    map $status $problem_retry_after {
        429 1;
        503 1;
        default "";
    }
    # Scripts of every origin may read the errors of this proxy, which contain no data. The origin is
    # unknown if the head of the request could not be parsed.
    map $http_origin $problem_cors_origin {
        "~^https?://[A-Za-z0-9.:\[\]-]+$" $http_origin;
        default "*";
    }

    upstream service {
        # A socket in a shared volume: the service is not reachable over any network, and its address
        # stays the same when its container is replaced.
        server unix:/run/alchemist/http.sock;
        keepalive 16;
        # Shorter than gunicorn's keepalive of 5 s: otherwise gunicorn may close a connection just when
        # a POST is sent on it, and that is lost.
        keepalive_timeout 4s;
    }

    server {
        listen 8080 default_server;

        location / {
            if ($request_line_too_long) {
                return 414;
            }
            limit_conn connections 64;
            limit_req zone=requests burst=200 nodelay;
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $forwarded_proto;
            proxy_connect_timeout 2s;
            proxy_send_timeout 10s;
            # Longer than the request deadline of the service, which is 5 s.
            proxy_read_timeout 30s;
        }

        # A path, not a named location: those fail for a request whose URL is invalid. A request for
        # this path itself gets 404.
        error_page 400 404 413 414 429 500 501 503 504 /.problem;
        # TRACE and CONNECT, which nginx rejects for every path, and unknown HTTP versions.
        error_page 405 505 =501 /.problem;
        error_page 494 =431 /.problem;
        error_page 502 = @gateway;
        recursive_error_pages on;

        location = /.problem {
            internal;
            default_type application/problem+json;
            add_header Access-Control-Allow-Origin $problem_cors_origin always;
            add_header Access-Control-Expose-Headers "Retry-After, X-Request-ID" always;
            add_header Cache-Control no-store always;
            add_header Vary Origin always;
            add_header Retry-After $problem_retry_after always;
            add_header X-Request-ID $answer_request_id always;
            add_header X-Client-Request-ID $client_request_id always;
            # error_page has set the status already; 200 does not replace it.
            return 200 '{"type": "/problems/$problem_code", "title": "$problem_title", "status": $status, "code": "$problem_code", "detail": "$problem_detail", "request_id": "$answer_request_id"}';
        }

        # Without a connection no request was sent, so a client can safely repeat even a POST.
        location @gateway {
            error_page 502 503 /.problem;
            if ($upstream_connect_time = "-") {
                return 503;
            }
            return 502;
        }
    }
}
EOF

# Validate the configuration. Without the image's own entrypoint, which would edit it.
RUN nginx -t && rm -rf /tmp/*
USER 101:101
EXPOSE 8080
ENTRYPOINT ["nginx", "-e", "stderr"]
CMD ["-g", "daemon off;"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/livez"]


FROM debian:13-slim AS pgbouncer
LABEL org.opencontainers.image.title="Alchemist's pooler" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# 1.24: it tracks prepared statements.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends pgbouncer \
 && rm -rf /var/lib/apt/lists/*
COPY --chmod=644 <<'EOF' /etc/pgbouncer/pgbouncer.ini
[databases]
alchemist = host=database port=5432

[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 5432
unix_socket_dir =
auth_type = scram-sha-256
# Written when the container starts: the password is a secret of the Compose file.
auth_file = /tmp/users.txt
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = 20
# Those of the nodes: workers × pool size × 2 each.
max_client_conn = 1000
# By default all requests fail for 15 s after PostgreSQL refused one connection.
server_login_retry = 1
# Below the deadline of a request, which is 5 s.
query_wait_timeout = 3
EOF
COPY --chmod=755 <<'EOF' /usr/local/bin/run-pgbouncer
#!/bin/sh
# In the file of users a quote is doubled.
umask 077
password=$(sed 's/"/""/g' "$PGPASSWORD_FILE")
printf '"alchemist_service" "%s"\n' "$password" > /tmp/users.txt
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
EOF
USER 10001:10001
EXPOSE 5432
CMD ["run-pgbouncer"]


FROM python AS production
LABEL org.opencontainers.image.title="Alchemist" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --chmod=755 <<'EOF' /usr/local/bin/healthcheck
#!/usr/local/bin/python -IS
"""Exit with 0 if GET of a path (`/livez` or `/readyz`) on ALCHEMIST_BIND returns 200.

If there are several addresses, the first is used.
"""

import http.client
import os
import socket
import sys

TIMEOUT = 4


def connect(bind: str) -> socket.socket:
    bind = bind.partition(",")[0].strip().removeprefix("tcp://")
    if not bind.startswith("unix:"):
        host, _, port = bind.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(TIMEOUT)
    connected.connect(bind.removeprefix("unix:"))
    return connected


connection = http.client.HTTPConnection("localhost")
try:
    connection.sock = connect(os.environ["ALCHEMIST_BIND"])
    connection.request("GET", sys.argv[1])
    response = connection.getresponse()
    print(response.status, response.read(500).decode(errors="replace"))
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"No response on {os.environ['ALCHEMIST_BIND']}: {error!r}")
sys.exit(response.status != 200)
EOF

# A new volume that is mounted here gets this owner.
RUN install --directory --owner=10001 --group=10001 /run/alchemist
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# Each worker updates a heartbeat file, which must be in memory: the root filesystem may be read-only,
# and a slow disk would look like a hanging worker.
ENV ALCHEMIST_BIND=0.0.0.0:8000 \
    GUNICORN_CMD_ARGS=--worker-tmp-dir=/dev/shm
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Check the process, not the database: otherwise an orchestrator would restart healthy containers while
# the database is down, which delays the recovery.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["healthcheck", "/livez"]
CMD ["gunicorn", "wsgi:app"]
