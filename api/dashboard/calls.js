// Calls of two parties: connect, watch, transfer, hang up.

import { act } from './dialogs.js';
import { attribute, h, icon, iconButton, keyed, shortAddress, since, text } from './dom.js';
import { askTransfer, showTransfer, withScheme } from './room.js';

export function callsView({ api, store }) {
  const field = (name, words, test) => h('input', { name, placeholder: words, 'aria-label': words, autocomplete: 'off', spellcheck: 'false', inputmode: 'url', required: true, 'data-test': test });
  const first = field('first', 'First party, sip:…', 'call-first');
  const second = field('second', 'Second party, sip:…', 'call-second');
  const submit = h('button.primary', { type: 'submit', 'data-test': 'call-submit' }, icon('phone'), 'Connect');
  const form = h('form.dial', { 'aria-label': 'Connect two parties' }, first, second, submit);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    act(submit, async () => {
      const legs = [first, second].map((input) => ({ to: withScheme(input.value.trim()) }));
      await store.read(() => api.post('/v1/calls', { legs }), (call) => store.calls.set(call.id, call));
      first.value = second.value = '';
    });
  });
  const rows = h('div.rows', { role: 'list', 'aria-label': 'Calls' });
  const empty = h('div.empty', { 'data-test': 'calls-empty' });
  const element = h('section', { 'aria-labelledby': 'calls-title' },
    h('div.head', {}, h('h1', { id: 'calls-title' }, 'Calls')), form, rows, empty);

  function update() {
    const calls = store.partyCalls();
    keyed(rows, calls, (call) => call.id, () => row(api, store));
    empty.hidden = calls.length > 0;
    text(empty, store.loaded ? 'No calls of two parties. Connect one above.' : 'Reading…');
  }

  return { element, update, tick: () => { for (const one of rows.rows?.values() ?? []) one.tick(); } };
}

const STATES = { dialing: 'Dialling', connected: 'Connected', ended: 'Ended' };

function row(api, store) {
  let call;
  const state = h('span.badge', { 'data-test': 'call-state' });
  const parties = h('div.parties');
  const length = h('span.number.joined', { 'data-test': 'call-since' });
  const hangUp = iconButton('hangup', 'Hang up', 'call-hangup', () => act(hangUp, () => api.delete(`/v1/calls/${call.id}`)), '.danger-quiet');
  const element = h('article.row.call', { role: 'listitem', 'data-test': 'call' },
    parties, h('div.badges', {}, state), h('div.figures', {}, length), h('div.row-buttons', {}, hangUp));

  function update(fresh) {
    call = fresh;
    attribute(element, 'data-call', call.id);
    attribute(element, 'data-state', call.state);
    text(state, STATES[call.state] ?? call.state);
    attribute(state, 'class', `badge ${call.state === 'connected' ? 'live' : 'quiet'}`);
    keyed(parties, call.legs.map((id) => store.legs.get(id) ?? { id }), (leg) => leg.id, () => party(api, store));
    tick();
  }

  function tick() {
    text(length, since(call.connected_at));
  }

  return { element, update, tick };
}

function party(api, store) {
  let leg;
  const far = () => shortAddress(leg.direction === 'inbound' ? leg.from : leg.to);
  const name = h('span.name');
  const words = h('span.address');
  const held = h('span.badge.info', { hidden: true }, icon('hold'), 'On hold');
  const transferred = h('span.badge.info', { hidden: true });
  const byUs = () => leg.held && leg.held_by !== 'remote';
  const change = () => (byUs() ? api.delete(`/v1/legs/${leg.id}/hold`) : api.put(`/v1/legs/${leg.id}/hold`));
  const hold = iconButton('hold', 'Hold', 'leg-hold', () => act(hold, () => store.read(change, (fresh) => store.legs.set(fresh.id, fresh))));
  const transfer = iconButton('transfer', 'Transfer', 'leg-transfer', () => askTransfer(api, leg.id, leg.display_name || far()));
  const element = h('div.party', { 'data-test': 'call-leg' },
    h('div.who-words', {}, name, words), held, transferred, h('div.row-buttons', {}, hold, transfer));

  function update(fresh) {
    leg = fresh;
    attribute(element, 'data-leg', leg.id);
    text(name, leg.display_name || (leg.to ? far() : 'Leg'));
    text(words, [leg.display_name ? far() : null, leg.state, leg.codec].filter(Boolean).join(' · '));
    held.hidden = !leg.held;
    showTransfer(transferred, leg.transfer);
    hold.show(byUs() ? 'resume' : 'hold', byUs() ? 'Resume' : 'Hold');
    for (const one of [hold, transfer]) one.disabled = leg.state !== 'answered';
  }

  return { element, update };
}
