# The images of Alchemist: the service (`production`, the default), the proxy in front of it
# (`proxy`) and the test suite (`test`). They need BuildKit, Docker's builder since version 23.
#
# Base images are pinned by the tag of a release line, so that `build --pull` brings the security
# fixes of that line and nothing else.

FROM python:3.11-slim-bookworm AS python
# Bytecode is compiled into the image: at run time the root filesystem is read-only, and every start
# would compile every module again.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
# Fixed and numeric: volumes keep their owner across images, and Kubernetes can check `runAsNonRoot`.
RUN groupadd --gid 10001 alchemist \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin alchemist
WORKDIR /app


FROM python AS build
# The environment has no pip of its own. Wheels alone, so that no build script runs and no compiler
# is needed; psycopg's wheel brings libpq.
RUN python -m venv --without-pip /opt/venv
COPY requirements/production.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --require-hashes --only-binary=:all: \
        -r /requirements/production.txt
# What installing the package would write. It is not installed, because `alembic.ini`, `wsgi.py` and
# the migrations stand beside it.
COPY --chmod=755 <<'EOF' /opt/venv/bin/alchemist
#!/opt/venv/bin/python
from alchemist.cli import main

main(prog_name="alchemist")
EOF

COPY alembic.ini gunicorn.conf.py wsgi.py ./
COPY alchemist/ alchemist/
COPY migrations/ migrations/
# A checkout made under a strict umask would be unreadable to the user of the service.
RUN chmod -R a+rX . && python -m compileall -q .


FROM build AS test
COPY requirements/development.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --require-hashes --only-binary=:all: \
        -r /requirements/development.txt
# Tests write beside the code, caches and examples of Hypothesis among them.
RUN chown 10001:10001 .
COPY --chown=10001:10001 . .
ENV HOME=/tmp
USER 10001:10001
CMD ["python", "-m", "pytest"]


FROM nginx:1.30-alpine AS proxy
# In the image, because Compose refuses to write inline `configs` into a read-only container.
COPY --chmod=644 <<'EOF' /etc/nginx/nginx.conf
# One worker: buffering takes a fraction of the core that the service needs for the same requests.
worker_processes 1;
# A request holds up to four descriptors: client, upstream, and a file for each body.
worker_rlimit_nofile 4096;
# After SIGQUIT; below the stop_grace_period of the container.
worker_shutdown_timeout 20s;
pid /tmp/nginx.pid;
error_log stderr error;

events {
    worker_connections 1024;
}

http {
    # Paths without their queries, which may hold e-mail addresses; only errors are logged with them.
    log_format json escape=json
        '{"time": "$time_iso8601", "request_id": "$correlation_id", "method": "$method", '
        '"path": "$path", "status": $status, "sent": $body_bytes_sent, '
        '"seconds": $request_time, "upstream_seconds": "$upstream_response_time"}';
    # From the request line, because errors answered here are internal redirects of another request.
    map $request $method {
        "~^(?<first_word>\S+)" $first_word;
    }
    map $request_uri $path {
        "~^(?<before_query>[^?]*)" $before_query;
    }
    map $path $logged {
        /livez 0;
        default 1;
    }
    access_log /dev/stdout json if=$logged;
    server_tokens off;

    # Whole requests in, whole responses out: a slow client holds a connection here, never a thread
    # of the service. Temporary files live in the size-limited tmpfs on /tmp.
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    client_body_buffer_size 16k;
    proxy_request_buffering on;
    proxy_buffering on;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    proxy_max_temp_file_size 64m;

    # The service refuses bodies over 1 MiB by itself and gets to see them up to a little more. It
    # answers without reading them, and takes what still comes for two seconds: a rest that takes
    # longer would break the connection while it is being sent, and the client would get 502.
    client_max_body_size 1080k;
    client_header_buffer_size 2k;
    large_client_header_buffers 4 8k;
    # Of a request that arrives too slowly nginx drops the connection, without a word.
    client_header_timeout 10s;
    client_body_timeout 10s;
    send_timeout 10s;
    keepalive_timeout 60s;
    reset_timedout_connection on;

    # gzip would weaken ETags to W/"…", and If-Match compares strongly (RFC 9110 §13.1.1).
    gzip off;
    # Paths reach the service as they were sent.
    merge_slashes off;

    # gunicorn reads request lines of 8,190 bytes.
    map $request $request_line_too_long {
        "~^.{8191}" 1;
        default 0;
    }
    # The client's id if the service accepts its form, else a new one: so this log, the service's and
    # the answer agree.
    map $http_x_request_id $correlation_id {
        "~^[A-Za-z0-9._-]{1,64}$" $http_x_request_id;
        default $request_id;
    }
    # A proxy that ends TLS before this one says so.
    map $http_x_forwarded_proto $forwarded_proto {
        "" $scheme;
        default $http_x_forwarded_proto;
    }

    # What this proxy answers by itself, in the form of the service's own errors (RFC 9457).
    map $status $problem_code {
        400 bad-request;
        404 not-found;
        413 content-too-large;
        414 uri-too-long;
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
        431 "Request Header Fields Too Large";
        501 "Not Implemented";
        502 "Bad Gateway";
        503 "Service Unavailable";
        504 "Gateway Timeout";
        default "Internal Server Error";
    }
    map $status $problem_detail {
        400 "The request is not valid HTTP.";
        404 "There is nothing at this path.";
        413 "The body exceeds 1 MiB.";
        414 "The URL is too long.";
        431 "The headers are too large.";
        501 "The server does not support that.";
        502 "The service broke off its answer. Whether the request took effect is unknown.";
        503 "The service cannot be reached.";
        504 "The service did not answer in time. Whether the request took effect is unknown.";
        default "The proxy failed to handle the request.";
    }
    map $status $problem_retry_after {
        503 1;
        default "";
    }

    upstream service {
        # A socket in a volume that the two containers share: the service listens on no network, and
        # its address does not change when its container does.
        server unix:/run/alchemist/http.sock;
        keepalive 16;
        # Below gunicorn's 5 s: a connection that both sides are about to drop loses a POST.
        keepalive_timeout 4s;
    }

    server {
        listen 8080 default_server;

        location / {
            if ($request_line_too_long) {
                return 414;
            }
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $forwarded_proto;
            proxy_set_header X-Request-ID $correlation_id;
            proxy_connect_timeout 2s;
            proxy_send_timeout 10s;
            # Above the service's own: a request ends after 5 s.
            proxy_read_timeout 30s;
        }

        # A path and not a named location: those fail for requests whose URL could not be read. 404 is
        # for whoever asks for that path.
        error_page 400 404 413 414 500 501 503 504 /.problem;
        # TRACE and CONNECT, which nginx refuses for every resource, and versions of HTTP to come.
        error_page 405 505 =501 /.problem;
        error_page 494 =431 /.problem;
        error_page 502 = @gateway;
        recursive_error_pages on;

        location = /.problem {
            internal;
            default_type application/problem+json;
            add_header Cache-Control no-store always;
            add_header Retry-After $problem_retry_after always;
            add_header X-Request-ID $correlation_id always;
            # The status is that of the error_page; 200 is never sent.
            return 200 '{"type": "/problems/$problem_code", "title": "$problem_title", "status": $status, "code": "$problem_code", "detail": "$problem_detail", "request_id": "$correlation_id"}';
        }

        # Without a connection nothing was sent, and the client may repeat even a POST.
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

# With the nginx that will read it. The image's own entrypoint would edit the configuration.
RUN nginx -t && rm -rf /tmp/*
USER 101:101
EXPOSE 8080
ENTRYPOINT ["nginx", "-e", "stderr"]
CMD ["-g", "daemon off;"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/livez"]


FROM python AS production
LABEL org.opencontainers.image.title="Alchemist" \
      org.opencontainers.image.licenses="MIT"
COPY --chmod=755 <<'EOF' /usr/local/bin/healthcheck
#!/usr/local/bin/python -IS
"""Exit with 0 if GET of the path, `/livez` or `/readyz`, is answered 200 on ALCHEMIST_BIND."""

import http.client
import os
import socket
import sys

SECONDS = 4


def connect(bind: str) -> socket.socket:
    if not bind.startswith("unix:"):
        host, _, port = bind.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), SECONDS)
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(SECONDS)
    found.connect(bind.removeprefix("unix:"))
    return found


connection = http.client.HTTPConnection("localhost")
try:
    connection.sock = connect(os.environ["ALCHEMIST_BIND"])
    connection.request("GET", sys.argv[1])
    response = connection.getresponse()
    print(response.status, response.read(500).decode(errors="replace"))
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"No answer on {os.environ['ALCHEMIST_BIND']}: {error!r}")
sys.exit(response.status != 200)
EOF

# A volume mounted here takes over this owner.
RUN install --directory --owner=10001 --group=10001 /run/alchemist
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# Workers show gunicorn that they live by touching a file: in memory, since the root filesystem may be
# read-only and a slow disk must not look like a hanging worker.
ENV ALCHEMIST_BIND=0.0.0.0:8000 \
    GUNICORN_CMD_ARGS=--worker-tmp-dir=/dev/shm
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# The process, not the database: an orchestrator that restarts unhealthy containers would take the
# service down for as long as the database is, and add its restarts to the recovery.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["healthcheck", "/livez"]
CMD ["gunicorn", "wsgi:app"]
