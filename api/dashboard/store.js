// What the page knows: resources by id, brought up to date by events, read again where an event does not say all.
// An answer of the API may be older than an event that overtook it: see `read`.

const FEED_LENGTH = 300;
const EAGER_ROOMS = 30; // rooms whose people are read before somebody opens them
const SETTLE_MS = 120; // events in a burst cause one read, not many

export class Store {
  constructor(api, on) {
    this.api = api;
    this.on = on; // changed(), failed(problem)
    this.reset();
    this.levels = new Map();
    this.feed = [];
    this.due = new Map();
    this.reads = new Set(); // on their way, each with the events since it was sent
  }

  reset() {
    this.rooms = new Map();
    this.people = new Map();
    this.calls = new Map();
    this.legs = new Map();
    this.rosters = new Set(); // rooms whose people are all known
    this.loaded = false;
  }

  /**
   * Takes in an answer of the API. Events that overtook it are applied again on top, so that nobody who left
   * comes back; to what the answer knows already that changes nothing.
   */
  async read(request, take) {
    const meanwhile = [];
    this.reads.add(meanwhile);
    try {
      take(await request());
    } finally {
      this.reads.delete(meanwhile);
    }
    for (const event of meanwhile) this.change(event);
    this.on.changed();
  }

  /** Reads everything anew. */
  async load() {
    const lists = () => Promise.all([this.api.all('/v1/rooms'), this.api.all('/v1/calls'), this.api.all('/v1/legs')]);
    await this.read(lists, ([rooms, calls, legs]) => {
      this.reset();
      for (const room of rooms) this.rooms.set(room.id, room);
      for (const call of calls) this.calls.set(call.id, call);
      for (const leg of legs) this.legs.set(leg.id, leg);
      this.loaded = true;
    });
    await Promise.all([...this.rooms.keys()].slice(0, EAGER_ROOMS).map((room) => this.loadRoster(room)));
  }

  /** Fills the feed with what happened up to event `newest`. */
  async loadFeed(newest) {
    const recent = (query) => this.api.get(`/v1/events?limit=500${query}`);
    let page;
    try {
      page = await recent(`&from_seq=${Math.max(1, newest - FEED_LENGTH + 1)}`);
    } catch (problem) {
      if (problem.status !== 410) throw problem;
      page = await recent(''); // the log keeps less than that
    }
    const known = new Set(this.feed.map((event) => event.seq));
    this.feed.push(...page.items.filter((event) => !known.has(event.seq)).reverse());
    this.feed.sort((a, b) => b.seq - a.seq);
    this.feed.length = Math.min(this.feed.length, FEED_LENGTH);
    this.on.changed();
  }

  async loadRoster(room) {
    try {
      await this.read(() => this.api.all(`/v1/rooms/${room}/participants`), (people) => {
        for (const [leg, person] of this.people) if (person.room === room) this.people.delete(leg);
        for (const person of people) this.people.set(person.leg, person);
        this.rosters.add(room);
      });
    } catch (problem) {
      if (problem.status !== 404) throw problem; // it ended meanwhile, which an event tells
    }
  }

  room(name) {
    return this.rooms.get(name) ?? [...this.rooms.values()].find((room) => room.name === name);
  }

  /** Who is in a room or on the way into it: speakers first, then those who joined first. */
  roster(room) {
    const rank = (person) => (person.state === 'joined' ? 0 : 1);
    return [...this.people.values()]
      .filter((person) => person.room === room && person.state !== 'left')
      .sort((a, b) => rank(a) - rank(b) || compare(a.joined_at, b.joined_at) || compare(a.leg, b.leg));
  }

  /** Calls of two parties; a leg that sits in a room is shown there. */
  partyCalls() {
    return [...this.calls.values()].sort((a, b) => compare(b.created_at, a.created_at));
  }

  apply(event) {
    this.feed.unshift(event);
    this.feed.length = Math.min(this.feed.length, FEED_LENGTH);
    for (const meanwhile of this.reads) meanwhile.push(event);
    this.change(event);
    this.on.changed();
  }

  change(event) {
    const [kind] = event.type.split('.');
    if (kind === 'room') this.applyRoom(event);
    if (kind === 'participant') this.applyPerson(event);
    if (kind === 'call') this.applyCall(event);
    if (kind === 'leg') this.applyLeg(event);
  }

  applyRoom(event) {
    if (event.type === 'room.ended') {
      this.rooms.delete(event.room);
      for (const [leg, person] of this.people) if (person.room === event.room) this.people.delete(leg);
    } else if (event.data?.id === event.room && event.data?.name) {
      this.rooms.set(event.room, event.data);
    } else {
      this.readRoom(event.room);
    }
  }

  applyPerson(event) {
    const { type, leg, room, data } = event;
    const flags = FLAGS[type];
    const whole = data?.leg === leg && data?.state && data?.room;
    if (type === 'participant.left') this.people.delete(leg);
    else if (whole) this.people.set(leg, data);
    else if (flags && this.people.has(leg)) this.people.set(leg, { ...this.people.get(leg), ...flags });
    else if (type !== 'participant.dtmf') this.readPerson(room, leg);
    if (COUNTED.has(type)) for (const id of new Set([room, data?.from_room, data?.to_room])) this.readRoom(id);
    if (type === 'participant.moved' && data?.to_room) this.readPerson(data.to_room, leg);
  }

  applyCall(event) {
    const { type, call, data } = event;
    if (type === 'call.ended') this.calls.delete(call);
    else if (data?.id === call && data?.state) this.calls.set(call, data);
    else this.soon(call, `/v1/calls/${call}`, (fresh) => this.calls.set(call, fresh));
  }

  applyLeg(event) {
    const { type, leg, data } = event;
    if (type === 'leg.ended') this.legs.delete(leg);
    else if (data?.id === leg && data?.state) this.legs.set(leg, data);
    else this.readLeg(leg);
    const person = this.people.get(leg);
    if (person && type === 'leg.reinvited') this.readPerson(person.room, leg);
  }

  readRoom(room) {
    if (!room) return;
    this.soon(room, `/v1/rooms/${room}`, (fresh) => {
      if (fresh.state === 'open') this.rooms.set(room, fresh);
      else this.rooms.delete(room);
    }, () => this.rooms.delete(room));
  }

  readPerson(room, leg) {
    if (!room || !leg) return;
    this.soon(`person ${leg}`, `/v1/rooms/${room}/participants/${leg}`, (person) => {
      if (person.state === 'left') this.people.delete(leg);
      else this.people.set(leg, person);
    });
  }

  readLeg(leg) {
    if (!leg) return;
    this.soon(leg, `/v1/legs/${leg}`, (fresh) => {
      if (fresh.state === 'ended') this.legs.delete(leg);
      else this.legs.set(leg, fresh);
    }, () => this.legs.delete(leg));
  }

  /** Reads once things have settled; `gone` says what to do when it no longer exists. */
  soon(name, path, take, gone = () => {}) {
    if (this.due.has(name)) return;
    this.due.set(name, setTimeout(async () => {
      this.due.delete(name);
      try {
        await this.read(() => this.api.get(path), take);
      } catch (problem) {
        if (problem.status === 404) gone();
        else if (problem.status) this.on.failed(problem);
      }
      this.on.changed();
    }, SETTLE_MS));
  }

  hear(levels) {
    const now = performance.now();
    for (const { leg, dbov } of levels) this.levels.set(leg, { dbov, at: now });
  }

  /** Loudness of a leg, dBov; silence once nothing was heard of it for a while. */
  loudness(leg) {
    const level = this.levels.get(leg);
    return level && performance.now() - level.at < 500 ? level.dbov : -127;
  }
}

const FLAGS = {
  'participant.muted': { muted: true },
  'participant.unmuted': { muted: false },
  'participant.held': { held: true },
  'participant.resumed': { held: false, held_by: null },
  'participant.talk_started': { talking: true },
  'participant.talk_ended': { talking: false },
};

const COUNTED = new Set(['participant.joined', 'participant.left', 'participant.moved', 'participant.dialing']);

function compare(a, b) {
  return (a ?? '') < (b ?? '') ? -1 : (a ?? '') > (b ?? '') ? 1 : 0;
}
