// Drives the test phone (`tests/phone`): one process, any number of lines and calls.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.E2E_PHONE ?? process.env.PLENARY_PHONE_BIN
  ?? fileURLToPath(new URL('../phone/target/debug/phone', import.meta.url));
const PATIENCE_MS = 40_000; // beyond any timer of SIP

export class Phones {
  static async start() {
    const phones = new Phones();
    phones.child = spawn(BINARY, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(phones.child, 'spawn');
    phones.told = [];
    phones.waiting = new Set();
    phones.orders = 0;
    readline.createInterface({ input: phones.child.stdout }).on('line', (line) => phones.hear(JSON.parse(line)));
    return phones;
  }

  /** A line that calls, and behaves so when it is called. Gives its address. */
  async line(name, behaviour = {}) {
    return (await this.order('open', { line: name, ...behaviour })).uri;
  }

  /** Opens a line of that name and places a call that plays a tone. */
  async call(name, to, toneHz, behaviour = {}) {
    await this.line(name, behaviour);
    await this.order('call', { line: name, call: `${name}-out`, to, tones_hz: [toneHz] });
    return new Call(this, `${name}-out`);
  }

  /** The next call that comes in on a line. */
  async incoming(line) {
    return new Call(this, (await this.wait('incoming', (event) => event.line === line)).call);
  }

  /** Gives an order and waits for its answer. */
  async order(what, fields) {
    const id = ++this.orders;
    const answer = this.take(`the answer to ${what}`, (event) => event.id === id);
    this.child.stdin.write(`${JSON.stringify({ id, do: what, ...fields })}\n`);
    const event = await answer;
    // Opening a line is answered twice.
    if (event.event === 'opened') await this.take('the line', (other) => other.id === id);
    assert.notEqual(event.event, 'error', `${what} ${JSON.stringify(fields)}: ${event.error}`);
    return event;
  }

  /** Waits for an event of this kind that `wanted` accepts and that was not taken before. */
  wait(kind, wanted) {
    return this.take(kind, (event) => event.event === kind && wanted(event));
  }

  async stop() {
    const exit = once(this.child, 'exit');
    this.child.kill();
    await exit;
    const objections = this.told.filter((event) => ['sip_error', 'sdp_error'].includes(event.event));
    assert.deepEqual(objections, [], 'the phone dislikes what it was sent');
  }

  hear(event) {
    for (const waiting of this.waiting) if (waiting(event)) return;
    this.told.push(event);
  }

  take(what, wanted) {
    const index = this.told.findIndex(wanted);
    if (index >= 0) return Promise.resolve(this.told.splice(index, 1)[0]);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.waiting.delete(waiting);
        reject(new Error(`the phone never told: ${what}. Left of what it told:\n${this.told.map((event) => JSON.stringify(event)).join('\n')}`));
      }, PATIENCE_MS);
      const waiting = (event) => {
        if (!wanted(event)) return false;
        clearTimeout(late);
        this.waiting.delete(waiting);
        resolve(event);
        return true;
      };
      this.waiting.add(waiting);
    });
  }
}

/** One call of a phone. */
export class Call {
  constructor(phones, name) {
    this.phones = phones;
    this.name = name;
  }

  wait(kind, wanted = () => true) {
    return this.phones.wait(kind, (event) => event.call === this.name && wanted(event));
  }

  order(what, fields = {}) {
    return this.phones.order(what, { call: this.name, ...fields });
  }

  /** Waits until a whole window holds all tones of `present` and none of `absent`. */
  async hears(present, absent) {
    const answer = await this.order('listen_for', { present_hz: present, absent_hz: absent, timeout_ms: 20_000 });
    assert.ok(answer.matched, `${this.name} should hear ${present} and not ${absent}: ${JSON.stringify(answer.heard)}`);
  }
}
