#!/usr/bin/env python3
"""The Python SDK as a program: events on standard output, commands on standard input (see ../README.md)."""

import argparse
import asyncio
import json
import sys

from centrifuge import CentrifugeError, Client, ClientEventHandler, DeltaType, ReplyError, SubscriptionEventHandler


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--encoding", choices=["json", "protobuf"], default="json")
    parser.add_argument("--channel", action="append", default=[])
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--refresh", action="store_true")
    return parser.parse_args()


def show(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def show_error(op, error, channel=None):
    code = error.code if isinstance(error, ReplyError) else 0
    show("error", op=op, channel=channel, code=code, message=str(error))


def show_subscribed(channel, ctx, **fields):
    show("subscribed", channel=channel, recovered=ctx.recovered, was_recovering=ctx.was_recovering, **fields)


class ClientEvents(ClientEventHandler):
    """The connection, and the subscriptions that the server made."""

    def __init__(self, program):
        self.program = program

    async def on_connecting(self, ctx):
        show("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx):
        show("connected", client=ctx.client)

    async def on_disconnected(self, ctx):
        show("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx):
        show("error", op="connect", channel=None, code=ctx.code, message=str(ctx.error))

    async def on_subscribed(self, ctx):
        show_subscribed(ctx.channel, ctx, server_side=True)

    async def on_unsubscribed(self, ctx):
        show("unsubscribed", channel=ctx.channel, server_side=True)

    async def on_publication(self, ctx):
        data = self.program.decode(ctx.pub.data)
        show("publication", channel=ctx.channel, data=data, offset=ctx.pub.offset, server_side=True)


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self, program, channel):
        self.program = program
        self.channel = channel

    async def on_subscribing(self, ctx):
        show("subscribing", channel=self.channel, code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx):
        show_subscribed(self.channel, ctx)

    async def on_unsubscribed(self, ctx):
        show("unsubscribed", channel=self.channel, code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx):
        data = self.program.decode(ctx.pub.data)
        show("publication", channel=self.channel, data=data, offset=ctx.pub.offset)

    async def on_error(self, ctx):
        show("error", op="subscribe", channel=self.channel, code=ctx.code, message=str(ctx.error))


class Program:
    def __init__(self, args):
        self.protobuf = args.encoding == "protobuf"
        self.delta = DeltaType.FOSSIL if args.delta else None
        self.wanted = asyncio.Queue()
        self.client = Client(
            args.url,
            events=ClientEvents(self),
            token=args.token,
            get_token=self.get_token if args.refresh else None,
            use_protobuf=self.protobuf,
            min_reconnect_delay=0.05,
        )

    async def get_token(self):
        """The SDK asks for a new token; the command `token` answers."""
        show("token_wanted")
        return await self.wanted.get()

    async def token(self, command):
        await self.wanted.put(command["token"])

    def encode(self, value):
        """The SDK takes bytes in the Protobuf encoding and values in the JSON one."""
        return json.dumps(value).encode() if self.protobuf else value

    def decode(self, data):
        return json.loads(data) if self.protobuf else data

    async def subscribe(self, command):
        channel = command["channel"]
        events = SubscriptionEvents(self, channel)
        await self.client.new_subscription(channel, events=events, delta=self.delta).subscribe()

    async def unsubscribe(self, command):
        await self.client.get_subscription(command["channel"]).unsubscribe()

    async def publish(self, command):
        channel, data = command["channel"], command["data"]
        try:
            await self.client.publish(channel, self.encode(data))
            show("published", channel=channel, data=data)
        except CentrifugeError as error:
            show_error("publish", error, channel)

    async def presence(self, command):
        channel = command["channel"]
        try:
            clients = (await self.client.presence(channel)).clients
            stats = await self.client.presence_stats(channel)
            users = sorted(info.user for info in clients.values())
            show("presence", channel=channel, data={"users": users, "clients": stats.num_clients, "distinct": stats.num_users})
        except CentrifugeError as error:
            show_error("presence", error, channel)

    async def history(self, command):
        channel = command["channel"]
        try:
            result = await self.client.history(channel, limit=command["limit"], reverse=True)
            show("history", channel=channel, offset=result.offset, data=[self.decode(pub.data) for pub in result.publications])
        except CentrifugeError as error:
            show_error("history", error, channel)

    async def disconnect(self, _command):
        await self.client.disconnect()

    async def run(self, channels):
        actions = {
            "publish": self.publish,
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
            "presence": self.presence,
            "history": self.history,
            "token": self.token,
            "disconnect": self.disconnect,
        }
        for channel in channels:
            await self.subscribe({"channel": channel})
        # It waits for the token, which a command brings.
        connecting = asyncio.create_task(self.client.connect())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            await actions[command["op"]](command)
        connecting.cancel()


async def main():
    args = arguments()
    await Program(args).run(args.channel)


asyncio.run(main())
