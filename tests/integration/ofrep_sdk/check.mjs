// SPDX-License-Identifier: Apache-2.0
// check.mjs NODE CONTROL: drives a node with OpenFeature's own SDKs and providers, and the kill
// switch through the control plane. The flags are those of flags.json and rollouts.yaml. Prints
// each check; exits 1 at the first that fails.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature as Server } from '@openfeature/server-sdk';
import { OpenFeature as Web, ProviderEvents } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';

const [node, control] = process.argv.slice(2);
const kPatienceMs = 20_000;

async function check(what, task) {
  const started = performance.now();
  try {
    await task();
  } catch (error) {
    console.log(`FAILED: ${what}`);
    throw error;
  }
  console.log(`ok: ${what} (${Math.round(performance.now() - started)} ms)`);
}

async function until(what, condition) {
  const end = performance.now() + kPatienceMs;
  while (!(await condition())) {
    assert(performance.now() < end, `not within ${kPatienceMs} ms: ${what}`);
    await delay(5);
  }
}

async function killSwitch(on) {
  const response = await fetch(`${control}/v1/emergency/default`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ spec: { kill_switch: on } }),
  });
  assert.equal(response.status, 200, await response.text());
}

const user = { targetingKey: 'user-1', email: 'ann@example.com' };

async function serverSdk() {
  await Server.setProviderAndWait(new OFREPProvider({ baseUrl: node }));
  const client = Server.getClient();
  const both = async (flag, expected) => {
    for (const codeDefault of [false, true]) {
      assert.equal(await client.getBooleanValue(flag, codeDefault, user), expected,
        `${flag} with the code's default ${codeDefault}`);
    }
  };

  await check('server: on and off hold against both code defaults', async () => {
    await both('checkout', true);
    await both('banner', true);
    await both('off', false);
    const details = await client.getBooleanDetails('off', true, user);
    assert.equal(details.reason, 'DISABLED');
    assert.equal(details.variant, 'off');
    assert.equal(details.flagMetadata.weirReason, 'DISABLED');
  });
  await check('server: strings, numbers and objects', async () => {
    assert.equal(await client.getNumberValue('max-items', 1, user), 250.5);
    assert.deepEqual(await client.getObjectValue('limits', {}, user), { rps: 10, regions: ['eu', 'us'] });
    assert.equal(await client.getStringValue('theme', 'x', { targetingKey: 'user-1' }), '#fff');
  });
  await check('server: targeting by context', async () => {
    const details = await client.getStringDetails('theme', 'x', user);
    assert.equal(details.value, '#111');
    assert.equal(details.variant, 'dark');
    assert.equal(details.reason, 'TARGETING_MATCH');
    assert.deepEqual(details.flagMetadata, { team: 'design', tier: 1, weirReason: 'TARGETING_MATCH' });
  });
  await check('server: a disabled variant flag leaves the code its default', async () => {
    for (const codeDefault of [false, true]) {
      assert.equal(await client.getBooleanValue('retired', codeDefault, user), codeDefault);
    }
  });
  await check('server: errors carry their codes', async () => {
    assert.equal((await client.getBooleanDetails('unknown', true, user)).errorCode, 'FLAG_NOT_FOUND');
    assert.equal((await client.getBooleanDetails('half-off', true, {})).errorCode, 'TARGETING_KEY_MISSING');
    assert.equal((await client.getStringDetails('checkout', 'x', user)).errorCode, 'TYPE_MISMATCH');
  });
  await check('server: the kill switch turns everything off', async () => {
    await killSwitch(true);
    await until('checkout is off', async () => !(await client.getBooleanValue('checkout', true, user)));
    for (const flag of ['checkout', 'banner', 'off', 'half-off']) await both(flag, false);
    const details = await client.getBooleanDetails('checkout', true, user);
    assert.equal(details.reason, 'DISABLED');
    assert.equal(details.flagMetadata.weirReason, 'KILL_SWITCH');
    assert.equal(await client.getStringValue('theme', 'of the code', user), 'of the code');
  });
  await check('server: and off brings back what was', async () => {
    await killSwitch(false);
    await until('checkout is on', () => client.getBooleanValue('checkout', false, user));
    await both('checkout', true);
    await both('banner', true);
    assert.equal(await client.getStringValue('theme', 'x', user), '#111');
  });
  await Server.close();
}

// `how`: the options that make the provider hear of changes; `atTheEnd` sees all its requests.
async function webSdk(name, how, atTheEnd) {
  const requests = [];
  const fetchImplementation = async (request, init) => {
    const response = await fetch(request, init);
    requests.push({ url: request.url, status: response.status });
    return response;
  };
  await Web.setContext(user);
  await Web.setProviderAndWait(
    new OFREPWebProvider({ baseUrl: node, cacheMode: 'disabled', fetchImplementation, ...how }));
  const client = Web.getClient();
  const changes = [];
  client.addHandler(ProviderEvents.ConfigurationChanged, (event) => changes.push(...event.flagsChanged));
  const both = (flag, expected) => {
    for (const codeDefault of [false, true]) {
      assert.equal(client.getBooleanValue(flag, codeDefault), expected,
        `${flag} with the code's default ${codeDefault}`);
    }
  };

  await check(`${name}: all types at once`, () => {
    both('checkout', true);
    both('off', false);
    assert.equal(client.getStringValue('theme', 'x'), '#111');
    assert.equal(client.getNumberValue('max-items', 1), 250.5);
    assert.deepEqual(client.getObjectValue('limits', {}), { rps: 10, regions: ['eu', 'us'] });
    assert.equal(client.getBooleanValue('retired', true), true);
    assert.equal(client.getBooleanValue('retired', false), false);
  });
  await check(`${name}: the kill switch arrives by itself`, async () => {
    await killSwitch(true);
    await until('checkout is off', () => !client.getBooleanValue('checkout', true));
    both('checkout', false);
    both('banner', false);
    assert(changes.includes('checkout'), `changed: ${changes}`);
    assert.equal(client.getStringValue('theme', 'of the code'), 'of the code');
  });
  await check(`${name}: and off brings back what was`, async () => {
    await killSwitch(false);
    await until('checkout is on', () => client.getBooleanValue('checkout', false));
    both('checkout', true);
    assert.equal(client.getStringValue('theme', 'x'), '#111');
  });
  await check(`${name}: a changed context is evaluated anew`, async () => {
    await Web.setContext({ targetingKey: 'user-1', email: 'bob@other.org' });
    assert.equal(client.getStringValue('theme', 'x'), '#fff');
  });
  await atTheEnd(requests);
  await Web.clearProviders();
}

await serverSdk();
await webSdk('web, polling', { pollInterval: 100, changeDetection: 'polling' }, (requests) =>
  check('web, polling: what did not change is not sent again', () =>
    until('a 304', () => requests.some((request) => request.status === 304))));
globalThis.EventSource = EventSource;
await webSdk('web, event stream', { pollInterval: 0 }, (requests) =>
  check('web, event stream: asked again when told, and only then', () => {
    const told = requests.filter((request) => request.url.includes('flagConfigEtag='));
    assert(told.length >= 2, JSON.stringify(requests));
    assert(requests.length <= 8, JSON.stringify(requests));
  }));
console.log('all checks passed');
process.exit(0);
