import type { Parameter } from '../client/pipelines';
import type { Params } from '../client/protocol';
import { element, field } from './dom';

type Control = HTMLInputElement | HTMLSelectElement;

/** A pipeline's parameters as a form. The browser itself checks ranges and what must be given. */
export class ParamsForm {
  readonly root = element('div', { class: 'params' });
  #parameters: readonly Parameter[] = [];
  readonly #controls = new Map<string, Control>();

  show(parameters: readonly Parameter[]): void {
    this.#parameters = parameters;
    this.#controls.clear();
    const fields = parameters.map((parameter) => {
      const control = controlOf(parameter);
      this.#controls.set(parameter.name, control);
      return [parameter, field(nameOf(parameter), control, parameter.doc)] as const;
    });
    const needed = fields.flatMap(([{ required }, one]) => (required ? one : []));
    const others = fields.flatMap(([{ required }, one]) => (required ? [] : one));
    const more = element('details', { 'data-testid': 'params' }, element('summary', {}, 'Parameters'), ...others);
    this.root.replaceChildren(...needed, ...(others.length > 0 ? [more] : []));
  }

  /** What differs from the defaults, and what has none. */
  get values(): Params {
    const entries = this.#parameters.flatMap((parameter) => {
      const control = this.#controls.get(parameter.name);
      const value = control && valueOf(parameter, control);
      return value === undefined || value === parameter.initial ? [] : [[parameter.name, value] as const];
    });
    return Object.fromEntries(entries);
  }
}

function controlOf({ name, type, required, initial, minimum, maximum, values }: Parameter): Control {
  const id = { 'data-param': name };
  if (type === 'enum') {
    const select = element('select', id);
    for (const value of values ?? []) select.add(new Option(value, value, value === initial, value === initial));
    return select;
  }
  if (type === 'boolean') return element('input', { ...id, type: 'checkbox', checked: initial === true });
  const input = element('input', { ...id, type: type === 'string' ? 'text' : 'number', required, autocomplete: 'off', spellcheck: 'false' });
  if (type === 'number') input.step = 'any';
  if (minimum !== undefined) input.min = String(minimum);
  if (maximum !== undefined) input.max = String(maximum);
  if (initial !== undefined) input.defaultValue = String(initial);
  return input;
}

function valueOf({ type }: Parameter, control: Control): string | number | boolean | undefined {
  if (control instanceof HTMLInputElement && type === 'boolean') return control.checked;
  if (control.value === '') return undefined;
  return type === 'integer' || type === 'number' ? Number(control.value) : control.value;
}

/** "max_size" is "Max size". */
function nameOf({ name }: Parameter): string {
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
