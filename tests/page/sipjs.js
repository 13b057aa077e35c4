// SIP.js in a page, for caller.js.

import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

export const name = 'SIP.js';

export const script = `import * as SIP from '/sip.js/index.js';
  globalThis.SIP = SIP;`;

/** It comes as modules, which the page loads one by one. */
export function file(url) {
  const inside = new URL(url, 'http://page').pathname.replace('/sip.js/', '');
  return fs.readFileSync(fileURLToPath(new URL(`node_modules/sip.js/lib/${inside}`, import.meta.url)));
}

// ---- in the page ----

export async function connect({ ws, user, host, password }) {
  const { UserAgent, Registerer, RegistererState } = globalThis.SIP;
  globalThis.told = [];
  globalThis.follow = (session) => {
    globalThis.session = session;
    session.stateChange.addListener((state) => globalThis.told.push(state));
    session.delegate = {
      onSessionDescriptionHandler({ peerConnection }) {
        globalThis.connection = peerConnection;
        peerConnection.addEventListener('track', ({ track }) => globalThis.play(track));
      },
    };
  };
  globalThis.media = { sessionDescriptionHandlerOptions: { constraints: globalThis.microphone } };
  const ua = new UserAgent({
    uri: UserAgent.makeURI(`sip:${user}@${host}`),
    transportOptions: { server: ws },
    authorizationUsername: user,
    authorizationPassword: password,
    logBuiltinEnabled: false,
    delegate: {
      onInvite(invitation) {
        globalThis.follow(invitation);
        invitation.accept(globalThis.media);
      },
    },
  });
  globalThis.ua = ua;
  await ua.start();
  if (!password) return;
  const registerer = new Registerer(ua);
  const registered = new Promise((resolve) => {
    registerer.stateChange.addListener((state) => { if (state === RegistererState.Registered) resolve(); });
  });
  await registerer.register();
  await registered;
}

export function call({ to, options }) {
  const { Inviter, SessionState, UserAgent } = globalThis.SIP;
  return new Promise((resolve, reject) => {
    const session = new Inviter(globalThis.ua, UserAgent.makeURI(to), { ...globalThis.media, ...options });
    globalThis.follow(session);
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) resolve();
      if (state === SessionState.Terminated) reject(new Error(globalThis.told.join()));
    });
    session.invite().catch(reject);
  });
}
