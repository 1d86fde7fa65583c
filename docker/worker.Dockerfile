# A worker: builds and measures variants for a server. Build from the repository's root:
#   docker build -f docker/worker.Dockerfile -t variant-planner-worker .
FROM python:3.12-slim-bookworm
ARG TORCH=torch
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY planner planner
COPY worker worker
COPY migrations migrations
# The worker serves no pages: the dashboard is left out.
RUN python -m venv /opt/planner \
 && /opt/planner/bin/pip install --no-cache-dir ${TORCH} \
 && PLANNER_SKIP_DASHBOARD=1 /opt/planner/bin/pip install --no-cache-dir '.[worker]' \
 && rm -rf /src \
 && useradd --create-home --uid 10001 planner
USER planner
WORKDIR /home/planner
ENV PATH=/opt/planner/bin:$PATH
STOPSIGNAL SIGTERM
ENTRYPOINT ["worker"]
CMD ["run"]
