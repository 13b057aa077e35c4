// The public API as this page uses it: requests that fail with a Problem, and the event stream that resumes by itself.

/** A failed request, as its problem document tells it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The bridge answered ${status}.`);
    this.status = status;
    this.title = body.title ?? 'Request failed';
    this.code = body.code ?? 'unknown';
    this.requestId = body.request_id;
    this.errors = body.errors ?? [];
  }
}

/** Requests to the API with one key. */
export class Api {
  constructor(key) {
    this.key = key;
  }

  get(path) { return this.request('GET', path); }
  post(path, body) { return this.request('POST', path, body ?? {}); }
  patch(path, body) { return this.request('PATCH', path, body); }
  put(path) { return this.request('PUT', path); }
  delete(path) { return this.request('DELETE', path); }

  /** Every item of a list, page by page. */
  async all(path) {
    const items = [];
    const joint = path.includes('?') ? '&' : '?';
    let next = null;
    do {
      const cursor = next ? `&cursor=${encodeURIComponent(next)}` : '';
      const page = await this.get(`${path}${joint}limit=500${cursor}`);
      items.push(...page.items);
      next = page.next;
    } while (next);
    return items;
  }

  async request(method, path, body) {
    const headers = { Authorization: `Bearer ${this.key}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (method === 'POST') headers['Idempotency-Key'] = randomName();
    let response;
    try {
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' });
    } catch {
      throw new Problem(0, { title: 'No answer', detail: 'The bridge cannot be reached. Nothing may have changed.' });
    }
    const text = await response.text();
    const answer = response.headers.get('Content-Type')?.includes('json') && text ? JSON.parse(text) : {};
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }
}

// Not crypto.randomUUID: that one is missing where the page is served over plain HTTP.
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const SILENCE_MS = 40_000; // the bridge sends a comment every 15 s: a stream silent for longer is dead
const LONGEST_WAIT_MS = 10_000;

/**
 * The event stream. Calls `on.ready(resumed, seq)` when it stands, `on.event`, `on.levels`, and `on.state` with
 * `connecting`, `live` or `waiting` (and until when); `on.refused` once the key is no longer good.
 */
export class Stream {
  constructor(key, on) {
    this.key = key;
    this.on = on;
    this.last = null;
    this.failures = 0;
    this.stopped = false;
  }

  async run() {
    while (!this.stopped) {
      this.on.state('connecting');
      try {
        await this.follow();
      } catch (error) {
        if (error instanceof Problem && (error.status === 401 || error.status === 403)) return this.on.refused(error);
        if (error instanceof Problem && error.status === 410) {
          this.last = null;
          continue;
        }
      }
      if (!this.stopped) await this.wait();
    }
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    this.wake?.();
  }

  /** Connects again at once. */
  hurry() { this.wake?.(); }

  async follow() {
    const resumed = this.last !== null;
    this.abort = new AbortController();
    const headers = { Authorization: `Bearer ${this.key}`, Accept: 'text/event-stream' };
    if (resumed) headers['Last-Event-ID'] = String(this.last);
    const response = await fetch('/v1/events/stream?levels=true', { headers, cache: 'no-store', signal: this.abort.signal });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { value, done } = await this.inTime(reader.read());
      if (done) return;
      const messages = (text + value).split('\n\n');
      text = messages.pop();
      for (const message of messages) this.handle(message, resumed);
    }
  }

  handle(message, resumed) {
    let kind = 'event';
    let data = '';
    for (const line of message.split('\n')) {
      if (line.startsWith('event:')) kind = line.slice(6).trim();
      if (line.startsWith('data:')) data += line.slice(5);
    }
    if (!data) return; // a comment that keeps the connection open
    const value = JSON.parse(data);
    if (kind === 'ready') {
      this.last = value.seq;
      this.failures = 0;
      this.on.state('live');
      this.on.ready(resumed, value.seq);
    } else if (kind === 'levels') {
      this.on.levels(value.levels);
    } else if (kind === 'closed') {
      if (value.code === 'events_lost') this.last = null;
    } else {
      this.last = value.seq;
      this.on.event(value);
    }
  }

  async inTime(read) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => {
        this.abort.abort();
        reject(new Error('silent'));
      }, SILENCE_MS);
    });
    try {
      return await Promise.race([read, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async wait() {
    const longest = Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.failures++);
    const delay = longest * (0.5 + Math.random() / 2);
    this.on.state('waiting', Date.now() + delay);
    await new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, delay);
    });
  }
}
