#!/usr/bin/env python3
"""TCP from this machine's loopback into a network namespace: relay.py NETNS 127.0.0.1:PORT=ADDRESS:PORT ...

One process with sockets on both sides: it listens where it was started, then enters the namespace and dials there.
For clients that cannot enter it themselves, such as a browser. It listens on loopback addresses alone."""
import asyncio
import ctypes
import ipaddress
import os
import socket
import sys

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16


def split(address):
    host, port = address.rsplit(':', 1)
    return host, int(port)


def listen(pairs):
    """Sockets of the machine, each with the address in the namespace that it stands for."""
    sockets = []
    for here, there in pairs:
        host, port = split(here)
        if not ipaddress.ip_address(host).is_loopback:
            sys.exit(f'relay.py: {host} is not a loopback address')
        sockets.append((socket.create_server((host, port), backlog=512), split(there)))
    return sockets


def enter(netns):
    with open(f'/run/netns/{netns}') as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            sys.exit(f'relay.py: setns {netns}: {os.strerror(ctypes.get_errno())}')


async def pump(reader, writer):
    """One direction, until its end; an error ends it for both."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


def relay_to(there):
    async def connection(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*there)
        except OSError as error:
            print(there, error, flush=True)
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        writer.close()
        far_writer.close()
    return connection


async def serve(sockets):
    servers = [await asyncio.start_server(relay_to(there), sock=sock) for sock, there in sockets]
    await asyncio.gather(*(server.serve_forever() for server in servers))


listening = listen([pair.split('=') for pair in sys.argv[2:]])
enter(sys.argv[1])
asyncio.run(serve(listening))
