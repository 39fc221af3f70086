// Signs in with a real browser, as a person would: reads the page, types a name, presses the buttons.
//
// `node person.mjs URL SCREENSHOT.png`: opens URL in the system's Chromium, follows the authorization server's sign-in
// and consent pages to keyfob's result page (loopback, path /callback), photographs it, and prints one line of JSON
// {title, text, url, requests, console, visited}: what a person sees, what the result page loaded, what the browser
// complained of there, and the origins of all pages, redirects included, in the order in which they were first asked.
// URLs are printed without their queries. Environment: TB_SCHEME=dark, TB_NAME (whose name to type), TB_DENY=1 (press Cancel).
import { chromium } from 'playwright-core';

const [url, screenshot] = process.argv.slice(2);
const bare = (address) => address.replace(/[?#].*/, '');
const isResult = (address) => {
  const { hostname, pathname } = new URL(address);
  return pathname === '/callback' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
};

const browser = await chromium.launch({
  executablePath: process.env.TB_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-proxy-server',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
  ],
});
try {
  const page = await browser.newPage({
    colorScheme: process.env.TB_SCHEME === 'dark' ? 'dark' : 'light',
    viewport: { width: 900, height: 600 },
  });
  page.setDefaultTimeout(15_000);
  let arrived = false;
  const requests = [];
  const visited = new Set();
  const complaints = [];
  page.on('request', (request) => {
    if (request.resourceType() === 'document') visited.add(new URL(request.url()).origin);
    arrived ||= isResult(request.url());
    if (arrived) requests.push({ url: bare(request.url()), type: request.resourceType() });
  });
  page.on('console', (message) => arrived && complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => arrived && complaints.push(`error: ${error.message}`));

  const settle = { waitUntil: 'domcontentloaded' };
  await page.goto(url, settle);
  for (let steps = 0; !isResult(page.url()); steps += 1) {
    if (steps === 10) throw new Error(`no result page after 10 pages; the last one is ${bare(page.url())}`);
    const here = page.url();
    const goOn = page.locator('a[href^="/go/"]');
    if (await goOn.count()) {
      await goOn.click();
    } else if (process.env.TB_DENY === '1') {
      await page.getByText('[ Cancel ]').click();
    } else {
      const name = page.locator('input[name=login]');
      if (await name.count()) {
        await name.fill(process.env.TB_NAME ?? 'alice');
        await page.locator('input[type=password]').fill('any password');
      }
      await page.locator('button[type=submit]').click();
    }
    await page.waitForURL((address) => address.href !== here, settle);
  }
  await page.waitForLoadState('load');
  await page.waitForTimeout(500); // for what a page would load late
  await page.screenshot({ path: screenshot, fullPage: true });
  const text = await page.locator('body').innerText();
  const title = await page.title();
  console.log(JSON.stringify({ title, text, url: bare(page.url()), requests, console: complaints, visited: [...visited] }));
} finally {
  await browser.close();
}
