// The event feed: the newest of the log in words, with what it says in full.

import { clock, h, keyed, shortAddress, text, userOf } from './dom.js';

const SHOWN = 80;
const NAMES_KEPT = 1000;
const QUIET = new Set(['participant.talk_started', 'participant.talk_ended']);

export function feedView(store) {
  const names = new Map(); // of legs and calls that are gone by the time a later event tells of them
  const talk = h('input', { type: 'checkbox', 'data-test': 'feed-talk', onchange: () => update() });
  const list = h('ol.feed', { 'aria-label': 'Events, newest first' });
  const empty = h('p.empty', {}, 'What happens shows here.');
  const element = h('div', { 'data-test': 'feed' },
    h('div.feed-head', {}, h('h2', {}, 'Events'), h('label.check', {}, talk, 'Speech')), list, empty);

  function update() {
    const events = store.feed.filter((event) => talk.checked || !QUIET.has(event.type)).slice(0, SHOWN);
    keyed(list, events, (event) => event.seq, entry);
    empty.hidden = events.length > 0;
    for (const leg of [...names.keys()].slice(0, -NAMES_KEPT)) names.delete(leg);
  }

  /** An event does not change, but who it is about may become known later. */
  function entry(event) {
    const time = h('time.number', { datetime: event.time }, clock(event.time));
    const [kind, ...rest] = event.type.split('.');
    const who = h('b');
    const words = h('span.feed-words', {}, who, ' ', rest.join('.').replaceAll('_', ' '), detail(event));
    const item = h('li', { 'data-test': 'event', 'data-type': event.type, 'data-seq': event.seq, 'data-kind': kind, title: `${event.type}, number ${event.seq}` }, time, words);
    return { element: item, update: () => text(who, subject(event)) };
  }

  function subject(event) {
    const person = store.people.get(event.leg);
    const leg = store.legs.get(event.leg);
    const data = event.data ?? {};
    const named = names.get(event.leg);
    if (event.room && !event.leg) return data.name ?? store.rooms.get(event.room)?.name ?? 'Room';
    const uri = data.uri ?? person?.uri ?? farParty(data) ?? farParty(leg);
    const name = data.display_name || person?.display_name || userOf(uri);
    if (event.leg && name) names.set(event.leg, name);
    if (event.leg) return name || named || 'Leg';
    return event.call ? parties(event) : 'Bridge';
  }

  function parties({ call, data }) {
    const legs = data?.legs ?? store.calls.get(call)?.legs ?? [];
    const known = legs.map((leg) => names.get(leg) ?? userOf(farParty(store.legs.get(leg)))).filter(Boolean);
    if (known.length > 1) names.set(call, known.join(' and '));
    return names.get(call) ?? 'Call';
  }

  return { element, update };
}

/** The address of who is at the other end of a leg. */
function farParty(leg) {
  return leg?.direction === 'inbound' ? leg.from : leg?.to;
}

function detail(event) {
  const data = event.data ?? {};
  const parts = [];
  if (event.type.endsWith('dtmf') && data.digit) parts.push(data.digit);
  if (data.left_reason ?? data.end_reason ?? data.reason) parts.push((data.left_reason ?? data.end_reason ?? data.reason).replaceAll('_', ' '));
  if (data.sip) parts.push(`${data.sip.status} ${data.sip.reason}`);
  if (event.type === 'participant.dialing' && data.uri) parts.push(shortAddress(data.uri));
  return parts.length ? `: ${parts.join(', ')}` : '';
}
