// Chromium without a window, and the page as its tests see it: by `data-test` and by what is said.

import assert from 'node:assert/strict';
import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { chromium, selectors } from 'playwright-core';

import { KEY } from './bridge.js';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const PATIENCE_MS = 40_000; // a busy machine, a slow phone; never waited for when all is well

selectors.setTestIdAttribute('data-test');

export function launch(flags = []) {
  return chromium.launch({ executablePath: browserPath(), args: [...FLAGS, ...flags] });
}

/** A tab on the page, with the tests' words for it. */
export class Operator {
  static async open(browser, url, options = {}) {
    const operator = new Operator();
    operator.context = await browser.newContext({ viewport: { width: 1200, height: 720 }, ...options });
    operator.context.setDefaultTimeout(PATIENCE_MS);
    if (process.env.PAGE_FROM_SOURCE) await operator.context.route('**/dashboard/*', fromSource);
    operator.page = await operator.context.newPage();
    operator.url = url;
    operator.errors = [];
    operator.page.on('pageerror', (error) => operator.errors.push(String(error)));
    await operator.page.goto(url);
    return operator;
  }

  /** A tab that is signed in and shows `where`, such as `rooms/standup`. */
  static async signedIn(browser, url, where = 'rooms', options = {}) {
    const operator = await Operator.open(browser, url, options);
    await operator.signIn(KEY);
    await operator.live();
    await operator.go(where);
    return operator;
  }

  async signIn(key) {
    await this.test('sign-in-key').fill(key);
    await this.press('sign-in-submit');
  }

  async go(where) {
    await this.page.goto(`${this.url}/#/${where}`);
  }

  live() { return this.sees('[data-test=connection][data-state=live]'); }

  test(name) { return this.page.getByTestId(name); }

  /** The row of a person. */
  person(name) {
    const row = this.page.locator(`[data-test=participant][aria-label="${name}"]`);
    return {
      row,
      is: (state) => this.page.locator(`[data-test=participant][aria-label="${name}"]${state}`).waitFor(),
      gone: () => row.waitFor({ state: 'detached' }),
      press: (what) => row.getByTestId(`participant-${what}`).click(),
      says: (what, words) => row.getByTestId(`participant-${what}`).filter({ hasText: words, visible: true }).waitFor(),
      leg: () => row.getAttribute('data-leg'),
      louderThan: (dbov) => this.level(row, ([meter, limit]) => Number(meter.dataset.dbov ?? -127) > limit, dbov),
      quieterThan: (dbov) => this.level(row, ([meter, limit]) => Number(meter.dataset.dbov ?? 0) < limit, dbov),
    };
  }

  /** Waits until the meter of a row shows such a level, dBov. */
  async level(row, holds, dbov) {
    const meter = await row.getByTestId('participant-level').elementHandle();
    await this.page.waitForFunction(holds, [meter, dbov]);
  }

  async press(name) { await this.test(name).click(); }

  /** Waits until something is there to be seen. */
  sees(selector, words) {
    const found = this.page.locator(selector);
    return (words ? found.filter({ hasText: words }) : found).first().waitFor();
  }

  toast(kind, words) { return this.sees(`[data-test=toast][data-kind=${kind}]`, words); }

  event(type) { return this.sees(`[data-test=event][data-type="${type}"]`); }

  /** Answers the dialog that is open. */
  async confirm(value) {
    if (value !== undefined) await this.test('dialog-input').fill(value);
    await this.press('dialog-confirm');
    await this.test('dialog').waitFor({ state: 'detached' });
  }

  /** Closes the tab. Nothing may have gone wrong in it. */
  async close() {
    await this.context.close();
    assert.deepEqual(this.errors, [], 'errors in the page');
  }
}

/** While one works on the page: its files as they are now, not those built into the bridge. */
function fromSource(route) {
  const name = new URL(route.request().url()).pathname.split('/').at(-1);
  return route.fulfill({ path: fileURLToPath(new URL(`../../api/dashboard/${name}`, import.meta.url)) });
}

function browserPath() {
  const names = ['chromium', 'google-chrome', 'chromium-browser'];
  const paths = names.flatMap((name) => process.env.PATH.split(':').map((folder) => `${folder}/${name}`));
  const found = [process.env.CHROMIUM_BIN, ...paths].find((path) => path && isProgram(path));
  assert.ok(found, 'Chromium is not installed');
  return found;
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
