// One headless Chromium with a page for each chromium.cjs. Prints the port where it listens for those, in a line of its
// own; the end of its input is its end. The pages' origin is not that of the edge, as in most applications.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const { drive } = require('./driver.cjs');
const { withChromium } = require('./launch.cjs');

// The bundles for pages, which the package does not export.
const DIST = path.join(path.dirname(require.resolve('centrifuge')), '..', 'dist');
const BUNDLES = { json: 'centrifuge.js', protobuf: 'centrifuge.protobuf.js' };

function servePage(request, response) {
  const bundle = BUNDLES[path.basename(request.url, '.js')];
  response.writeHead(200, { 'content-type': bundle ? 'text/javascript' : 'text/html' });
  response.end(bundle ? fs.readFileSync(path.join(DIST, bundle)) : '<!doctype html><title>SDK</title>');
}

const listen = (server) => new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });

// What comes through the socket: a line with the arguments, then commands. Events go back.
async function attend(socket, browser, origin) {
  const print = (event, fields) => socket.write(JSON.stringify({ event, ...fields }) + '\n');
  const lines = readline.createInterface({ input: socket })[Symbol.asyncIterator]();
  const options = JSON.parse((await lines.next()).value);
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => print('error', { op: 'page', code: 0, message: error.message }));
  await page.exposeFunction('print', print);
  await page.goto(origin);
  await page.addScriptTag({ url: `/${options.encoding}.js` });
  await page.evaluate(([source, settings]) => {
    const start = (0, eval)(`(${source})`);
    window.run = start(window.Centrifuge, settings, {}, window.print);
  }, [drive.toString(), options]);
  for await (const line of lines) await page.evaluate((command) => window.run(command), JSON.parse(line));
  await context.close();
  socket.end();
}

withChromium(async (browser) => {
  const origin = `http://127.0.0.1:${await listen(http.createServer(servePage))}`;
  const server = net.createServer((socket) => {
    socket.on('error', () => {}); // a program that was killed
    attend(socket, browser, origin).catch((error) => socket.destroy(error));
  });
  console.log(await listen(server));
  await new Promise((resolve) => { process.stdin.resume().on('end', resolve); });
}).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
