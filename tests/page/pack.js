// Makes one script of a CommonJS package for a page: every module that it requires, wrapped as Node wraps them.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** The script; it puts what the package exports into the global `as`. */
export function pack(name, as) {
  const modules = new Map();
  const root = add(createRequire(import.meta.url).resolve(name), modules);
  return `(() => {
    const modules = { ${[...modules].map(([file, text]) => `${JSON.stringify(file)}: ${text}`).join(',\n')} };
    const made = {};
    const load = (file) => {
      if (!made[file]) modules[file](made[file] = { exports: {} }, made[file].exports, load);
      return made[file].exports;
    };
    globalThis.${as} = load(${JSON.stringify(root)});
  })();`;
}

/** Adds a module and what it requires; gives the name of its file. */
function add(file, modules) {
  if (modules.has(file)) return file;
  modules.set(file, '');
  const text = fs.readFileSync(file, 'utf8');
  if (file.endsWith('.json')) {
    modules.set(file, `(module) => { module.exports = ${text}; }`);
    return file;
  }
  const { resolve } = createRequire(file);
  const required = {};
  for (const [, name] of text.matchAll(/\brequire\(['"]([^'"]+)['"]\)/g)) {
    required[name] = add(forBrowsers(resolve(name.replace(/^events$/, 'events/'))), modules);
  }
  const names = JSON.stringify(required);
  modules.set(file, `(module, exports, load) => ((require) => {\n${text}\n})((name) => load(${names}[name]))`);
  return file;
}

/** A package may have another entry for browsers. */
function forBrowsers(file) {
  let folder = path.dirname(file);
  while (!fs.existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder);
  const { browser } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const main = createRequire(path.join(folder, 'x.js'));
  return typeof browser === 'string' && file === main.resolve('.') ? path.join(folder, browser) : file;
}
