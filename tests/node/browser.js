// A page of a shop in headless Chromium, with the library of one vendor as it is on npm. What the page is to do comes line by line
// on standard input, and each line is repeated when it is done: `ready?`; `track N`; `lose N`, which is done when a request has failed; `end`.

const { createServer } = require("node:http");
const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { join } = require("node:path");
const puppeteer = require("puppeteer-core");

const [packages, chromium, library, engine] = process.argv.slice(2);
const { host } = new URL(engine);

const libraries = {
  segment: {
    file: "@segment/analytics-next/dist/umd/index.js",
    // Settings that are given are not fetched from elsewhere.
    load: `
      const destination = { apiHost: ${JSON.stringify(host + "/v1")}, protocol: "http", apiKey: "web-key" };
      window.analytics = AnalyticsNext.AnalyticsBrowser.load(
        { writeKey: "web-key", cdnSettings: { integrations: { "Segment.io": destination } } });
      window.track = (n) => { analytics.track("Order Completed", { total: n }); };`,
  },
  rudderstack: {
    file: "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
    load: `
      const analytics = new rudderanalytics.RudderAnalytics();
      const source = { id: "web", name: "web", config: {}, enabled: true, workspaceId: "w", updatedAt: "", destinations: [] };
      analytics.load("web-key", ${JSON.stringify(engine)},
        { getSourceConfig: () => ({ source, updatedAt: "" }), destSDKBaseURL: location.origin, pluginsSDKBaseURL: location.origin });
      window.track = (n) => { analytics.track("Order Completed", { total: n }); };`,
  },
};

async function main() {
  const { file, load } = libraries[library];
  const page = `<!doctype html><meta charset="utf-8"><title>Shop</title>
    <script src="/library.js"></script><script>${load}</script>`;
  const server = createServer((request, response) => {
    if (request.url === "/library.js") {
      response.writeHead(200, { "content-type": "text/javascript; charset=utf-8" });
      response.end(readFileSync(join(packages, "node_modules", file)));
    } else if (request.url === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(page);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  const browser = await puppeteer.launch({
    executablePath: chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
  });
  try {
    const tab = await browser.newPage();
    tab.on("console", (message) => console.error(`console: ${message.text()}`));
    tab.on("pageerror", (error) => console.error(`page: ${error}`));
    let failed = () => {};
    tab.on("requestfailed", (request) => {
      console.error(`failed: ${request.method()} ${request.url()} ${request.failure()?.errorText}`);
      failed();
    });
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    for await (const line of createInterface({ input: process.stdin })) {
      const [verb, n] = line.split(" ");
      if (verb === "ready?") {
        console.log(line);
        continue;
      }
      if (verb === "end") break;
      const lost = new Promise((done) => (failed = done));
      await tab.evaluate((n) => window.track(n), Number(n));
      if (verb === "lose") await lost;
      console.log(line);
    }
  } finally {
    await browser.close();
    server.close();
  }
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
