// The JavaScript SDK as a program: events on standard output, commands on standard input (see ../README.md).
'use strict';

const { parseArgs } = require('node:util');
const readline = require('node:readline');
const WebSocket = require('ws');

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    token: { type: 'string', default: '' },
    encoding: { type: 'string', default: 'json' },
    channel: { type: 'string', multiple: true, default: [] },
  },
});
const protobuf = options.encoding === 'protobuf';
const { Centrifuge } = require(protobuf ? 'centrifuge/build/protobuf' : 'centrifuge');

const LOAD_TICK_MS = 20;

function print(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

// The SDK hands over bytes in the Protobuf encoding and values in the JSON one.
const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);

function printError(op, error, channel) {
  print('error', { op, channel, code: error.code ?? 0, message: error.message ?? String(error) });
}

const centrifuge = new Centrifuge(options.url, { token: options.token, websocket: WebSocket });
centrifuge.on('connecting', ({ code, reason }) => print('connecting', { code, reason }));
centrifuge.on('connected', ({ client }) => print('connected', { client }));
centrifuge.on('disconnected', ({ code, reason }) => print('disconnected', { code, reason }));
centrifuge.on('error', ({ type, error }) => printError(type, error));

function subscribe(channel) {
  const subscription = centrifuge.newSubscription(channel);
  subscription.on('subscribing', ({ code, reason }) => print('subscribing', { channel, code, reason }));
  subscription.on('subscribed', () => print('subscribed', { channel }));
  subscription.on('unsubscribed', ({ code, reason }) => print('unsubscribed', { channel, code, reason }));
  subscription.on('error', ({ error }) => printError('subscribe', error, channel));
  subscription.on('publication', ({ data, offset }) => print('publication', { channel, data: decode(data), offset }));
  subscription.subscribe();
}

async function publish(channel, data) {
  try {
    await centrifuge.publish(channel, encode(data));
    print('published', { channel, data });
  } catch (error) {
    printError('publish', error, channel);
  }
}

// Keeps the rate over time, not per tick: timers are late on a busy machine, which is what this is for.
function load(channel, perSecond) {
  const data = encode({ load: 'x'.repeat(100) });
  const started = Date.now();
  let sent = 0;
  setInterval(() => {
    if (centrifuge.state !== 'connected') return;
    for (const due = ((Date.now() - started) * perSecond) / 1000; sent < due; sent += 1) {
      centrifuge.publish(channel, data).catch(() => {});
    }
  }, LOAD_TICK_MS);
}

const commands = {
  publish: ({ channel, data }) => publish(channel, data),
  subscribe: ({ channel }) => subscribe(channel),
  unsubscribe: ({ channel }) => centrifuge.getSubscription(channel).unsubscribe(),
  disconnect: () => centrifuge.disconnect(),
  load: ({ channel, per_second: perSecond }) => load(channel, perSecond),
};

options.channel.forEach(subscribe);
centrifuge.connect();
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.op](command);
});
lines.on('close', () => process.exit(0));
