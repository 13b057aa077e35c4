// A conference by the typed client: what is not in the contract does not compile.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/plenary.js";

type Room = components["schemas"]["Room"];

const [link] = process.argv.slice(2);
assert.ok(link, "expected the link that the bridge says");
const { origin, hash } = new URL(link);
const headers = { Authorization: `Bearer ${hash.replace("#key=", "")}` };
const plenary = createClient<paths>({ baseUrl: origin, headers });

/** What there must be, or the problem that says why there is not. */
function expect<T>(answer: { data?: T; error?: unknown }): T {
  assert.ok(answer.data !== undefined, JSON.stringify(answer.error));
  return answer.data;
}

const room: Room = expect(
  await plenary.POST("/v1/rooms", {
    body: { name: "typed", settings: { start_muted: true, recording: { when: "moderator" } } },
  }),
);
assert.equal(room.name, "typed");

const invited = expect(
  await plenary.POST("/v1/rooms/{room}/participants", {
    params: { path: { room: "typed" } },
    body: { to: "sip:anna@example.com", role: "moderator" },
  }),
);
assert.ok(invited.leg.startsWith("leg_"));

const page = expect(
  await plenary.GET("/v1/rooms", { params: { query: { limit: 10, state: "open" } } }),
);
assert.ok(page.items.some((open) => open.id === room.id));

const locked = expect(
  await plenary.PUT("/v1/rooms/{room}/lock", { params: { path: { room: room.id } } }),
);
assert.equal(locked.locked, true);

const refused = await plenary.GET("/v1/rooms/{room}", { params: { path: { room: "nobody" } } });
assert.equal(refused.response.status, 404);
assert.equal(refused.error?.code, "room_not_found");

// @ts-expect-error a path that the contract does not have
void (() => plenary.GET("/v1/romos", {}));
// @ts-expect-error a role that there is not
const role: components["schemas"]["Role"] = "owner";
void role;

console.log("The typed client made a room, invited somebody, listed, locked and was refused.");
