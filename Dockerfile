# Ticket Elevate as one image; docker-compose.yml runs it. Built from the same pinned and hashed list as everything else.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/elevate
COPY requirements.lock ./
RUN /opt/elevate/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md ./
COPY integration integration
COPY workers workers
COPY webhooks webhooks
COPY cli cli
COPY sandbox sandbox
RUN /opt/elevate/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
# The directories belong to the user before a volume is mounted there: a fresh volume takes over owner and mode.
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin elevate \
    && install --directory --owner elevate --group elevate --mode 700 /data /keys /signing /checkpoints
COPY --from=build /opt/elevate /opt/elevate
ENV PATH=/opt/elevate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /data
EXPOSE 8080
CMD ["ticket-elevate", "run"]
