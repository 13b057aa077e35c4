// The operator page: signs in, follows the event log, and shows rooms, people and calls as they are now.

import { Api, Problem, Stream } from './api.js';
import { callsView } from './calls.js';
import { failed, toast } from './dialogs.js';
import { attribute, h, icon, shortAddress, text } from './dom.js';
import { feedView } from './feed.js';
import { roomView } from './room.js';
import { roomsView } from './rooms.js';
import { Store } from './store.js';

const KEY = 'plenary-key';
const app = document.getElementById('app');

/** A link may carry the key: `#key=…`. It is kept for this tab only, and taken out of the address at once. */
function takeKey() {
  const given = /^#key=(.+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem(KEY, decodeURIComponent(given[1]));
    history.replaceState(null, '', `${location.pathname}#/rooms`);
  }
  return sessionStorage.getItem(KEY);
}

function signIn(why) {
  const error = h('p.field-error', { 'data-test': 'sign-in-error', role: 'alert', hidden: !why }, why ?? '');
  const input = h('input', { 'data-test': 'sign-in-key', type: 'password', name: 'key', autocomplete: 'current-password', required: true, 'aria-describedby': 'sign-in-help' });
  const submit = h('button.primary.wide', { type: 'submit', 'data-test': 'sign-in-submit' }, 'Sign in');
  const user = h('input', { 'data-test': 'sign-in-user', name: 'username', autocomplete: 'username', value: location.host, readonly: true });
  const userField = h('label.field', { hidden: true }, h('span', {}, 'User'), user);
  const secret = h('span', {}, 'API key');
  const help = h('p.hint', { id: 'sign-in-help' }, 'The bridge prints a key, and a link that carries it, when it first starts. The key stays in this tab.');
  const form = h('form.sign-in-card', { 'data-test': 'sign-in-form' },
    h('img', { src: '/dashboard/icon.svg', width: 44, height: 44, alt: '' }),
    h('h1', {}, 'Plenary'),
    userField,
    h('label.field', {}, secret, input),
    error, submit, help);
  let byPassword = false;
  new Api('').get('/v1/sessions').then((ways) => {
    if (!ways.by_password) return;
    byPassword = true;
    userField.hidden = false;
    user.readOnly = false;
    user.value = '';
    text(secret, 'Password, or an API key without a user');
    text(help, 'As in the directory of your organisation. What you may do is what your groups may.');
    if (!input.value) user.focus();
  }, () => {}); // the key says more, if the bridge cannot be reached
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.setAttribute('aria-busy', 'true');
    const name = byPassword ? user.value.trim() : '';
    try {
      const key = name ? (await new Api('').post('/v1/sessions', { user: name, password: input.value })).token : input.value.trim();
      await new Api(key).get('/v1/rooms?limit=1');
      sessionStorage.setItem(KEY, key);
      start(key);
    } catch (problem) {
      error.hidden = false;
      error.textContent = problem.status === 401 && !name ? 'This key is not known to the bridge.' : problem.message;
      submit.removeAttribute('aria-busy');
      input.select();
    }
  });
  app.replaceChildren(h('main.sign-in', {}, form));
  input.focus();
}

/** Everything behind the sign-in. */
function start(key) {
  const api = new Api(key);
  let frame = 0;
  const changed = () => { frame ||= requestAnimationFrame(() => { frame = 0; render(); }); };
  const store = new Store(api, { changed, failed });
  const shell = shellView({ signOut, hurry: () => stream.hurry() });
  const feed = feedView(store);
  shell.side.append(feed.element);
  let view = null;

  const stream = new Stream(key, {
    state: shell.connection,
    event: (event) => {
      // Since a restart: the log goes on, but what was there is not.
      if (event.type === 'node.ready' && store.loaded) return load(event.seq);
      store.apply(event);
      announce(event, store);
    },
    levels: (levels) => store.hear(levels),
    ready: (resumed, seq) => (resumed ? toast('info', 'Connected again', 'Nothing was missed.') : load(seq)),
    refused: (problem) => leave(problem.message),
  });

  async function load(seq) {
    try {
      const again = store.loaded;
      if (again) store.feed = [];
      await Promise.all([store.load(), store.loadFeed(seq)]);
      if (again) toast('info', 'Connected again', 'Everything was read anew.');
      view?.opened?.();
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 401) leave(problem.message);
      else failed(problem);
    }
  }

  function show() {
    const [, page, name] = /^#\/(\w+)(?:\/(.+))?$/.exec(location.hash) ?? [null, 'rooms'];
    const context = { api, store };
    if (page === 'calls') view = callsView(context);
    else if (page === 'rooms' && name) view = roomView(context, decodeURIComponent(name));
    else view = roomsView(context);
    shell.main.replaceChildren(view.element);
    shell.current(page === 'calls' ? 'calls' : 'rooms');
    view.opened?.();
    render();
    shell.main.scrollTop = 0;
  }

  function render() {
    shell.counts(store);
    feed.update();
    view?.update();
  }

  const slow = setInterval(() => view?.tick?.(), 1000);
  const fast = setInterval(() => view?.meters?.(), 100);

  function stop() {
    stream.stop();
    clearInterval(slow);
    clearInterval(fast);
    removeEventListener('hashchange', show);
  }

  function leave(why) {
    stop();
    sessionStorage.removeItem(KEY);
    signIn(why);
  }

  function signOut() {
    leave();
  }

  app.replaceChildren(shell.element);
  addEventListener('hashchange', show);
  show();
  stream.run();
}

/** Says what happens out of sight of a button press: how transfers and dialling end. */
function announce(event, store) {
  const person = store.people.get(event.leg);
  const who = event.data?.display_name || person?.display_name || shortAddress(event.data?.uri ?? person?.uri) || 'The call';
  const why = event.data?.sip ? ` (${event.data.sip.status} ${event.data.sip.reason})` : '';
  if (event.type === 'leg.transfer_completed') toast('info', 'Transferred', `${who} was put through.`);
  if (event.type === 'leg.transfer_failed') toast('error', 'Transfer failed', `${who} keeps the call there was${why}.`);
  const reason = event.data?.left_reason;
  if (event.type === 'participant.left' && event.data?.direction === 'outbound' && !event.data?.joined_at && reason !== 'kicked') {
    toast('error', `${who} did not join`, `${(reason ?? 'failed').replaceAll('_', ' ')}${why}`);
  }
}

function shellView({ signOut, hurry }) {
  const rooms = h('a', { href: '#/rooms', 'data-test': 'nav-rooms' }, icon('people'), h('span', {}, 'Rooms'), h('span.count', {}));
  const calls = h('a', { href: '#/calls', 'data-test': 'nav-calls' }, icon('phone'), h('span', {}, 'Calls'), h('span.count', {}));
  const status = h('button.status', { type: 'button', 'data-test': 'connection', 'data-state': 'connecting', 'aria-live': 'polite', onclick: hurry }, 'Connecting');
  const main = h('main.main', { id: 'main', tabindex: '-1' });
  const side = h('aside.side', { 'aria-label': 'Event feed' });
  const element = h('div.shell', {},
    h('a.skip', { href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to content'),
    h('header.bar', {},
      h('a.brand', { href: '#/rooms', 'aria-label': 'Plenary, to the rooms' }, h('img', { src: '/dashboard/icon.svg', width: 24, height: 24, alt: '' }), h('span', {}, 'Plenary')),
      h('nav', { 'aria-label': 'Main' }, rooms, calls),
      status,
      h('button.ghost', { type: 'button', 'data-test': 'sign-out', onclick: signOut }, 'Sign out')),
    h('div.columns', {}, main, side));
  const connection = (state, until) => {
    attribute(status, 'data-state', state === 'waiting' ? 'reconnecting' : state);
    const seconds = Math.ceil((until - Date.now()) / 1000);
    text(status, { connecting: 'Connecting…', live: 'Live', waiting: `Offline, again in ${seconds} s` }[state]);
    attribute(status, 'title', state === 'waiting' ? 'Try now' : null);
  };
  const current = (page) => {
    attribute(rooms, 'aria-current', page === 'rooms' ? 'page' : null);
    attribute(calls, 'aria-current', page === 'calls' ? 'page' : null);
  };
  const counts = (store) => {
    text(rooms.lastChild, String(store.rooms.size));
    text(calls.lastChild, String(store.partyCalls().length));
  };
  return { element, main, side, connection, current, counts };
}

addEventListener('hashchange', () => { if (location.hash.startsWith('#key=')) location.reload(); });
const key = takeKey();
if (key) start(key);
else signIn();
