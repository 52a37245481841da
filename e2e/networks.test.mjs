// Networks as they are: a relay as the only way, IPv6 alone, and a self-test that says what is wrong.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { connect, withNamespaces } from './support/namespaces.mjs';
import { Program } from './support/processes.mjs';
import { binaries, root } from './support/system.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'a secret for tests only';
const RELAY = '10.77.1.1';
const SERVER = '10.77.1.2';
const CLIENT = '10.77.2.2';
const launcher = join(binaries(), 'pipeline-launcher');

/** The relay stands between: it forwards the page's TCP from client to server, and no UDP at all. */
const FIREWALL = `
table inet relay {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related meta l4proto tcp accept
    ip saddr ${CLIENT} ip daddr ${SERVER} tcp dport 9000 accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    udp dport 3478 accept
    meta l4proto { icmp, ipv6-icmp } accept
  }
}`;

function withRelay(use) {
  return withNamespaces(async (make, folder) => {
    const [relay, server, client] = ['relay', 'server', 'client'].map(make);
    connect(relay, `${RELAY}/24`, server, `${SERVER}/24`);
    connect(relay, '10.77.2.1/24', client, `${CLIENT}/24`);
    server.ip('route', 'add', 'default', 'via', RELAY);
    client.ip('route', 'add', 'default', 'via', '10.77.2.1');
    relay.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
    relay.firewall(FIREWALL);
    const options = [
      '-c', join(root, 'docker/coturn/turnserver.conf'), `--static-auth-secret=${SECRET}`, `--listening-ip=${RELAY}`,
      // The relay itself is the only peer that is allowed.
      `--relay-ip=${RELAY}`, `--allowed-peer-ip=${RELAY}`, '--no-tls', `--pidfile=${join(folder, 'coturn.pid')}`,
    ];
    const coturn = new Program(...relay.command('turnserver', ...options));
    try {
      await until('coturn listens', 20, () => relay.run('ss', '-lun').includes(`${RELAY}:3478`));
      return await use({ server, client, folder, coturn });
    } finally {
      await coturn.destroy();
    }
  });
}

/** `pipeline-launcher test-network --json` in a namespace: its exit code and what it found. */
function selfTest(namespace, env) {
  const [command, args] = namespace.command(launcher, 'test-network', '--json', '--limit-secs', '60');
  return new Promise((resolve, reject) => {
    execFile(command, args, { env: { ...process.env, ...env }, cwd: root, timeout: 70_000 }, (error, stdout, stderr) => {
      try {
        resolve({ code: error ? error.code : 0, ...JSON.parse(stdout) });
      } catch {
        reject(new Error(`test-network: ${error?.message}\n${stdout}${stderr}`));
      }
    });
  });
}

const found = (outcome, check) => outcome.findings.filter((finding) => finding.check === check);

const TURN = { SIGHTLINE_ICE_SERVERS: `turn:${RELAY}:3478?transport=udp`, SIGHTLINE_TURN_SECRET: SECRET };

test('a session through TURN, where nothing else gets through', { timeout: 180_000 }, () =>
  withRelay(async ({ server, client, folder, coturn }) => {
    const env = {
      ...TURN, REDIS_URL: '', REDIS_HOST: '', SIGHTLINE_BIND: SERVER, SIGHTLINE_PORT: '9000', SIGHTLINE_INSECURE: '1',
      SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1', TMPDIR: folder,
    };
    const system = new Program(...server.command(launcher, 'up'), { cwd: root, env });
    const url = `http://${SERVER}:9000`;
    try {
      await until('the client reaches the page, and all is ready', 40, () => {
        assert.equal(system.exit, undefined, 'the system has ended');
        try {
          return client.run('curl', '-sf', '--max-time', '1', `${url}/readyz`);
        } catch {
          return false;
        }
      });
      const executable = client.wrapper(folder, process.env.CHROMIUM || '/usr/bin/chromium');
      await withBrowser({ executable }, async (context) => {
        await context.addInitScript(() => {
          const Native = window.RTCPeerConnection;
          window.peers = [];
          window.RTCPeerConnection = function (...args) {
            const peer = new Native(...args);
            window.peers.push(peer);
            return peer;
          };
        });
        const visit = await Visit.open(context, { url }, 'source=test&autostart=1');
        await visit.reaches('live', 30);
        await visit.boxes(10, 20);
        const ways = await visit.page.evaluate(selectedWays);
        assert.deepEqual(ways, [['relay', 'relay']]);
        await visit.stop();
      });
    } catch (error) {
      console.error(`--- log of the system\n${system.log.slice(-10_000)}\n--- log of coturn\n${coturn.log.slice(-5000)}`);
      throw error;
    } finally {
      await system.destroy();
    }
  }),
);

/** In the page: the types of the candidates between which media goes. */
async function selectedWays() {
  const ways = [];
  for (const peer of window.peers) {
    const stats = new Map((await peer.getStats()).entries());
    for (const report of stats.values()) {
      if (report.type !== 'transport' || !report.selectedCandidatePairId) continue;
      const pair = stats.get(report.selectedCandidatePairId);
      const kind = (id) => stats.get(id).candidateType;
      // The server's relay may have been learnt from its checks.
      ways.push([kind(pair.localCandidateId), kind(pair.remoteCandidateId).replace('prflx', 'relay')]);
    }
  }
  return ways;
}

test('the self-test finds the relay, and says what is wrong with credentials', { timeout: 180_000 }, () =>
  withRelay(async ({ server }) => {
    const right = await selfTest(server, TURN);
    assert.equal(right.code, 0, JSON.stringify(right, undefined, 1));
    assert.match(found(right, 'turn')[0].message, /relay address 10\.77\.1\.1:/);
    // coturn refuses the server's own address, which is internal; two relay addresses reach each other.
    assert.match(found(right, 'relay')[0].message, /between two relay addresses/);
    const relayed = right.connections.find((connection) => connection.relay_only);
    assert.ok(relayed.connected);
    assert.ok(relayed.pairs.some(({ peer, state }) => peer.kind === 'relay' && state === 'succeeded'), JSON.stringify(relayed));

    const wrong = await selfTest(server, { ...TURN, SIGHTLINE_TURN_SECRET: 'not the secret it has' });
    assert.equal(wrong.code, 1);
    const [turn] = found(wrong, 'turn');
    assert.equal(turn.verdict, 'failed');
    assert.match(`${turn.message} ${turn.advice}`, /401 .*SIGHTLINE_TURN_SECRET/);
    assert.ok(!JSON.stringify(wrong).includes('not the secret'), 'the secret is printed');
  }),
);

test('the self-test says which pairs fail where UDP is dropped', { timeout: 150_000 }, () =>
  withNamespaces(async (make) => {
    const [host, other] = [make('host'), make('other')];
    connect(host, '10.78.0.1/24', other, '10.78.0.2/24');
    host.firewall('table inet f { chain input { type filter hook input priority 0; policy accept; meta l4proto { udp, icmp, ipv6-icmp } drop; }; }');
    const outcome = await selfTest(host, { SIGHTLINE_ICE_SERVERS: 'stun:10.78.0.2,turn:u:p@10.78.0.2?transport=tcp' });
    assert.equal(outcome.code, 1);
    assert.match(found(outcome, 'stun')[0].message, /does not answer/);
    assert.match(found(outcome, 'turn')[0].message, /cannot be reached: Connection refused/);
    const [connection] = outcome.connections;
    assert.equal(connection.connected, false);
    assert.ok(connection.pairs.length > 0, JSON.stringify(outcome));
    for (const pair of connection.pairs) assert.notEqual(pair.state, 'succeeded');
  }),
);

test('a host that has IPv6 only carries sessions', { timeout: 150_000 }, () =>
  withNamespaces(async (make) => {
    const [host, other] = [make('host'), make('other')];
    connect(host, 'fd77::1/64', other, 'fd77::2/64');
    const outcome = await selfTest(host, { SIGHTLINE_ICE_SERVERS: '' });
    assert.equal(outcome.code, 0, JSON.stringify(outcome, undefined, 1));
    const [connection] = outcome.connections;
    assert.ok(connection.session_candidates.some((candidate) => candidate.includes(' fd77::1 ')));
    assert.ok(connection.pairs.some(({ session, state }) => session.address.startsWith('[fd77::1]:') && state === 'succeeded'));

    // A public address that is not here: advertised in place of the host's own.
    const public_ = await selfTest(host, { SIGHTLINE_ICE_SERVERS: '', SIGHTLINE_PUBLIC_IP: '2001:db8::7' });
    assert.ok(public_.connections[0].session_candidates.some((candidate) => candidate.includes(' 2001:db8::7 ')));
  }),
);
