"""nginx `proxy_pass`: the limit. It knows no keys, no plan, no metering."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

from bench.gateways.base import PEER_CASES, Endpoint, Gateway, answers_get
from bench.processes import GatewayError, free_port

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream mock {{
        server {upstream};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx(Gateway):
    name = "nginx"

    def build(self) -> None:
        if shutil.which("nginx") is None:
            raise GatewayError("nginx is not installed (Debian: apt-get install nginx-light)")
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, upstream_url: str) -> Endpoint:
        port = free_port()
        config = self.folder / "nginx.conf"
        upstream = urlsplit(upstream_url).netloc
        config.write_text(_CONFIG.format(folder=self.folder, upstream=upstream, port=port))
        child = self.spawn(["nginx", "-p", self.folder, "-c", config])
        child.wait_until(lambda: answers_get(port, "/v1/models"), "nginx")
        return Endpoint(port, dict.fromkeys(PEER_CASES, "bench"))
