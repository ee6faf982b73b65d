// One headless Chromium.
'use strict';

const { chromium } = require('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

// Calls `use` with the browser, which is closed, and its profile removed, when that has ended.
async function withChromium(use) {
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  try {
    return await use(browser);
  } finally {
    await browser.close();
  }
}

module.exports = { withChromium };
