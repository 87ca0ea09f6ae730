# One image for every role: `serve`, `work`, `console`. Build it from the checkout: docker compose build
FROM python:3.11-slim

WORKDIR /src
COPY pyproject.toml constraints.txt hatch_build.py README.md LICENSE ./
COPY custodes custodes
COPY collector collector
COPY detectors detectors
COPY policies policies
COPY recognisers recognisers
COPY ui ui
COPY migrations migrations
COPY sdk sdk
RUN pip install --no-cache-dir -c constraints.txt ./sdk '.[detectors,console,postgres,proxy]'

RUN useradd --create-home --uid 10001 custodes && install -d -o custodes /var/lib/custodes
USER custodes
WORKDIR /var/lib/custodes
# Inside a container loopback reaches nobody; which ports are opened to whom is decided where it is run.
ENV CUSTODES_DATA_DIR=/var/lib/custodes CUSTODES_HTTP__HOST=0.0.0.0 CUSTODES_CONSOLE__HOST=0.0.0.0
EXPOSE 4317 4318 8501
ENTRYPOINT ["custodes"]
CMD ["up"]
