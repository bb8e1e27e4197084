'use strict';
// Drives a browser for package browsertest: reads one command in JSON from each
// line of standard input and answers it with one line of standard output.
// Arguments: the path of playwright-core, the browser's address.
const [library, address] = process.argv.slice(1);
const readline = require('node:readline');

if (Number(process.versions.node.split('.')[0]) < 20) {
  throw new Error(`Node.js 20 is needed, this is ${process.versions.node}`);
}

const tabs = new Map();

const on = {
  // A page in a context of its own: no cookie of another page is in it.
  async open(browser, _, { timeout }) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(timeout);
    const page = await context.newPage();
    const tab = { context, page, cdp: await context.newCDPSession(page), errors: [] };
    page.on('pageerror', (error) => tab.errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && tab.errors.push(message.text()));
    const id = String(tabs.size + 1);
    tabs.set(id, tab);
    return id;
  },
  close: (_, tab) => tab.context.close(),
  goto: async (_, { page }, { url }) => (await page.goto(url))?.status() ?? 0,
  url: (_, { page }) => page.url(),
  eval: (_, { page }, { source }) => page.evaluate(source),
  cdp: (_, { cdp }, { name, params }) => cdp.send(name, params),
  click: (_, { page }, { selector }) => page.click(selector),
  fill: (_, { page }, { selector, text }) => page.fill(selector, text),
  press: (_, { page }, { selector, key }) => page.press(selector, key),
  text: (_, { page }, { selector }) => page.innerText(selector),
  wait: async (_, { page }, { selector }) => void (await page.waitForSelector(selector)),
  waitURL: (_, { page }, { prefix }) => page.waitForURL((url) => url.href.startsWith(prefix)),
  screenshot: async (_, { page }, { path }) => void (await page.screenshot({ path, fullPage: true })),
  errors: (_, tab) => tab.errors.splice(0),
};

async function main() {
  const browser = await require(library).chromium.connectOverCDP(address);
  const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  answer({ result: browser.version() });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, page, args } = JSON.parse(line);
    try {
      answer({ result: (await on[command](browser, tabs.get(page), args)) ?? null });
    } catch (error) {
      answer({ error: String(error?.message ?? error) });
    }
  }
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exit(1);
});
