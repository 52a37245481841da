/** A token, or how one is got whenever one is needed: they last ten minutes at most. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

/** The token of now; undefined where there is none, or none can be got: then the server says what is missing. */
export async function tokenOf(source: TokenSource | undefined): Promise<string | undefined> {
  if (typeof source !== 'function') return source || undefined;
  try {
    return (await source()) || undefined;
  } catch (error) {
    console.warn('sightline: no token could be got', error);
    return undefined;
  }
}

export async function authorization(source: TokenSource | undefined): Promise<Record<string, string>> {
  const token = await tokenOf(source);
  return token ? { Authorization: `Bearer ${token}` } : {};
}
