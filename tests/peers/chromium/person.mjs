// Signs in with a real browser, as a person would: reads the page, types a name, presses the buttons.
//
// `node person.mjs URL SCREENSHOT.png`: opens URL in the system's Chromium, follows the authorization server's sign-in
// and consent pages to keyfob's result page (loopback, path /callback), photographs it, and prints one line of JSON
// {title, text, url, requests, console, visited}: what a person sees, what the result page loaded, what the browser
// complained of there, and the origins of all pages, redirects included, in the order in which they were first asked;
// `wide` if the result page has to be scrolled sideways. Where keyfob asks before it goes on, `asked` is {title, text,
// requests, console, leads} of that page, `leads` being the path of its link without what no one may know, and its picture
// lies beside the other as asked.png. URLs are printed without their queries. Environment: TB_SCHEME=dark, TB_WIDTH
// (pixels), TB_NAME (whose name to type), TB_DENY=1 (press Cancel), TB_INJECT=1: tries to run a script, load an image,
// set a style and send a form in the result page, and prints as `injected` which of them worked.
import { chromium } from 'playwright-core';

const [url, screenshot] = process.argv.slice(2);
const bare = (address) => address.replace(/[?#].*/, '');
const isResult = (address) => {
  const { hostname, pathname } = new URL(address);
  return pathname === '/callback' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
};

const isQuestion = (address) => new URL(address).pathname.startsWith('/ask/');
// what a page with a hole would let happen
const inject = async (page) => {
  const done = await page.evaluate(async () => {
    const add = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
    add('script', { textContent: 'window.ran = true' });
    add('style', { textContent: 'h1 { letter-spacing: 7px }' });
    document.body.setAttribute('onclick', 'window.clicked = true');
    document.body.click();
    add('iframe', { src: '/framed' });
    add('img', { src: '/image' });
    add('form', { action: '/form', method: 'post', id: 'form' });
    document.getElementById('form').submit();
    const fetched = await fetch('/fetched').then(() => true, () => false);
    const styled = getComputedStyle(document.querySelector('h1')).letterSpacing === '7px';
    return { script: window.ran === true, handler: window.clicked === true, style: styled, fetched };
  });
  await page.waitForTimeout(500);
  return done;
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
    viewport: { width: Number(process.env.TB_WIDTH ?? 900), height: 600 },
  });
  page.setDefaultTimeout(15_000);
  let arrived = false;
  let asked;
  let injected;
  let requests = [];
  const visited = new Set();
  let complaints = [];
  page.on('request', (request) => {
    if (request.resourceType() === 'document') visited.add(new URL(request.url()).origin);
    arrived ||= isResult(request.url()) || isQuestion(request.url());
    if (arrived) requests.push({ url: bare(request.url()), type: request.resourceType() });
  });
  page.on('console', (message) => arrived && complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => arrived && complaints.push(`error: ${error.message}`));

  const stopped = new Set();
  page.on('requestfailed', (request) => request.failure()?.errorText === 'csp' && stopped.add(bare(request.url())));

  const settle = { waitUntil: 'domcontentloaded' };
  await page.goto(url, settle);
  for (let steps = 0; !isResult(page.url()); steps += 1) {
    if (steps === 10) throw new Error(`no result page after 10 pages; the last one is ${bare(page.url())}`);
    const here = page.url();
    const goOn = page.locator('a[href^="/go/"]');
    if (await goOn.count()) {
      await page.waitForLoadState('load');
      await page.waitForTimeout(500);
      const leads = (await goOn.getAttribute('href')).replace(/[^/]*$/, '');
      asked = { title: await page.title(), text: await page.locator('body').innerText(), requests, console: complaints, leads };
      asked.requests.forEach((request) => (request.url = request.url.replace(/[^/]*$/, '')));
      await page.screenshot({ path: screenshot.replace(/[^/]*$/, 'asked.png'), fullPage: true });
      arrived = false;
      [requests, complaints] = [[], []];
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
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  const seen = { title, text, url: bare(page.url()), requests: [...requests], console: [...complaints], visited: [...visited], wide, asked };
  if (process.env.TB_INJECT === '1') {
    const done = await inject(page);
    // a request that the policy stopped is announced all the same
    const sent = requests.slice(seen.requests.length).filter((request) => !stopped.has(request.url));
    injected = { ...done, requests: sent.map((request) => request.url) };
  }
  console.log(JSON.stringify({ ...seen, injected }));
} finally {
  await browser.close();
}
