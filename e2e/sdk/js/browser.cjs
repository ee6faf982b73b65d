// Two people chat on the demo page, each in a page of one headless Chromium.
// browser.cjs URL SCREENSHOT: prints one JSON line with what each page shows in the end.
'use strict';

const { withChromium } = require('./launch.cjs');

const [url, screenshot] = process.argv.slice(2);
const STEP_MS = 20_000;
const VIEWPORT = { width: 1100, height: 720 };

// Opens the page, and notes what goes wrong in it and whatever it asks of another server.
async function open(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_MS);
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) problems.push(`request to ${request.url()}`);
  });
  await page.goto(url);
  return { page, problems };
}

async function join({ page }, name) {
  await page.fill('#name', name);
  await page.click('#join');
  await page.waitForSelector('#send:not([disabled])');
}

async function say({ page }, text) {
  await page.fill('#message', text);
  await page.click('#send');
}

async function sees({ page }, text) {
  await page.locator('#messages .text', { hasText: text }).waitFor();
}

async function shows({ page, problems }) {
  const messages = await page.locator('#messages > li').evaluateAll((items) => items.map((item) => ({
    author: item.querySelector('.author').textContent,
    text: item.querySelector('.text').textContent,
    own: item.classList.contains('own'),
  })));
  return { state: await page.textContent('#state'), messages, problems };
}

async function chat(browser) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const [ada, bob] = [await open(context), await open(context)];
  await join(ada, 'Ada');
  await join(bob, 'Bob');
  await say(ada, 'Hello Bob, can you <b>read</b> me?');
  await sees(bob, 'Hello Bob');
  await say(bob, 'Loud and clear');
  await sees(ada, 'Loud and clear');
  await sees(bob, 'Loud and clear');
  await bob.page.screenshot({ path: screenshot });
  console.log(JSON.stringify({ pages: [await shows(ada), await shows(bob)] }));
}

withChromium(chat).catch((error) => {
  console.error(error);
  process.exit(1);
});
