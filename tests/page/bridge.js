// The bridge under test: its own process, ports, key and data folder, and its API as a second pair of eyes.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const KEY = 'key-of-the-tests';

const BINARY = process.env.E2E_BRIDGE ?? process.env.PLENARY_BIN
  ?? fileURLToPath(new URL('../../target/debug/plenary', import.meta.url));
const READY_MS = 30_000;
const RTP = { first: 12_000, last: 16_000, block: 200 }; // away from what other tests and the default take

export class Bridge {
  /** Starts one with these settings of its file and waits until it takes calls; `secure`: browsers reach it by WSS. */
  static async start(settings = '', { secure = false } = {}) {
    const bridge = new Bridge();
    bridge.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plenary-page-'));
    fs.writeFileSync(path.join(bridge.folder, 'plenary.toml'), `drain_grace = "1s"\n${settings}`);
    bridge.sip = `127.0.0.1:${await freePort()}`;
    bridge.ws = `127.0.0.1:${await freePort()}`;
    bridge.wss = `127.0.0.1:${await freePort()}`;
    bridge.secure = secure;
    if (secure) sign(bridge.folder);
    bridge.api = `127.0.0.1:${await freePort()}`;
    bridge.rtp = await freeBlock();
    await bridge.run();
    return bridge;
  }

  get url() { return `http://${this.api}`; }

  /** Where browsers open their WebSocket. */
  get socket() { return this.secure ? `wss://${this.wss}` : `ws://${this.ws}`; }

  /** The SIP address of a room or any other name here. */
  uri(name) { return `sip:${name}@${this.sip}`; }

  /** Stops and starts again, at the same addresses. `between` runs while it is down. */
  async restart(between) {
    await this.end();
    await between();
    await this.run();
  }

  async stop() {
    await this.end();
    fs.rmSync(this.folder, { recursive: true });
  }

  get(path) { return this.request('GET', path); }
  post(path, body) { return this.request('POST', path, body); }
  patch(path, body) { return this.request('PATCH', path, body); }

  async request(method, path, body) {
    const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path} was answered by ${response.status}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  log() { return fs.readFileSync(path.join(this.folder, 'log'), 'utf8'); }

  async run() {
    const log = fs.openSync(path.join(this.folder, 'log'), 'a');
    this.child = spawn(BINARY, [
      'serve', '--config', 'plenary.toml', '--data', 'data', '--sip-udp', this.sip, '--sip-tcp', this.sip,
      '--sip-ws', this.ws, ...this.tls(), '--rtp-ports', this.rtp, '--public-ip', '127.0.0.1', '--api', this.api, '--api-key', KEY,
    ], { cwd: this.folder, env: plainEnvironment(), stdio: ['ignore', log, log] });
    fs.closeSync(log);
    await once(this.child, 'spawn');
    const deadline = Date.now() + READY_MS;
    while (!(await this.ready())) {
      assert.equal(this.child.exitCode, null, `the bridge stopped at once:\n${this.log()}`);
      assert.ok(Date.now() < deadline, `the bridge does not get ready:\n${this.log()}`);
    }
  }

  tls() {
    return this.secure ? ['--sip-wss', this.wss, '--tls-cert', 'certificate.pem', '--tls-key', 'key.pem'] : [];
  }

  /** A process tells nobody that it is up: this asks, at a gentle pace. */
  async ready() {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return false;
    }
  }

  async end() {
    if (this.child.exitCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }
}

/** Makes a certificate of this host, signed by nobody else, and its key. */
function sign(folder) {
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=plenary.test',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', 'key.pem', '-out', 'certificate.pem',
  ], { cwd: folder, stdio: 'ignore' });
}

/** A wire to the bridge that can be cut. */
export class Wire {
  static async to(address) {
    const wire = new Wire();
    const [host, port] = address.split(':');
    wire.sockets = new Set();
    wire.whole = true;
    wire.server = net.createServer((near) => {
      if (!wire.whole) return near.destroy();
      const far = net.connect(Number(port), host);
      for (const [one, other] of [[near, far], [far, near]]) {
        wire.sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => { wire.sockets.delete(one); other.destroy(); });
      }
    });
    await once(wire.server.listen(0, '127.0.0.1'), 'listening');
    wire.url = `http://127.0.0.1:${wire.server.address().port}`;
    return wire;
  }

  cut() {
    this.whole = false;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() { this.whole = true; }

  close() {
    this.cut();
    this.server.close();
  }
}

/** Without settings: the bridge takes every `PLENARY_…` for one. */
function plainEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PLENARY_')));
}

/** A port that is free for UDP and TCP. */
async function freePort() {
  for (;;) {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address();
    const free = await isFree(port);
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}

/** Ports for RTP. The bridge takes them in any order: a free sample means a free block. */
async function freeBlock() {
  const blocks = (RTP.last - RTP.first) / RTP.block;
  for (let at = 0; at < blocks; at++) {
    const first = RTP.first + ((process.pid + at) % blocks) * RTP.block;
    const sample = Array.from({ length: RTP.block / 20 }, (_, index) => first + index * 20);
    const free = await Promise.all(sample.map(isFree));
    if (free.every(Boolean)) return `${first}-${first + RTP.block - 1}`;
  }
  throw new Error('no block of ports is free for RTP');
}

function isFree(port) {
  const socket = dgram.createSocket('udp4');
  return new Promise((resolve) => {
    socket.on('error', () => resolve(false));
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)));
  });
}
