// What an operator does on the page, against a real bridge with real calls: what is pressed is heard on the phones.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Bridge, KEY, Wire } from './bridge.js';
import { launch, Operator } from './browser.js';
import { Phones } from './phones.js';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

/** A test with a bridge and a box of phones of its own. */
function scene(name, run) {
  test(name, async (t) => {
    const bridge = await Bridge.start();
    const phones = await Phones.start();
    const operators = [];
    const signedIn = async (where, url = bridge.url) => {
      const operator = await Operator.signedIn(browser, url, where);
      operators.push(operator);
      return operator;
    };
    const join = async (name, room, toneHz, behaviour) => {
      const call = await phones.call(name, bridge.uri(room), toneHz, behaviour);
      await call.wait('answered');
      return call;
    };
    const people = async (room) => (await bridge.get(`/v1/rooms/${room}/participants`)).items;
    try {
      await run({ bridge, phones, signedIn, join, people });
      for (const operator of operators) await operator.close();
      await phones.stop();
    } catch (error) {
      for (const operator of operators) t.diagnostic(await operator.page.locator('body').innerText().catch(String));
      t.diagnostic(bridge.log().split('\n').slice(-60).join('\n'));
      throw error;
    } finally {
      for (const operator of operators) await operator.context.close();
      phones.child.kill();
      await bridge.stop();
    }
  });
}

// ---- signing in ----

scene('a wrong key is refused', async ({ bridge }) => {
  const operator = await Operator.open(browser, bridge.url);

  await operator.signIn('not-the-key');

  await operator.sees('[data-test=sign-in-error]', 'This key is not known to the bridge.');
  assert.equal(await operator.test('connection').count(), 0);
  await operator.close();
});

scene('the right key opens the page until one signs out', async ({ bridge }) => {
  const operator = await Operator.open(browser, bridge.url);

  await operator.signIn(KEY);
  await operator.live();
  await operator.sees('[data-test=rooms-empty]', 'No rooms yet.');
  await operator.page.reload();
  await operator.live();
  await operator.press('sign-out');

  await operator.sees('[data-test=sign-in-form]');
  await operator.page.reload();
  await operator.sees('[data-test=sign-in-form]');
  await operator.close();
});

scene('a link signs in and does not keep its key in the address', async ({ bridge }) => {
  const operator = await Operator.open(browser, `${bridge.url}/#key=${KEY}`);

  await operator.live();

  assert.ok(!operator.page.url().includes(KEY), operator.page.url());
  await operator.close();
});

// ---- rooms ----

scene('a room is made, found, locked and ended', async ({ signedIn, bridge, phones }) => {
  const operator = await signedIn();
  const card = (name) => `[data-test=room-card][data-name="${name}"]`;

  await operator.test('room-create-name').fill('standup');
  await operator.press('room-create-submit');
  await operator.sees(card('standup'), 'Nobody is here');
  await bridge.post('/v1/rooms', { name: 'review' });
  await operator.sees(card('review'));
  await operator.test('room-filter').fill('stand');
  await operator.page.locator(card('review')).waitFor({ state: 'detached' });
  await operator.page.locator(card('standup')).getByTestId('room-card-link').click();
  await operator.sees('[data-test=room-empty]', 'Nobody is here yet.');
  await operator.press('room-lock');
  await operator.sees('[data-test=room-locked]');

  const anna = await phones.call('anna', bridge.uri('standup'), 440);
  assert.equal((await anna.wait('failed')).status, 403);
  await operator.press('room-lock');
  await operator.test('room-locked').waitFor({ state: 'hidden' });
  await operator.press('room-end');
  await operator.confirm();
  await operator.sees('[data-test=room-gone]');
  assert.equal((await bridge.get('/v1/rooms')).items.length, 1);
});

scene('a room shows who is in it, who talks, how loud and in which codec', async ({ signedIn, join }) => {
  const operator = await signedIn('rooms/standup');

  const anna = await join('anna', 'standup', 440);
  await join('bert', 'standup', 880, { codecs: ['opus'] });

  await operator.sees('[data-test=room-count]', '2 of');
  await operator.person('anna').says('codec', 'PCMU');
  await operator.person('bert').says('codec', 'opus');
  await operator.person('anna').says('talking', 'Speaking');
  await operator.sees('[data-test=room-count]', '2 speaking');
  await operator.person('anna').louderThan(-40);
  await anna.order('play', {});
  await operator.person('anna').is('[data-talking=false]');
  await operator.person('anna').quieterThan(-60);
  await operator.person('bert').is('[data-talking=true]');
  await operator.test('feed-talk').check();
  await operator.event('participant.talk_ended');
  await anna.order('hangup');
  await operator.person('anna').gone();
  await operator.sees('[data-test=room-count]', '1 of');
});

scene('the wall shows a room that callers made', async ({ signedIn, join }) => {
  const operator = await signedIn();

  await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);

  await operator.sees('[data-test=room-card][data-name=standup]', 'Speaking: anna, bert');
  await operator.sees('[data-test=room-card-count]', '2');
  await bert.order('hangup');
  await operator.sees('[data-test=room-card][data-name=standup]', /Speaking: anna(?!,)/);
  await operator.sees('[data-test=room-card-count]', '1');
});

// ---- people ----

scene('mute silences a person, and only towards the others', async ({ signedIn, join, people }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);
  await bert.hears([440], [880]);

  await operator.person('anna').press('mute');

  await operator.person('anna').is('[data-muted=true][data-talking=false]');
  await operator.person('anna').says('muted', 'Muted');
  await operator.event('participant.muted');
  await bert.hears([], [440]);
  await anna.hears([880], [440]);
  assert.deepEqual((await people('standup')).map(({ uri, muted }) => [userOf(uri), muted]).sort(), [['anna', true], ['bert', false]]);
  await operator.person('anna').press('mute');
  await operator.person('anna').is('[data-muted=false]');
  await bert.hears([440], [880]);
});

scene('all are muted and unmuted at once', async ({ signedIn, join, people }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);

  await operator.press('room-mute-all');

  for (const name of ['anna', 'bert']) await operator.person(name).is('[data-muted=true]');
  await Promise.all([anna.hears([], [880]), bert.hears([], [440])]);
  assert.ok((await people('standup')).every((person) => person.muted));
  await operator.press('room-unmute-all');
  for (const name of ['anna', 'bert']) await operator.person(name).is('[data-muted=false]');
  await Promise.all([anna.hears([880], []), bert.hears([440], [])]);
});

scene('hold parks a person, and resume brings them back', async ({ signedIn, join, people }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);

  await operator.person('anna').press('hold');

  await operator.person('anna').is('[data-held=true][data-talking=false]');
  await operator.person('anna').says('held', 'On hold');
  const offered = await anna.wait('reinvited');
  assert.ok(['sendonly', 'inactive'].includes(offered.direction), JSON.stringify(offered));
  await Promise.all([anna.hears([], [880]), bert.hears([], [440])]);
  assert.equal((await people('standup')).find(({ uri }) => userOf(uri) === 'anna').held_by, 'local');
  await operator.person('anna').press('hold');
  await operator.person('anna').is('[data-held=false]');
  await Promise.all([anna.hears([880], []), bert.hears([440], [])]);
});

scene('a phone that holds is shown so', async ({ signedIn, join }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);

  await anna.order('hold');
  await operator.person('anna').says('held', 'On hold by phone');
  await anna.order('resume');

  await operator.person('anna').is('[data-held=false]');
});

scene('a person is removed, once one is sure', async ({ signedIn, join, people }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);

  await operator.person('anna').press('kick');
  await operator.press('dialog-cancel');
  await operator.test('dialog').waitFor({ state: 'detached' });
  await bert.hears([440], []);
  await operator.person('anna').press('kick');
  await operator.confirm();

  assert.equal((await anna.wait('ended')).by, 'them');
  await operator.person('anna').gone();
  await operator.sees('[data-test=event][data-type="participant.left"]', 'kicked');
  await bert.hears([], [440]);
  assert.equal((await people('standup')).length, 1);
});

scene('a person is moved to another room', async ({ signedIn, join }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);
  const carl = await join('carl', 'review', 1320);
  await operator.sees('[data-test=nav-rooms]', '2');

  await operator.person('anna').press('move');
  await operator.page.locator('[data-test=dialog-option][data-value=review]').click();
  await operator.confirm();

  await operator.person('anna').gone();
  await Promise.all([anna.hears([1320], [880]), bert.hears([], [440]), carl.hears([440], [])]);
  await operator.go('rooms/review');
  await operator.person('anna').is('[data-state=joined]');
  await operator.person('carl').is('[data-state=joined]');
});

scene('a person is transferred to another phone', async ({ signedIn, join, phones }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);
  const target = await phones.line('carl', { tones_hz: [1320] });

  await operator.person('anna').press('transfer');
  await operator.confirm(target.replace('sip:', ''));

  await operator.toast('info', 'Transferred');
  await operator.person('anna').gone();
  assert.equal((await anna.wait('referred')).to, target);
  const carl = await phones.incoming('carl');
  await carl.hears([440], [880]);
  await bert.hears([], [440, 1320]);
});

scene('a transfer that fails leaves the person where they are', async ({ signedIn, join, phones }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);
  const target = await phones.line('carl', { on_invite: 'busy' });

  await operator.person('anna').press('transfer');
  await operator.confirm(target);

  await operator.toast('error', 'Transfer failed');
  await operator.person('anna').says('transfer-state', 'Transfer failed');
  await Promise.all([anna.hears([880], []), bert.hears([440], [])]);
});

// ---- dialling ----

scene('somebody is dialled into the room: rings, answers, is heard', async ({ signedIn, join, phones }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const name = 'Carl <b>Møller</b>';

  await operator.test('dial-to').fill(await phones.line('carl', { on_invite: 'ring', tones_hz: [1320], codecs: ['G722'] }));
  await operator.test('dial-name').fill(name);
  await operator.press('dial-submit');

  await operator.person(name).is('[data-state=ringing]');
  await operator.person(name).says('state', 'Ringing');
  const carl = await phones.incoming('carl');
  await carl.order('answer');
  await operator.person(name).is('[data-state=joined]');
  await operator.person(name).says('codec', 'G722');
  assert.equal(await operator.person(name).row.getByTestId('participant-name').innerText(), name);
  await Promise.all([anna.hears([1320], []), carl.hears([440], [])]);
});

scene('dialling that fails says why', async ({ signedIn, bridge, phones }) => {
  await bridge.post('/v1/rooms', { name: 'standup' });
  const operator = await signedIn('rooms/standup');

  await operator.test('dial-to').fill(await phones.line('carl', { on_invite: 'busy' }));
  await operator.press('dial-submit');
  await operator.toast('error', 'busy (486 Busy Here)');
  await operator.person('carl').gone();

  await operator.test('dial-to').fill('mailto:carl');
  await operator.press('dial-submit');
  await operator.toast('error', /sip/i);
});

scene('an answer that an event overtook brings nobody back', async ({ signedIn, bridge, phones }) => {
  await bridge.post('/v1/rooms', { name: 'standup' });
  const operator = await signedIn('rooms/standup');
  const left = operator.event('participant.left');
  await operator.page.route('**/participants', async (route) => {
    const response = await route.fetch();
    await left;
    await route.fulfill({ response });
  });

  await operator.test('dial-to').fill(await phones.line('carl', { on_invite: 'busy' }));
  const answered = operator.page.waitForResponse('**/participants');
  await operator.press('dial-submit');
  await (await answered).finished();

  await operator.page.locator('[data-test=dial-to]:valid').waitFor({ state: 'detached' });
  await operator.person('carl').gone();
});

scene('dialling is stopped before the answer', async ({ signedIn, bridge, phones }) => {
  await bridge.post('/v1/rooms', { name: 'standup' });
  const operator = await signedIn('rooms/standup');
  await operator.test('dial-to').fill(await phones.line('carl', { on_invite: 'ring' }));
  await operator.press('dial-submit');
  await operator.person('carl').is('[data-state=ringing]');

  await operator.person('carl').press('kick');
  await operator.confirm();

  await (await phones.incoming('carl')).wait('cancelled');
  await operator.person('carl').gone();
});

scene('ending a room hangs everybody up', async ({ signedIn, join, bridge }) => {
  const operator = await signedIn('rooms/standup');
  const anna = await join('anna', 'standup', 440);
  const bert = await join('bert', 'standup', 880);
  await operator.person('bert').is('[data-state=joined]');

  await operator.press('room-end');
  await operator.confirm();

  await operator.sees('[data-test=room-gone]', 'This room has ended.');
  for (const call of [anna, bert]) assert.equal((await call.wait('ended')).by, 'them');
  assert.deepEqual((await bridge.get('/v1/legs')).items.filter((leg) => leg.state !== 'ended'), []);
});

// ---- calls of two parties ----

scene('two parties are connected, held and hung up', async ({ signedIn, phones, bridge }) => {
  const operator = await signedIn('calls');
  await operator.sees('[data-test=calls-empty]');

  await operator.test('call-first').fill(await phones.line('anna', { tones_hz: [440] }));
  await operator.test('call-second').fill(await phones.line('bert', { tones_hz: [880], codecs: ['opus'] }));
  await operator.press('call-submit');

  await operator.sees('[data-test=call][data-state=connected]');
  const anna = await phones.incoming('anna');
  const bert = await phones.incoming('bert');
  await Promise.all([anna.hears([880], [440]), bert.hears([440], [880])]);
  const leg = operator.page.locator('[data-test=call-leg]', { hasText: 'anna@' });
  await leg.filter({ hasText: 'PCMU' }).waitFor();
  await leg.getByTestId('leg-hold').click();
  await leg.filter({ hasText: 'On hold' }).waitFor();
  await bert.hears([], [440]);
  await leg.getByTestId('leg-hold').click();
  await bert.hears([440], []);
  await operator.press('call-hangup');
  await operator.sees('[data-test=calls-empty]');
  for (const call of [anna, bert]) assert.equal((await call.wait('ended')).by, 'them');
  assert.equal((await bridge.get('/v1/calls')).items.filter((call) => call.state !== 'ended').length, 0);
});

// ---- the connection ----

scene('a cut connection is said, and resumes without loss', async ({ signedIn, join, bridge }) => {
  const wire = await Wire.to(bridge.api);
  const operator = await signedIn('rooms/standup', wire.url);
  await join('anna', 'standup', 440);
  await operator.person('anna').is('[data-state=joined]');
  const leg = await operator.person('anna').leg();

  wire.cut();
  await operator.sees('[data-test=connection][data-state=reconnecting]', 'Offline');
  await bridge.patch(`/v1/rooms/standup/participants/${leg}`, { muted: true });
  await join('bert', 'standup', 880);
  wire.mend();

  await operator.live();
  await operator.toast('info', 'Nothing was missed.');
  await operator.person('anna').is('[data-muted=true]');
  await operator.person('bert').is('[data-state=joined]');
  wire.close();
});

scene('a restart of the bridge is said, and everything is read anew', async ({ signedIn, join, bridge }) => {
  const operator = await signedIn('rooms/standup');
  await join('anna', 'standup', 440);
  await operator.person('anna').is('[data-state=joined]');

  await bridge.restart(() => operator.sees('[data-test=connection][data-state=reconnecting]', 'Offline'));

  await operator.live();
  await operator.toast('info', 'Everything was read anew.');
  await operator.person('anna').gone();
  await operator.sees('[data-test=room-gone]');
  await join('bert', 'standup', 880);
  await operator.person('bert').is('[data-state=joined]');
});

// ---- words of these tests ----

function userOf(uri) { return /sip:([^@]+)@/.exec(uri)[1]; }
