FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md* ./
COPY service service
COPY streams streams
RUN pip install --no-cache-dir --prefix=/installed .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home upnext && install -d -o upnext -g upnext -m 700 /data /media
COPY --from=build /installed /usr/local
USER upnext
VOLUME /data
# Inside a container every address is its own; who may reach it is said where it is run.
ENV UPNEXT_DATA=/data UPNEXT_LISTEN=0.0.0.0:8080 UPNEXT_INTERNAL=0.0.0.0:8081 UPNEXT_LOG_FORMAT=json
EXPOSE 8080 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8081/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["upnext"]
CMD ["serve"]
