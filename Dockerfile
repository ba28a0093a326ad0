# One image for every role; `facet serve ROLE` chooses. Nothing in it is built from source.
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements/runtime.txt requirements/runtime.txt
RUN /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY . .
# The package itself is a link to /app and a `facet` in the venv; what builds it stays behind.
RUN python -m venv /build \
 && /build/bin/pip install --no-cache-dir --disable-pip-version-check hatchling editables \
 && /build/bin/python -m pip --python /app/.venv/bin/python install --no-cache-dir \
    --disable-pip-version-check --no-deps -e . \
 && /app/.venv/bin/python -m compileall -q cli consolidator scheduler shared simulator sql worker

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --home-dir /var/lib/facet --create-home facet \
 && install -d -o facet -g facet -m 0700 /backups
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FACET_HOME=/var/lib/facet
WORKDIR /app
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 CMD ["facet", "health"]
ENTRYPOINT []
CMD ["facet", "--help"]
