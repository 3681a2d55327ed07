# syntax=docker/dockerfile:1
# docker build -t rants .
# docker run -p 8000:8000 -v ./config.yaml:/app/config.yaml -v ./work:/work rants

FROM python:3.13-slim-bookworm AS builder
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# The dependencies first, as a layer of their own: they change less often than the code.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    uv sync --locked --no-dev --no-install-project
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY programs programs
COPY signatures signatures
COPY store store
COPY server server
COPY evals evals
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-editable


FROM python:3.13-slim-bookworm
# llama.cpp computes with OpenMP.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --home-dir /work --no-create-home --shell /usr/sbin/nologin rants \
    && install -d -o rants -g rants /work
COPY --from=builder /app/.venv /app/.venv
COPY --chmod=0755 scripts/docker-entrypoint /usr/local/bin/docker-entrypoint
# The state and, under the home folder, what `rants pull` fetches outlive the container in /work.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/work \
    DSPY_CACHEDIR=/tmp/dspy \
    RANTS_STATE__SQLITE_PATH=/work/rants.sqlite3 \
    RANTS_TOOLS__WORKSPACE=/work/workspace
# The server reads config.yaml from here.
WORKDIR /app
VOLUME /work
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
# Becomes a user without rights before anything of ours runs: the one that /work belongs to, or `rants`.
ENTRYPOINT ["docker-entrypoint"]
CMD ["rants", "serve", "--host", "0.0.0.0", "--port", "8000"]
