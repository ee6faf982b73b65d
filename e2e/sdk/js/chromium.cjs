// The JavaScript SDK in a page of Chromium as a program: events on standard output, commands on standard input (see
// ../README.md). The page is one of pages.cjs, whose port is in PAGES.
'use strict';

const net = require('node:net');
const { parse } = require('./driver.cjs');

const socket = net.connect(Number(process.env.PAGES), '127.0.0.1');
socket.write(JSON.stringify(parse()) + '\n');
process.stdin.pipe(socket);
socket.pipe(process.stdout);
