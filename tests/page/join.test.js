// A browser joins a room by JsSIP and by SIP.js, over WS and WSS, with ICE and DTLS-SRTP: what is said on one side is heard on the other.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Bridge } from './bridge.js';
import { Callers } from './caller.js';
import * as jssip from './jssip.js';
import { Phones } from './phones.js';
import * as sipjs from './sipjs.js';

const BROWSER_HZ = 1_000;
const PHONE_HZ = 440;

const callers = new Map();
before(async () => {
  for (const library of [jssip, sipjs]) callers.set(library, await Callers.start(library, BROWSER_HZ));
});
after(async () => { for (const one of callers.values()) await one.stop(); });

/** A test with a bridge and a box of phones of its own. */
function scene(name, settings, run, { library = jssip, secure = false } = {}) {
  test(name, async (t) => {
    const bridge = await Bridge.start(settings, { secure });
    const phones = await Phones.start();
    const open = [];
    const browser = async (user, password) => {
      const caller = await callers.get(library).open(bridge, user, password);
      open.push(caller);
      return caller;
    };
    const phone = async (name, room) => {
      const call = await phones.call(name, bridge.uri(room), PHONE_HZ);
      await call.wait('answered');
      return call;
    };
    const people = async (room) => (await bridge.get(`/v1/rooms/${room}/participants`)).items;
    const leg = async (room, uri) => {
      const found = (await people(room)).find((person) => person.uri.includes(uri));
      return bridge.get(`/v1/legs/${found.leg}`);
    };
    try {
      await run({ bridge, phones, browser, phone, people, leg });
      for (const caller of open) await caller.close();
      await phones.stop();
    } catch (error) {
      for (const caller of open) t.diagnostic(`${caller.said.join('\n')}\n${await caller.page.evaluate(() => globalThis.told.join()).catch(String)}`);
      t.diagnostic(bridge.log().split('\n').slice(-60).join('\n'));
      throw error;
    } finally {
      for (const caller of open) await caller.context.close();
      phones.child.kill();
      await bridge.stop();
    }
  });
}

scene('a browser and a phone hear each other in a room', '', async ({ bridge, browser, phone, leg }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');

  await anna.call(bridge.uri('standup'));

  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  const path = await anna.path();
  assert.equal(path.dtlsState, 'connected');
  assert.equal(path.sends, 'audio/opus');
  const view = await leg('standup', 'anna');
  assert.equal(view.transport, 'ws');
  assert.match(view.srtp, /^(AEAD_AES_(128|256)_GCM|AES_CM_128_HMAC_SHA1_80)$/);
});

scene('a browser speaks G.711 where that is all there is', '[media]\ncodecs = ["PCMU"]\n', async ({ bridge, browser, phone }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');

  await anna.call(bridge.uri('standup'));

  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  assert.equal((await anna.path()).sends, 'audio/PCMU');
});

scene('two browsers hear each other', '', async ({ bridge, browser, phone }) => {
  const [anna, bert] = [await browser('anna'), await browser('bert')];
  const bob = await phone('bob', 'standup');

  await anna.call(bridge.uri('standup'));
  await bert.call(bridge.uri('standup'));

  await anna.hears([PHONE_HZ, BROWSER_HZ]);
  await bert.hears([PHONE_HZ, BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
});

scene('a browser holds and comes back, and restarts ICE', '', async ({ bridge, browser, phone, people }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');
  await anna.call(bridge.uri('standup'));
  await anna.hears([PHONE_HZ]);

  await anna.session((session) => new Promise((resolve) => { session.hold({}, resolve); }));
  await bob.hears([], [BROWSER_HZ]);
  const held = (await people('standup')).find((person) => person.uri.includes('anna'));
  await anna.session((session) => new Promise((resolve) => { session.unhold({}, resolve); }));
  await bob.hears([BROWSER_HZ]);
  await anna.session((session) => new Promise((resolve) => {
    session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, resolve);
  }));

  assert.equal(held.held, true);
  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
});

scene('the bridge holds a browser and lets it back', '', async ({ bridge, browser, phone, leg }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');
  await anna.call(bridge.uri('standup'));
  await bob.hears([BROWSER_HZ]);
  const { id } = await leg('standup', 'anna');

  await bridge.request('PUT', `/v1/legs/${id}/hold`, {});
  await bob.hears([], [BROWSER_HZ]);
  await bridge.request('DELETE', `/v1/legs/${id}/hold`);

  await bob.hears([BROWSER_HZ]);
  await anna.hears([PHONE_HZ]);
});

const USERS = '[sip]\nrealm = "rooms.example"\nusers = ["anna:secret"]\n';

scene('a browser that has registered is called into a room', USERS, async ({ bridge, browser, phone, leg }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna', 'secret');

  await bridge.post('/v1/rooms/standup/participants', { to: 'sip:anna@rooms.example' });

  await anna.told('confirmed');
  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  assert.ok((await leg('standup', 'anna')).srtp);
});

scene('a browser hangs up, and another is hung up on', '', async ({ bridge, browser, phone, people }) => {
  const bob = await phone('bob', 'standup');
  const [anna, bert] = [await browser('anna'), await browser('bert')];
  await anna.call(bridge.uri('standup'));
  await bert.call(bridge.uri('standup'));
  const { leg } = (await people('standup')).find((person) => person.uri.includes('bert'));

  await anna.session((session) => session.terminate());
  await bridge.request('DELETE', `/v1/rooms/standup/participants/${leg}`);

  await anna.told('ended');
  await bert.told('ended');
  await bob.hears([], [BROWSER_HZ]);
  assert.equal((await people('standup')).length, 1);
});

const SIPJS = { library: sipjs };

scene('SIP.js joins over WSS, holds, comes back and hangs up', '', async ({ bridge, browser, phone, leg, people }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');

  await anna.call(bridge.uri('standup'));
  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  assert.equal((await leg('standup', 'anna')).transport, 'wss');
  assert.equal((await anna.path()).dtlsState, 'connected');

  const hold = (session, hold) => new Promise((resolve, reject) => {
    session.invite({
      requestDelegate: { onAccept: resolve, onReject: reject },
      sessionDescriptionHandlerOptions: { hold },
    }).catch(reject);
  }).then(() => undefined);
  await anna.session(hold, true);
  await bob.hears([], [BROWSER_HZ]);
  await anna.session(hold, false);
  await bob.hears([BROWSER_HZ]);
  await anna.hears([PHONE_HZ]);

  await anna.session((session) => { session.bye(); });
  await anna.told('Terminated');
  await bob.hears([], [BROWSER_HZ]);
  assert.equal((await people('standup')).length, 1);
}, { ...SIPJS, secure: true });

scene('SIP.js registers and is called into a room', USERS, async ({ bridge, browser, phone, leg }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna', 'secret');

  await bridge.post('/v1/rooms/standup/participants', { to: 'sip:anna@rooms.example' });

  await anna.told('Established');
  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  assert.ok((await leg('standup', 'anna')).srtp);
}, SIPJS);

scene('JsSIP joins over WSS', '', async ({ bridge, browser, phone, leg }) => {
  const bob = await phone('bob', 'standup');
  const anna = await browser('anna');

  await anna.call(bridge.uri('standup'));

  await anna.hears([PHONE_HZ], [BROWSER_HZ]);
  await bob.hears([BROWSER_HZ], [PHONE_HZ]);
  assert.equal((await leg('standup', 'anna')).transport, 'wss');
}, { secure: true });
