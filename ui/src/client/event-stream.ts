/** One event of a stream of Server-Sent Events. */
export interface StreamEvent {
  readonly type: string;
  readonly data: string;
}

/** Cuts a stream of Server-Sent Events into events; texts come in pieces of any size. */
export class EventParser {
  #rest = '';
  #type = '';
  #data: string[] = [];

  push(text: string): StreamEvent[] {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): StreamEvent | undefined {
    if (line === '') {
      const event = this.#data.length > 0 ? { type: this.#type || 'message', data: this.#data.join('\n') } : undefined;
      [this.#type, this.#data] = ['', []];
      return event;
    }
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === 'event') this.#type = value;
    if (name === 'data') this.#data.push(value);
    return undefined;
  }
}

export interface StreamListener {
  opened(): void;
  heard(event: StreamEvent): void;
  /** Ended, refused or lost; not after `close`. */
  lost(): void;
}

/** Follows a stream of Server-Sent Events with headers of one's own, which `EventSource` has not. */
export class EventStream {
  readonly #abort = new AbortController();

  constructor(url: URL, headers: () => Promise<Record<string, string>>, listener: StreamListener) {
    void this.#follow(url, headers, listener).catch(() => undefined).then(() => {
      if (!this.#abort.signal.aborted) listener.lost();
    });
  }

  close(): void {
    this.#abort.abort();
  }

  async #follow(url: URL, headers: () => Promise<Record<string, string>>, listener: StreamListener): Promise<void> {
    const { signal } = this.#abort;
    const response = await fetch(url, { headers: { ...(await headers()), Accept: 'text/event-stream' }, cache: 'no-store', signal });
    if (!response.ok || !response.body) return;
    listener.opened();
    const parser = new EventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.push(value)) if (!signal.aborted) listener.heard(event);
    }
  }
}
