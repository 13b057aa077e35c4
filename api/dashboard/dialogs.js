// Messages that come and go, and questions that wait for an answer.

import { h, iconButton } from './dom.js';

const TOAST_MS = 6000;
const FAILURE_MS = 12000;
const CHOICES = 12; // offered at once; typing narrows them down

/** Says something in the corner. */
export function toast(kind, title, detail) {
  const box = h('div.toast', { 'data-test': 'toast', 'data-kind': kind, role: kind === 'error' ? 'alert' : 'status' },
    h('div.toast-words', {}, h('strong', {}, title), detail ? h('span', { 'data-test': 'toast-detail' }, detail) : null));
  const close = () => box.remove();
  box.append(iconButton('close', 'Dismiss', 'toast-close', close));
  document.getElementById('toasts').append(box);
  setTimeout(close, kind === 'error' ? FAILURE_MS : TOAST_MS);
}

/** Says why something failed, in the words of the bridge. */
export function failed(problem) {
  toast('error', problem.title ?? 'Something went wrong', problem.message);
}

/** Runs an action of a button: busy meanwhile, a failure told. */
export async function act(button, action) {
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  try {
    await action();
  } catch (problem) {
    failed(problem);
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/**
 * Asks in a dialog. `field` (optional): `{ label, placeholder, options }`. Runs `confirm(value)` and stays open,
 * telling why, while that fails.
 */
export function ask({ title, words, field, action, danger, confirm }) {
  const input = field && h('input', {
    'data-test': 'dialog-input', name: 'value', autocomplete: 'off', spellcheck: 'false', required: true,
    placeholder: field.placeholder, oninput: () => narrow(),
  });
  const chips = (field?.options ?? []).map((value) => h('button.chip', {
    type: 'button', 'data-test': 'dialog-option', 'data-value': value, onclick: () => { input.value = value; submit.focus(); },
  }, value));
  const choices = chips.length ? h('div.choices', { role: 'group', 'aria-label': 'Choose' }, ...chips) : null;
  const narrow = () => {
    const like = chips.filter((chip) => chip.dataset.value.toLowerCase().includes(input.value.trim().toLowerCase()));
    for (const chip of chips) chip.hidden = !like.slice(0, CHOICES).includes(chip);
  };
  const error = h('p.field-error', { 'data-test': 'dialog-error', role: 'alert', hidden: true });
  const submit = h(`button.${danger ? 'danger' : 'primary'}`, { type: 'submit', 'data-test': 'dialog-confirm' }, action);
  const cancel = h('button', { type: 'button', 'data-test': 'dialog-cancel', onclick: () => dialog.close() }, 'Cancel');
  const form = h('form', { method: 'dialog' },
    h('h2', { id: 'dialog-title' }, title),
    words ? h('p', {}, words) : null,
    input ? h('label.field', {}, h('span', {}, field.label), input) : null,
    choices, error,
    h('div.dialog-buttons', {}, cancel, submit));
  const dialog = h('dialog.dialog', { 'data-test': 'dialog', 'aria-labelledby': 'dialog-title', onclose: () => dialog.remove() }, form);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.setAttribute('aria-busy', 'true');
    try {
      await confirm(input?.value.trim());
      dialog.close();
    } catch (problem) {
      error.hidden = false;
      error.textContent = problem.message;
    }
    submit.removeAttribute('aria-busy');
  });
  if (choices) narrow();
  document.body.append(dialog);
  dialog.showModal();
  (input ?? submit).focus();
}
