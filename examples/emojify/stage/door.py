"""A door from this machine into a namespace, for a browser: who connects here is connected to the address there.

Run: door.py PORT NAMESPACE HOST PORT
"""

import asyncio
import ctypes
import os
import socket
import sys

NEW_NETWORK = 0x40000000  # CLONE_NEWNET


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(listener, host, port):
    async def guest(reader, writer):
        try:
            there, back = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with await asyncio.start_server(guest, sock=listener) as server:
        await server.serve_forever()


def main():
    port, namespace, host, there = sys.argv[1:]
    # The socket stays where it was made, and so is the door on this side; all else of this process is on the other.
    listener = socket.create_server(("127.0.0.1", int(port)))
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, NEW_NETWORK) != 0:
        sys.exit(f"cannot enter {namespace}")
    asyncio.run(serve(listener, host, int(there)))


if __name__ == "__main__":
    main()
