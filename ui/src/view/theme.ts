import { element, field } from './dom';

const THEMES = [
  ['auto', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
] as const;
const KEY = 'sightline-theme';

/** A choice of colours that is remembered in this browser. */
export function themePicker(): HTMLElement {
  const select = element('select', { 'data-testid': 'theme' });
  for (const [value, name] of THEMES) select.add(new Option(name, value));
  select.value = remembered() ?? 'auto';
  const apply = () => {
    if (select.value === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = select.value;
  };
  select.addEventListener('change', () => {
    apply();
    try {
      localStorage.setItem(KEY, select.value);
    } catch {
      // Storage may be forbidden: then the choice lasts as long as the page.
    }
  });
  apply();
  const label = field('Colours', select);
  label.classList.add('theme');
  return label;
}

function remembered(): string | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return THEMES.some(([theme]) => theme === value) ? (value ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}
