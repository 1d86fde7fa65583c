# Registry, API and dashboard. Build from the repository's root:
#   docker build -f docker/server.Dockerfile -t variant-planner .
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY planner planner
COPY worker worker
COPY migrations migrations
COPY web web
RUN python -m venv /opt/planner \
 && /opt/planner/bin/pip install --no-cache-dir '.[postgresql]'

FROM python:3.12-slim-bookworm
COPY --from=build /opt/planner /opt/planner
RUN useradd --create-home --uid 10001 planner \
 && install -d -o planner -g planner /var/lib/planner
USER planner
# Inside the container every interface is listened on; whoever runs it says with PLANNER_AUTH who may do what, or with
# PLANNER_UNPROTECTED=1 that nobody else can reach the published port.
ENV PATH=/opt/planner/bin:$PATH \
    PLANNER_DATA_DIR=/var/lib/planner \
    PLANNER_HOST=0.0.0.0
VOLUME /var/lib/planner
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8765/api/v1/health', timeout=4).raise_for_status()"]
STOPSIGNAL SIGTERM
CMD ["planner", "up"]
