// The JavaScript SDK in Node as a program: events on standard output, commands on standard input (see ../README.md).
'use strict';

const { EventSource } = require('eventsource');
const WebSocket = require('ws');
const { parse, print, read, drive } = require('./driver.cjs');

const options = parse();
const { Centrifuge } = require(options.encoding === 'protobuf' ? 'centrifuge/build/protobuf' : 'centrifuge');
read(drive(Centrifuge, options, { websocket: WebSocket, eventsource: EventSource }, print), () => process.exit(0));
