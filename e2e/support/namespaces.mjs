// Network namespaces: hosts of a network of our own, which reach each other only where the test says so.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function run(command, args, input) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'], timeout: 20_000 });
  } catch (error) {
    const words = `${error.stderr ?? ''}`.trim() || error.message;
    throw new Error(`${command} ${args.join(' ')}: ${words} (this test makes network namespaces: it needs root, iproute2 and nftables)`);
  }
}

/** One host: what runs in it sees its addresses and no others. */
export class Namespace {
  constructor(name) {
    this.name = name;
    run('ip', ['netns', 'add', name]);
    this.ip('link', 'set', 'lo', 'up');
  }

  /** `ip ARGS…` inside. */
  ip(...args) {
    return run('ip', ['-n', this.name, ...args]);
  }

  /** A command line that runs inside. */
  command(...command) {
    return ['ip', ['netns', 'exec', this.name, ...command]];
  }

  run(...command) {
    return run(...this.command(...command));
  }

  /** Ends all that runs inside, by force: whatever is there was started there. */
  end() {
    for (const pid of run('ip', ['netns', 'pids', this.name]).split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }

  /** Rules of nftables, in place of those before. */
  firewall(rules) {
    run(...this.command('nft', '-f', '-'), `flush ruleset\n${rules}`);
  }

  /** An executable file that runs `program` inside, for those who start programs by their path. */
  wrapper(folder, program) {
    const path = join(folder, `in-${this.name}`);
    writeFileSync(path, `#!/bin/sh\nexec ip netns exec ${this.name} ${program} "$@"\n`, { mode: 0o755 });
    return path;
  }
}

/** Runs `use` with a maker of namespaces and a folder; both are gone afterwards. */
export async function withNamespaces(use) {
  const mark = randomBytes(3).toString('hex');
  const folder = mkdtempSync(join(tmpdir(), 'sightline-netns-'));
  const made = [];
  const make = (name) => {
    const namespace = new Namespace(`sl-${mark}-${name}`);
    made.push(namespace);
    return namespace;
  };
  try {
    return await use(make, folder);
  } finally {
    // With a namespace go its interfaces and rules.
    for (const { name } of made) run('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A cable between two namespaces: `one` gets the first address, `other` the second. */
export function connect(one, oneAddress, other, otherAddress) {
  const ends = [randomBytes(4).toString('hex'), randomBytes(4).toString('hex')].map((id) => `v${id}`);
  one.ip('link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1], 'netns', other.name);
  for (const [namespace, end, address] of [[one, ends[0], oneAddress], [other, ends[1], otherAddress]]) {
    // `nodad`: an IPv6 address may be used at once.
    namespace.ip('address', 'add', address, 'dev', end, ...(address.includes(':') ? ['nodad'] : []));
    namespace.ip('link', 'set', end, 'up');
  }
  waitUntilUsable(one, ends[0]);
  waitUntilUsable(other, ends[1]);
}

/** A switch with so many hosts on it, at `NETWORK.1`, `NETWORK.2`, … of a /24. */
export function lan(make, network, count) {
  const bridge = make('switch');
  bridge.ip('link', 'add', 'switch', 'type', 'bridge');
  bridge.ip('link', 'set', 'switch', 'up');
  return Array.from({ length: count }, (_, index) => {
    const host = make(`host${index + 1}`);
    const port = `port${index + 1}`;
    bridge.ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'lan', 'netns', host.name);
    bridge.ip('link', 'set', port, 'master', 'switch', 'up');
    host.ip('address', 'add', `${network}.${index + 1}/24`, 'dev', 'lan');
    host.ip('link', 'set', 'lan', 'up');
    return host;
  });
}

/** ICE passes over an interface that is not running yet, and gives up on an address that is still tentative. */
function waitUntilUsable(namespace, end) {
  const until = Date.now() + 10_000;
  const usable = () =>
    / state UP /.test(namespace.ip('-o', 'link', 'show', 'dev', end)) &&
    namespace.ip('-o', '-6', 'address', 'show', 'dev', end, 'tentative').trim() === '';
  while (!usable()) {
    if (Date.now() > until) throw new Error(`the interface ${end} does not come up`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
}
