"""The legacy payment service: a plain TCP program that knows nothing of TLS or of a mesh.

It binds 127.0.0.1 alone, reads one line and answers one. Run: payment_app.py PORT
"""
import socketserver
import sys


class Payment(socketserver.StreamRequestHandler):
    def handle(self):
        order = self.rfile.readline().decode(errors="replace").strip()
        if order:
            self.wfile.write(f"paid: {order}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Payment) as server:
        server.serve_forever()
