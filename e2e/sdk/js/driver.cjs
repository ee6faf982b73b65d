// What the JavaScript drivers have in common (see ../README.md): the arguments, and the SDK behind them.
'use strict';

const { parseArgs } = require('node:util');
const readline = require('node:readline');

function parse() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      token: { type: 'string', default: '' },
      encoding: { type: 'string', default: 'json' },
      transport: { type: 'string', default: 'websocket' },
      channel: { type: 'string', multiple: true, default: [] },
      delta: { type: 'boolean', default: false },
      refresh: { type: 'boolean', default: false },
    },
  });
  return values;
}

function print(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

// Runs every command of the standard input, then `end`.
function read(run, end) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => run(JSON.parse(line)));
  lines.on('close', end);
}

// Starts the SDK; the result takes commands. `platform` has the SDK's options for what a platform lacks.
// It refers to nothing outside itself, since it is also sent into a page.
function drive(Centrifuge, options, platform, print) {
  const protobuf = options.encoding === 'protobuf';
  const LOAD_TICK_MS = 20;

  // The SDK hands over bytes in the Protobuf encoding and values in the JSON one.
  const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);

  function printError(op, error, channel) {
    print('error', { op, channel, code: error.code ?? 0, message: error.message ?? String(error) });
  }

  // The SDK asks for a new token; the command `token` answers.
  let giveToken;
  function getToken() {
    print('token_wanted');
    return new Promise((resolve) => { giveToken = resolve; });
  }

  const { transport, url } = options;
  const centrifuge = new Centrifuge(transport === 'websocket' ? url : [{ transport, endpoint: url }], {
    token: options.token,
    emulationEndpoint: new URL('/emulation', url).href,
    minReconnectDelay: 50,
    ...platform,
    ...(options.refresh ? { getToken } : {}),
  });
  centrifuge.on('connecting', ({ code, reason }) => print('connecting', { code, reason }));
  centrifuge.on('connected', ({ client }) => print('connected', { client }));
  centrifuge.on('disconnected', ({ code, reason }) => print('disconnected', { code, reason }));
  centrifuge.on('error', ({ type, error }) => printError(type, error));

  // Subscriptions that the server made.
  centrifuge.on('subscribed', ({ channel, recovered, wasRecovering }) =>
    print('subscribed', { channel, recovered, was_recovering: wasRecovering, server_side: true }));
  centrifuge.on('unsubscribed', ({ channel }) => print('unsubscribed', { channel, server_side: true }));
  centrifuge.on('publication', ({ channel, data, offset }) =>
    print('publication', { channel, data: decode(data), offset, server_side: true }));

  function subscribe(channel) {
    const subscription = centrifuge.newSubscription(channel, options.delta ? { delta: 'fossil' } : {});
    subscription.on('subscribing', ({ code, reason }) => print('subscribing', { channel, code, reason }));
    subscription.on('subscribed', ({ recovered, wasRecovering }) =>
      print('subscribed', { channel, recovered, was_recovering: wasRecovering }));
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

  async function presence(channel) {
    try {
      const { clients } = await centrifuge.presence(channel);
      const users = Object.values(clients).map((info) => info.user).sort();
      const { numClients, numUsers } = await centrifuge.presenceStats(channel);
      print('presence', { channel, data: { users, clients: numClients, distinct: numUsers } });
    } catch (error) {
      printError('presence', error, channel);
    }
  }

  async function history(channel, limit) {
    try {
      const { publications, offset } = await centrifuge.history(channel, { limit, reverse: true });
      print('history', { channel, offset, data: publications.map(({ data }) => decode(data)) });
    } catch (error) {
      printError('history', error, channel);
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
    presence: ({ channel }) => presence(channel),
    history: ({ channel, limit }) => history(channel, limit),
    token: ({ token }) => giveToken(token),
    disconnect: () => centrifuge.disconnect(),
    load: ({ channel, per_second: perSecond }) => load(channel, perSecond),
  };

  options.channel.forEach(subscribe);
  centrifuge.connect();
  return (command) => { commands[command.op](command); };
}

module.exports = { parse, print, read, drive };
