// The wall: every open room as a card, with who is in it and who talks.

import { act } from './dialogs.js';
import { attribute, h, icon, initials, keyed, nameOf, since, text } from './dom.js';

const FACES = 7;

export function roomsView({ api, store }) {
  const filter = h('input', { type: 'search', placeholder: 'Find a room or a person', 'aria-label': 'Find a room or a person', 'data-test': 'room-filter', oninput: () => update() });
  const name = h('input', { name: 'name', placeholder: 'New room', 'aria-label': 'Name of the new room', autocomplete: 'off', spellcheck: 'false', 'data-test': 'room-create-name' });
  const submit = h('button.primary', { type: 'submit', 'data-test': 'room-create-submit' }, icon('plus'), 'Make room');
  const form = h('form.inline', {}, name, submit);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    act(submit, async () => {
      const wanted = name.value.trim();
      await store.read(() => api.post('/v1/rooms', wanted ? { name: wanted } : {}), (room) => store.rooms.set(room.id, room));
      name.value = '';
    });
  });
  const grid = h('div.cards', { role: 'list' });
  const empty = h('div.empty', { hidden: true, 'data-test': 'rooms-empty' });
  const element = h('section', { 'aria-labelledby': 'rooms-title' },
    h('div.head', {}, h('h1', { id: 'rooms-title' }, 'Rooms'), h('div.head-tools', {}, filter, form)),
    grid, empty);

  function update() {
    const wanted = filter.value.trim().toLowerCase();
    const rooms = [...store.rooms.values()]
      .filter((room) => !wanted || room.name.toLowerCase().includes(wanted)
        || store.roster(room.id).some((person) => `${nameOf(person)} ${person.uri}`.toLowerCase().includes(wanted)))
      .sort((a, b) => b.participants - a.participants || a.name.localeCompare(b.name));
    keyed(grid, rooms, (room) => room.id, () => card(store));
    empty.hidden = rooms.length > 0;
    text(empty, !store.loaded ? 'Reading…' : wanted ? 'Nothing found.'
      : `No rooms yet. Make one here, or call sip:anything@${location.hostname} from a phone.`);
  }

  return { element, update, tick: () => { for (const row of grid.rows?.values() ?? []) row.tick(); }, meters() {} };
}

function card(store) {
  const title = h('a.card-title', { 'data-test': 'room-card-link' });
  const lock = h('span.badge', { hidden: true }, icon('lock'), 'Locked');
  const adHoc = h('span.badge.quiet', { hidden: true, title: 'Made by a call; ends when the last one leaves' }, 'Ad hoc');
  const count = h('span.people', {}, icon('people'), h('span.number', { 'data-test': 'room-card-count' }));
  const age = h('span.muted-words.number');
  const faces = h('div.faces');
  const talkers = h('p.talkers');
  const element = h('article.card', { role: 'listitem', 'data-test': 'room-card' },
    h('div.card-top', {}, title, lock, adHoc), faces, talkers,
    h('div.card-foot', {}, count, age));
  let room;

  function update(fresh) {
    room = fresh;
    const roster = store.roster(room.id);
    const joined = roster.filter((person) => person.state === 'joined');
    const talking = joined.filter((person) => person.talking && !person.muted).map(nameOf);
    text(title, room.name);
    attribute(title, 'href', `#/rooms/${encodeURIComponent(room.name)}`);
    attribute(element, 'data-room', room.id);
    attribute(element, 'data-name', room.name);
    lock.hidden = !room.locked;
    adHoc.hidden = !room.ad_hoc;
    attribute(count, 'aria-label', `${room.participants} of ${room.max_participants} people`);
    text(count.lastChild, `${room.participants}`);
    keyed(faces, joined.slice(0, FACES), (person) => person.leg, face);
    attribute(faces, 'data-more', joined.length > FACES ? `+${joined.length - FACES}` : null);
    faces.hidden = joined.length === 0;
    text(talkers, talking.length ? `Speaking: ${talking.slice(0, 3).join(', ')}`
      : room.participants ? 'Quiet' : 'Nobody is here');
    attribute(talkers, 'data-talking', talking.length > 0 || null);
    tick();
  }

  function tick() {
    text(age, since(room.created_at));
    attribute(age, 'title', `Since ${new Date(room.created_at).toLocaleString()}`);
  }

  return { element, update, tick };
}

function face() {
  const element = h('span.face');
  return {
    element,
    update(person) {
      text(element, initials(nameOf(person)));
      attribute(element, 'title', nameOf(person));
      attribute(element, 'data-talking', (person.talking && !person.muted) || null);
    },
  };
}
