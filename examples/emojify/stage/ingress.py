"""nginx, where the shop's customers come in: /api to api, all else to website, both through its own sidecar."""

from lib.case import peer_binary
from stage.catalog import INGRESS, UPSTREAMS

# Without keep-alive towards the sidecar each request is a connection, which intentions judge by itself.
CONFIGURATION = """
# One user for all of the demo: its folder is nobody else's to read.
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log {folder}/nginx-access.log;
  client_max_body_size 20m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_connect_timeout 5s;
  proxy_next_upstream off;
  server {{
    listen {listen};
    location /api/ {{ proxy_pass http://127.0.0.1:{api}; }}
    location / {{ proxy_pass http://127.0.0.1:{website}; }}
  }}
}}
"""


def start(machine):
    folder = machine.case.directory / "nginx"
    folder.mkdir()
    upstreams = UPSTREAMS["ingress"]
    text = CONFIGURATION.format(folder=folder, listen="{}:{}".format(*INGRESS), api=upstreams["api"],
                                website=upstreams["website"])
    file = machine.case.write("nginx.conf", text)
    return machine.start([peer_binary("nginx"), "-c", file, "-p", folder, "-e", folder / "nginx-error.log"], "nginx")
