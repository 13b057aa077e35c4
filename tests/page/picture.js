// Takes docs/operator-page.png and its dark twin: a lively room, of real calls. Run by `npm run picture`.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Bridge } from './bridge.js';
import { launch, Operator } from './browser.js';
import { Phones } from './phones.js';

const PEOPLE = [
  { name: 'Anna Lindqvist', line: 'anna', codec: 'opus', level: -7 },
  { name: 'Bruno Costa', line: 'bruno', codec: 'G722', level: -22, then: { muted: true } },
  { name: 'Chen Wei', line: 'chen', codec: 'PCMU', then: { held: true } },
  { name: 'Dina Haddad', line: 'dina', codec: 'PCMA' },
  { name: 'Front desk', line: 'desk', codec: 'G722' },
];
const RINGING = { name: 'Erik Solberg', line: 'erik' };

let dialled = 0;

const bridge = await Bridge.start();
const phones = await Phones.start();
const browser = await launch();
try {
  await fill();
  mkdirSync(new URL('../../docs/', import.meta.url), { recursive: true });
  await take('light', '../../docs/operator-page.png');
  await take('dark', '../../docs/operator-page-dark.png');
} finally {
  await browser.close();
  await phones.stop();
  await bridge.stop();
}

async function fill() {
  for (const name of ['standup', 'design-review', 'support']) await bridge.post('/v1/rooms', { name, max_participants: 20 });
  for (const person of PEOPLE) {
    const { leg, call } = await dial(person, { codecs: [person.codec] });
    await call.wait('answered');
    await joined(leg);
    if (person.level) await call.order('play', { tones_hz: [440], level_db: person.level });
    if (person.then) await bridge.patch(`/v1/rooms/standup/participants/${leg}`, person.then);
  }
  await dial(RINGING, { on_invite: 'ring' });
}

/** Until the answer has reached the bridge, which happens after the phone has sent it. */
async function joined(leg) {
  const from = (await bridge.get('/v1/events?limit=500')).items;
  if (from.some((event) => event.type === 'participant.joined' && event.leg === leg)) return;
  await joined(leg);
}

/** Each phone has the usual port on an address of its own, for readable addresses. */
async function dial({ name, line }, behaviour) {
  const address = `127.0.0.${++dialled + 10}`;
  await phones.line(line, { bind: `${address}:5060`, ...behaviour });
  const { leg } = await bridge.post('/v1/rooms/standup/participants', { to: `sip:${line}@${address}`, display_name: name });
  return { leg, call: await phones.incoming(line) };
}

async function take(colorScheme, path) {
  const operator = await Operator.signedIn(browser, bridge.url, 'rooms/standup', { colorScheme });
  await operator.person('Anna Lindqvist').is('[data-talking=true]');
  await operator.person('Bruno Costa').is('[data-muted=true]');
  await operator.person('Chen Wei').is('[data-held=true]');
  await operator.person(RINGING.name).is('[data-state=ringing]');
  await operator.person('Anna Lindqvist').louderThan(-40);
  await operator.page.mouse.move(0, 0);
  await operator.page.screenshot({ path: fileURLToPath(new URL(path, import.meta.url)) });
  await operator.close();
}
