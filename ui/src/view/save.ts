/** Gives the user a file. */
export function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser has opened it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** "sightline-2026-01-31-14-05-09.png" */
export function fileName(ending: string, now = new Date()): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return `sightline-${local.toISOString().slice(0, 19).replaceAll(/[T:]/g, '-')}.${ending}`;
}
