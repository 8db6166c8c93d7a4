// A shop tells of the past: with the vendor's library for servers as it is on npm, an order of a day in 2020 and one of now.

const [library, engine] = process.argv.slice(2);
const past = new Date("2020-02-29T12:00:00.000Z");
const order = (userId, more) => ({ userId, event: "Order Completed", properties: { total: 5 }, ...more });

async function rudderstack() {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const client = new Analytics("web-key", { dataPlaneUrl: engine, gzip: true });
  client.track(order("rudderstack-past", { timestamp: past }));
  client.track(order("rudderstack-now"));
  // What is queued while another flush is under way is its own flush's.
  await client.flush();
  await client.flush();
}

async function segment() {
  const { Analytics } = require("@segment/analytics-node");
  const client = new Analytics({ writeKey: "web-key", host: engine });
  client.track(order("segment-past", { timestamp: past }));
  client.track(order("segment-now"));
  await client.closeAndFlush();
}

({ rudderstack, segment })[library]().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
