// A browser that calls: a page with a SIP library, whose microphone is a tone and whose loudspeaker is an analyser.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

import { launch } from './browser.js';

const RATE = 48_000;
const PATIENCE_MS = 40_000;

/** Chromium with a microphone that says this tone, and a server of the page, which speaks SIP by this library (jssip.js, sipjs.js). */
export class Callers {
  static async start(library, toneHz) {
    const callers = new Callers();
    callers.library = library;
    callers.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plenary-caller-'));
    const microphone = path.join(callers.folder, 'tone.wav');
    fs.writeFileSync(microphone, wav(toneHz));
    callers.server = http.createServer((request, response) => {
      const [type, text] = request.url === '/' ? ['text/html', PAGE] : ['text/javascript', script(library, request.url)];
      response.setHeader('Content-Type', type);
      response.end(text);
    });
    await once(callers.server.listen(0, '127.0.0.1'), 'listening');
    callers.url = `http://127.0.0.1:${callers.server.address().port}/`;
    callers.browser = await launch([
      '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
      `--use-file-for-fake-audio-capture=${microphone}`,
      '--allow-loopback-in-peer-connection', '--autoplay-policy=no-user-gesture-required',
    ]);
    return callers;
  }

  /** A page that is connected to a bridge; with a password it registers. */
  async open(bridge, user, password) {
    const caller = new Caller();
    caller.library = this.library;
    // The certificate of the bridge is one that it signed itself.
    caller.context = await this.browser.newContext({ ignoreHTTPSErrors: true });
    caller.context.setDefaultTimeout(PATIENCE_MS);
    caller.page = await caller.context.newPage();
    caller.said = [];
    caller.page.on('pageerror', (error) => caller.said.push(String(error)));
    caller.page.on('console', (message) => caller.said.push(message.text()));
    await caller.page.goto(this.url);
    await caller.page.waitForFunction(() => globalThis.play);
    await caller.page.evaluate(this.library.connect, { ws: bridge.socket, user, host: bridge.ws, password });
    return caller;
  }

  async stop() {
    await this.browser.close();
    this.server.close();
    fs.rmSync(this.folder, { recursive: true });
  }
}

/** One page. */
class Caller {
  /** Calls, and waits for the answer. */
  call(to, options = {}) {
    return this.page.evaluate(this.library.call, { to, options });
  }

  /** Waits until the library has told this of the call. */
  async told(event) {
    await this.page.waitForFunction((wanted) => globalThis.told.includes(wanted), event);
  }

  /** Runs `act` with the session of the library. */
  session(act, argument) {
    return this.page.evaluate(`(${act})(globalThis.session, ${JSON.stringify(argument ?? null)})`);
  }

  /** Waits until the loudspeaker holds all tones of `present` and none of `absent`. */
  async hears(present, absent = []) {
    try {
      await this.page.waitForFunction(hears, { present, absent, rate: RATE }, { polling: 50 });
    } catch (error) {
      const levels = await this.page.evaluate(loudest);
      throw new Error(`the browser should hear ${present} and not ${absent}: ${JSON.stringify(levels)}`, { cause: error });
    }
  }

  /** What WebRTC says of its connection. */
  async path() {
    return this.page.evaluate(async () => {
      const stats = [...(await globalThis.connection.getStats()).values()];
      const transport = stats.find((one) => one.type === 'transport');
      const codec = (type) => {
        const stream = stats.find((one) => one.type === type && one.kind === 'audio');
        return stats.find((one) => one.id === stream?.codecId)?.mimeType;
      };
      const { dtlsState, tlsVersion, srtpCipher, dtlsRole, selectedCandidatePairChanges } = transport;
      return { dtlsState, tlsVersion, srtpCipher, dtlsRole, selectedCandidatePairChanges, sends: codec('outbound-rtp') };
    });
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.said, [], 'errors in the page');
  }
}

// ---- in the page ----

/** Whether the analyser shows these tones: 30 dB above what is silence to it. */
function hears({ present, absent, rate }) {
  const { analyser } = globalThis;
  if (!analyser) return false;
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const level = (hz) => levels[Math.round((hz * analyser.fftSize) / rate)];
  return present.every((hz) => level(hz) > -50) && absent.every((hz) => level(hz) < -70);
}

function loudest() {
  const { analyser } = globalThis;
  if (!analyser) return 'no track';
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const bins = [...levels].map((level, bin) => ({ hz: Math.round((bin * 48_000) / analyser.fftSize), level: Math.round(level) }));
  return bins.sort((one, other) => other.level - one.level).slice(0, 6);
}

/** What the page loads: its own script, and the files of the library. */
function script(library, url) {
  return url === '/caller.js' ? `${library.script}\n${SOUND}` : library.file(url);
}

const SOUND = `
  // What calls are improved by would take a steady tone for noise.
  globalThis.microphone = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };
  globalThis.play = (track) => {
    const stream = new MediaStream([track]);
    const audio = document.querySelector('audio');
    audio.srcObject = stream; // Without it Chromium decodes nothing.
    const context = new AudioContext({ sampleRate: ${RATE} });
    globalThis.analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    context.createMediaStreamSource(stream).connect(globalThis.analyser);
  };`;

const PAGE = '<!doctype html><title>caller</title><link rel="icon" href="data:,"><audio autoplay muted></audio><script type="module" src="/caller.js"></script>';

/** A second of a tone, 16 bits; Chromium repeats it. */
function wav(hz) {
  const samples = Int16Array.from({ length: RATE }, (_, at) => Math.round(8_000 * Math.sin((2 * Math.PI * hz * at) / RATE)));
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(RATE, 24);
  header.writeUInt32LE(2 * RATE, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}
