#!/usr/bin/env python3
"""Forwards TCP ports between the machine's loopback and a node's network namespace.

forward.py PID 127.0.0.1:16443=10.255.0.1:6443 ...       from the machine into the node whose first process PID is
forward.py -r PID 10.255.0.1:9443=127.0.0.1:9443 ...     from the node to the machine

Port 0 means any free one. Once it listens it prints a line `forwarding LISTENING=TARGET` for each rule. The listening
socket is made in one namespace and the process dials in the other: a socket keeps the namespace it was made in.
"""

import asyncio
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000
READ_BYTES = 65536


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def listen(address):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(split(address))
    listener.listen(512)
    return listener


async def copy(reader, writer):
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


def handler(target):
    async def handle(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*split(target))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        for each in (writer, far_writer):
            each.close()

    return handle


async def serve(pairs):
    servers = [await asyncio.start_server(handler(target), sock=listener) for listener, target in pairs]
    for listener, target in pairs:
        print("forwarding {}:{}={}".format(*listener.getsockname(), target), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main():
    args = sys.argv[1:]
    reverse = args[0] == "-r"
    pid, *rules = args[reverse:]
    rules = [rule.split("=") for rule in rules]
    machine = os.open("/proc/self/ns/net", os.O_RDONLY)
    node = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    for listening, target in rules:
        if not (target if reverse else listening).startswith("127.0.0.1:"):
            sys.exit("only the loopback of the machine")
    if reverse:
        enter(node)
    pairs = [(listen(listening), target) for listening, target in rules]
    enter(machine if reverse else node)
    asyncio.run(serve(pairs))


main()
