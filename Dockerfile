# The auditor's side alone: no torch, no compiler, nobody's rights.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY metav_audit metav_audit
COPY adapters adapters
RUN python -m venv /opt/metav-audit \
 && /opt/metav-audit/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[watch,postgresql]'

FROM python:${PYTHON}-slim
COPY --from=build /opt/metav-audit /opt/metav-audit
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /audit --shell /usr/sbin/nologin auditor \
 && install --directory --owner auditor --group auditor /audit
ENV PATH=/opt/metav-audit/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /audit
ENTRYPOINT ["metav-audit"]
CMD ["--help"]
