// One room: its people live, what can be done to each, to all, and to the room.

import { act, ask, toast } from './dialogs.js';
import { attribute, h, icon, iconButton, initials, keyed, nameOf, shortAddress, since, text } from './dom.js';

export function roomView({ api, store }, name) {
  const title = h('h1', { 'data-test': 'room-title' }, name);
  const badges = { lock: h('span.badge', { hidden: true, 'data-test': 'room-locked' }, icon('lock'), 'Locked'), count: h('span.muted-words', { 'data-test': 'room-count' }) };
  const room = () => store.room(name);
  const path = () => `/v1/rooms/${room()?.id ?? encodeURIComponent(name)}`;
  const lock = button('lock', 'Lock', 'room-lock', () => setLock(api, store, room(), path()));
  const muteAll = button('muted', 'Mute all', 'room-mute-all', () => muteEverybody(true));
  const unmuteAll = button('mic', 'Unmute all', 'room-unmute-all', () => muteEverybody(false));
  const end = button('end', 'End room', 'room-end', () => askEnd(api, path(), name), '.danger-quiet');
  const dial = dialBox(api, store, path);
  const rows = h('div.rows', { role: 'list', 'aria-label': 'People' });
  const empty = h('div.empty', { 'data-test': 'room-empty' });
  const gone = h('div.empty', { hidden: true, 'data-test': 'room-gone' }, 'This room has ended. ', h('a', { href: '#/rooms' }, 'To the rooms'));
  const live = h('div', {}, dial.element, rows, empty);
  const tools = h('div.head-tools', {}, lock, muteAll, unmuteAll, end);
  const element = h('section', { 'data-test': 'room', 'aria-label': `Room ${name}` },
    h('a.back', { href: '#/rooms' }, icon('back'), 'Rooms'),
    h('div.head', {}, h('div.head-title', {}, title, badges.lock, badges.count), tools), live, gone);

  async function muteEverybody(muted) {
    await store.read(() => api.patch(`${path()}/participants`, { muted }), ({ items }) => {
      for (const person of items) store.people.set(person.leg, person);
    });
  }

  function update() {
    const it = room();
    gone.hidden = Boolean(it) || !store.loaded;
    live.hidden = tools.hidden = badges.count.hidden = !it;
    if (!it) {
      badges.lock.hidden = true;
      keyed(rows, [], () => null, () => null);
      return;
    }
    const roster = store.roster(it.id);
    const speaking = roster.filter((person) => person.talking && !person.muted).length;
    text(title, it.name);
    badges.lock.hidden = !it.locked;
    lock.show(it.locked ? 'unlock' : 'lock', it.locked ? 'Unlock' : 'Lock');
    attribute(lock, 'aria-pressed', it.locked);
    text(badges.count, `${it.participants} of ${it.max_participants} seats${speaking ? `, ${speaking} speaking` : ''}`);
    keyed(rows, roster, (person) => person.leg, () => row(api, store));
    empty.hidden = roster.length > 0;
    text(empty, store.rosters.has(it.id) ? `Nobody is here yet. Dial somebody above, or call sip:${it.name}@${location.hostname}.` : 'Reading…');
  }

  return {
    element,
    update,
    opened() {
      const it = room();
      if (it && !store.rosters.has(it.id)) act(rows, () => store.loadRoster(it.id));
    },
    tick: () => { for (const one of rows.rows?.values() ?? []) one.tick(); },
    meters: () => { for (const one of rows.rows?.values() ?? []) one.meter(); },
  };
}

/** A button with an icon and words. */
function button(iconName, label, test, action, kind = '') {
  const picture = icon(iconName);
  const words = h('span', {}, label);
  const element = h(`button${kind}`, { type: 'button', 'data-test': test, onclick: () => act(element, async () => action()) }, picture, words);
  element.show = (otherIcon, otherLabel) => { picture.show(otherIcon); text(words, otherLabel); };
  return element;
}

function setLock(api, store, room, path) {
  const change = () => (room.locked ? api.delete(`${path}/lock`) : api.put(`${path}/lock`));
  return store.read(change, (fresh) => store.rooms.set(fresh.id, fresh));
}

function askEnd(api, path, name) {
  ask({
    title: `End ${name}?`, words: 'Everybody in it is hung up.', action: 'End room', danger: true,
    confirm: () => api.post(`${path}/end`, {}),
  });
}

function dialBox(api, store, path) {
  const to = h('input', { name: 'to', placeholder: 'sip:alice@example.com', 'aria-label': 'Address to dial', autocomplete: 'off', spellcheck: 'false', inputmode: 'url', required: true, 'data-test': 'dial-to' });
  const as = h('input', { name: 'as', placeholder: 'Name (optional)', 'aria-label': 'Name to show for them', autocomplete: 'off', 'data-test': 'dial-name' });
  const submit = h('button.primary', { type: 'submit', 'data-test': 'dial-submit' }, icon('phone'), 'Dial');
  const element = h('form.dial', { 'aria-label': 'Dial somebody into this room' }, to, as, submit);
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    act(submit, async () => {
      const body = { to: withScheme(to.value.trim()) };
      if (as.value.trim()) body.display_name = as.value.trim();
      await store.read(() => api.post(`${path()}/participants`, body), (person) => store.people.set(person.leg, person));
      to.value = as.value = '';
    });
  });
  return { element };
}

/** People type `alice@example.com`; the API wants the scheme. */
export function withScheme(address) {
  return /^[a-z]+:/i.test(address) ? address : `sip:${address}`;
}

const STATES = { dialing: 'Dialling', ringing: 'Ringing' };

function row(api, store) {
  let person;
  let leg;
  let shown;
  const path = () => `/v1/rooms/${person.room}/participants/${person.leg}`;
  const patch = (body) => store.read(() => api.patch(path(), body), (fresh) => store.people.set(fresh.leg, fresh));

  const face = h('span.face');
  const name = h('span.name', { 'data-test': 'participant-name' });
  const address = h('span.address');
  const speaks = h('span.badge.live', { hidden: true, 'data-test': 'participant-talking' }, 'Speaking');
  const muted = h('span.badge.warn', { hidden: true, 'data-test': 'participant-muted' }, icon('muted'), 'Muted');
  const held = h('span.badge.info', { hidden: true, 'data-test': 'participant-held' }, icon('hold'), h('span'));
  const deaf = h('span.badge', { hidden: true }, 'Deaf');
  const role = h('span.badge.quiet', { hidden: true });
  const state = h('span.badge.quiet', { hidden: true, 'data-test': 'participant-state' });
  const transfer = h('span.badge.info', { hidden: true, 'data-test': 'participant-transfer-state' });
  const meter = h('span.meter', { 'data-test': 'participant-level', 'aria-hidden': 'true' }, h('span.meter-fill'));
  const codec = h('span.codec', { 'data-test': 'participant-codec' });
  const joined = h('span.number.joined', { 'data-test': 'participant-since' });
  const mute = iconButton('muted', 'Mute', 'participant-mute', () => act(mute, () => patch({ muted: !person.muted })));
  const hold = iconButton('hold', 'Hold', 'participant-hold', () => act(hold, () => patch({ held: !heldHere(person) })));
  const move = iconButton('move', 'Move to another room', 'participant-move', () => askMove());
  const refer = iconButton('transfer', 'Transfer to an address', 'participant-transfer', () => askTransfer(api, person.leg, nameOf(person)));
  const kick = iconButton('hangup', 'Remove from the room', 'participant-kick', () => askKick(), '.danger-quiet');
  const element = h('article.row', { role: 'listitem', 'data-test': 'participant' },
    h('div.who', {}, face, h('div.who-words', {}, name, address)),
    h('div.badges', {}, state, speaks, muted, held, deaf, transfer, role),
    h('div.figures', {}, meter, codec, joined),
    h('div.row-buttons', { role: 'group' }, mute, hold, move, refer, kick));

  function askMove() {
    const others = [...store.rooms.values()].filter((other) => other.id !== person.room).map((other) => other.name).sort();
    ask({
      title: `Move ${nameOf(person)}`, action: 'Move', field: { label: 'To room', placeholder: 'Room name', options: others },
      confirm: (to) => patch({ room: to }),
    });
  }

  function askKick() {
    ask({
      title: `Remove ${nameOf(person)}?`, words: 'Their phone is hung up.', action: 'Remove', danger: true,
      confirm: () => api.delete(path()),
    });
  }

  // Resources are replaced, never changed in place, so identity tells whether there is anything new.
  const stale = (fresh) => fresh !== person || store.legs.get(fresh.leg) !== leg;

  function update(fresh) {
    person = fresh;
    leg = store.legs.get(person.leg);
    const here = person.state === 'joined';
    const label = nameOf(person);
    const talking = here && person.talking && !person.muted && !person.held;
    for (const [key, value] of Object.entries({ leg: person.leg, state: person.state, muted: person.muted, held: person.held, talking })) attribute(element, `data-${key}`, value);
    attribute(element, 'aria-label', label);
    text(face, initials(label));
    text(name, label);
    text(address, shortAddress(person.uri));
    attribute(address, 'title', `${person.direction === 'inbound' ? 'Called us' : 'We called'}: ${person.uri}`);
    state.hidden = here;
    text(state, STATES[person.state] ?? person.state);
    speaks.hidden = !talking;
    muted.hidden = !person.muted;
    held.hidden = !person.held;
    text(held.lastChild, { remote: 'On hold by phone', both: 'On hold by both' }[person.held_by] ?? 'On hold');
    deaf.hidden = !person.deaf;
    role.hidden = person.role === 'speaker';
    text(role, person.role);
    showTransfer(transfer, leg?.transfer);
    text(codec, person.codec ?? '');
    mute.show(person.muted ? 'mic' : 'muted', person.muted ? 'Unmute' : 'Mute');
    attribute(mute, 'aria-pressed', person.muted);
    hold.show(heldHere(person) ? 'resume' : 'hold', heldHere(person) ? 'Resume' : 'Hold');
    attribute(hold, 'aria-pressed', heldHere(person));
    for (const one of [mute, hold, move, refer]) one.disabled = !here;
    kick.show('hangup', here ? 'Remove from the room' : 'Stop dialling');
    tick();
  }

  function tick() {
    text(joined, since(person.joined_at));
    attribute(joined, 'title', person.joined_at ? `Joined ${new Date(person.joined_at).toLocaleString()}` : null);
  }

  function showMeter() {
    const dbov = person.state === 'joined' && !person.held ? store.loudness(person.leg) : -127;
    if (dbov === shown) return;
    shown = dbov;
    const share = Math.max(0, Math.min(1, (dbov + 60) / 60));
    meter.firstChild.style.setProperty('--level', share.toFixed(2));
    attribute(meter, 'data-dbov', dbov);
  }

  return { element, update, stale, tick, meter: showMeter };
}

/** Held by us: what our button takes back. What the phone holds only the phone resumes. */
function heldHere(thing) {
  return thing.held && thing.held_by !== 'remote';
}

const TRANSFERS = { requested: 'Transferring', progressing: 'Transfer rings', failed: 'Transfer failed' };

export function showTransfer(badge, state) {
  badge.hidden = !TRANSFERS[state];
  text(badge, TRANSFERS[state] ?? '');
}

export function askTransfer(api, leg, who) {
  ask({
    title: `Transfer ${who}`, words: 'Their phone is asked to call this address. If that fails, they keep the call they have.',
    action: 'Transfer', field: { label: 'To address', placeholder: 'sip:carol@example.com' },
    confirm: async (to) => {
      await api.post(`/v1/legs/${leg}/transfer`, { to: withScheme(to) });
      toast('info', 'Transfer asked for', `${who} is being put through.`);
    },
  });
}
