// Small tools to build and keep up to date a page without a framework, plus icons and words.

/** Makes an element: `h('button.ghost', { 'data-test': 'x', onclick }, 'text', child)`. */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Keeps the children of `parent` equal to `items`, by key, without touching those that stay: focus survives.
 * `create` makes `{ element, update(item), stale?(item) }`; a row that is not stale is left alone.
 */
export function keyed(parent, items, keyOf, create) {
  const old = parent.rows ?? new Map();
  const rows = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = old.get(key) ?? create(item);
    old.delete(key);
    rows.set(key, row);
    if (row.element === place) place = place.nextElementSibling;
    else parent.insertBefore(row.element, place);
    if (row.stale?.(item) ?? true) row.update(item);
  }
  for (const row of old.values()) row.element.remove();
  parent.rows = rows;
}

/** Changes text only where it differs, so that selection and screen readers are left in peace. */
export function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

export function attribute(element, name, value) {
  const words = value === true ? 'true' : value === false ? 'false' : value;
  if (words === null || words === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(words)) element.setAttribute(name, words);
}

const PATHS = {
  mic: 'M12 14a3 3 0 0 0 3-3V6a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3Zm6-3a6 6 0 0 1-12 0M12 17v4M9 21h6',
  muted: 'M4 4l16 16M15 9.5V6a3 3 0 0 0-5.7-1.3M9 9v2a3 3 0 0 0 4.6 2.5M18 11a6 6 0 0 1-.6 2.6M15.2 16.1A6 6 0 0 1 6 11M12 17v4M9 21h6',
  hold: 'M9 5v14M15 5v14',
  resume: 'M8 5l11 7-11 7V5Z',
  move: 'M4 12h13M12 6l6 6-6 6M21 4v16',
  transfer: 'M14 4h6v6M20 4l-8 8M9 5H5a1 1 0 0 0-1 1v13a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1v-4',
  hangup: 'M2.5 15.5c5.3-6.6 13.7-6.6 19 0l-2.6 2.7-4.1-2v-3a10.5 10.5 0 0 0-5.6 0v3l-4.1 2-2.6-2.7Z',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6v-9Z',
  unlock: 'M7 11V8a5 5 0 0 1 9.6-2M6 11h12v9H6v-9Z',
  phone: 'M6 3h3l1.5 5-2 1.5a12 12 0 0 0 6 6l1.5-2 5 1.5v3a2 2 0 0 1-2 2A16 16 0 0 1 4 5a2 2 0 0 1 2-2Z',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6 9a6 6 0 0 1 12 0M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.5a6 6 0 0 1 3 5.5',
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9V9Zm-4 6H4V4h11v1',
  end: 'M12 3v9M6.5 6.5a8 8 0 1 0 11 0',
  plus: 'M12 5v14M5 12h14',
};

/** A line icon; what it means is always said beside it or by the label of its button. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  svg.show = (other) => attribute(path, 'd', PATHS[other]);
  return svg;
}

/** A button with an icon, and words that screen readers and tooltips say. */
export function iconButton(name, label, test, onclick, kind = '') {
  const picture = icon(name);
  const button = h(`button.icon-button${kind}`, { type: 'button', 'aria-label': label, title: label, 'data-test': test, onclick }, picture);
  button.show = (otherIcon, otherLabel) => {
    picture.show(otherIcon);
    attribute(button, 'aria-label', otherLabel);
    attribute(button, 'title', otherLabel);
  };
  return button;
}

/** How a person is called: the display name, else the user part of the address, else the address. */
export function nameOf(person) {
  return person.display_name || userOf(person.uri) || 'Unknown';
}

export function userOf(uri) {
  const match = /^sips?:([^@;?]+)@/i.exec(uri ?? '');
  if (!match) return uri;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

export function shortAddress(uri) {
  return (uri ?? '').replace(/^sips?:/i, '').replace(/;.*$/, '');
}

export function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}]+/gu, ' ').trim().split(' ');
  const letters = words.length > 1 ? words[0][0] + words.at(-1)[0] : words[0].slice(0, 2);
  return letters.toUpperCase() || '?';
}

/** `0:07`, `12:34`, `1:02:03`: how long since. */
export function since(time) {
  if (!time) return '';
  const total = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour12: false });
}
