# syntax=docker/dockerfile:1
# docker build -t plenary .
# docker run --network host -v plenary-data:/data plenary

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin plenary \
 && install -D --strip target/release/plenary /out/plenary

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home plenary
COPY --from=build /out/plenary /usr/local/bin/plenary
USER plenary
ENV PLENARY_DATA=/data
VOLUME /data
# SIP, REST and dashboard, RTP. A range this wide costs a proxy process for each port when it is published: prefer
# --network host, or narrow PLENARY_RTP_PORTS.
EXPOSE 5060/udp 5060/tcp 8080/tcp 16384-32767/udp
# Without host networking the API must leave loopback: PLENARY_API=0.0.0.0:8080.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["plenary"]
