// The JavaScript SDK in a page of a headless Chromium as a program: events on standard output, commands on standard
// input (see ../README.md). The page has an origin of its own, as those of most applications have.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { withChromium } = require('./launch.cjs');
const { parse, print, read, drive } = require('./driver.cjs');

const options = parse();
// Not exported by the package: it is for pages.
const dist = path.join(path.dirname(require.resolve('centrifuge')), '..', 'dist');
const bundle = path.join(dist, options.encoding === 'protobuf' ? 'centrifuge.protobuf.js' : 'centrifuge.js');

// A server of the page and the SDK's bundle; the result is its address.
async function serve() {
  const server = http.createServer((request, response) => {
    const script = request.url === '/centrifuge.js';
    response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' });
    response.end(script ? fs.readFileSync(bundle) : '<!doctype html><title>SDK</title><script src="/centrifuge.js"></script>');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return `http://127.0.0.1:${server.address().port}`;
}

async function main(context) {
  const page = await context.newPage();
  page.on('pageerror', (error) => print('error', { op: 'page', code: 0, message: error.message }));
  await page.exposeFunction('print', print);
  await page.goto(await serve());
  await page.evaluate(([source, settings]) => {
    const start = (0, eval)(`(${source})`);
    window.run = start(window.Centrifuge, settings, {}, window.print);
  }, [drive.toString(), options]);
  await new Promise((resolve) => { read((command) => page.evaluate((it) => window.run(it), command), resolve); });
}

withChromium({}, main).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
