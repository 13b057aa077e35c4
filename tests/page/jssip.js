// JsSIP in a page, for caller.js.

import { pack } from './pack.js';

export const name = 'JsSIP';

export const script = `${pack('jssip', 'JsSIP')}
  JsSIP.debug.disable('JsSIP:*');`;

export function file(url) {
  throw new Error(`JsSIP is one script, and ${url} none of it`);
}

// ---- in the page ----

export function connect({ ws, user, host, password }) {
  const socket = new JsSIP.WebSocketInterface(ws);
  const uri = `sip:${user}@${host}`;
  globalThis.told = [];
  globalThis.ua = new JsSIP.UA({ sockets: [socket], uri, password, register: Boolean(password), session_timers: false });
  globalThis.ua.on('newRTCSession', ({ session }) => {
    globalThis.session = session;
    for (const event of ['progress', 'accepted', 'confirmed', 'hold', 'unhold', 'ended', 'failed']) {
      session.on(event, (data) => globalThis.told.push(event, `${event}: ${data?.cause ?? ''}`));
    }
    const listen = (connection) => {
      globalThis.connection = connection;
      connection.addEventListener('track', ({ track }) => globalThis.play(track));
    };
    if (session.connection) listen(session.connection);
    else session.on('peerconnection', ({ peerconnection }) => listen(peerconnection));
    if (session.direction === 'incoming') session.answer({ mediaConstraints: globalThis.microphone });
  });
  const ready = new Promise((resolve, reject) => {
    globalThis.ua.on(password ? 'registered' : 'connected', () => resolve());
    globalThis.ua.on('registrationFailed', ({ cause }) => reject(new Error(cause)));
  });
  globalThis.ua.start();
  return ready;
}

export function call({ to, options }) {
  return new Promise((resolve, reject) => {
    const session = globalThis.ua.call(to, { mediaConstraints: globalThis.microphone, ...options });
    session.on('confirmed', () => resolve());
    session.on('failed', ({ cause }) => reject(new Error(cause)));
  });
}
