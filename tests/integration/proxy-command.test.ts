import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { repositoryPath } from '../kit/environment.ts'
import { ProxyTopology } from '../kit/proxy-topology.ts'

let topology: ProxyTopology
beforeAll(async () => {
  topology = await ProxyTopology.start()
})
afterAll(() => topology[Symbol.asyncDispose]())

function run(command: string, ...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(repositoryPath('bin/ganglion'), [command, '-c', topology.shared, ...args], { encoding: 'utf8' })
}

test("proxy-config prints each proxy's configuration, for the ports and certificates that it is told", () => {
  const args = ['-a', topology.workers, '--with-tls', '/etc/cert.pem', '/etc/key.pem', '--listen', '443', '--listen', '[::]:8448']
  const nginx = run('proxy-config', 'nginx', ...args)
  expect(nginx).toMatchObject({ status: 0, stderr: '' })
  expect(nginx.stdout).toContain('listen 443 ssl http2;')
  expect(nginx.stdout).toContain('listen [::]:8448 ssl http2;')
  expect(nginx.stdout).toContain('ssl_certificate /etc/cert.pem;')
  expect(nginx.stdout).toContain('server_name matrix.example.com example.com;')
  expect(run('proxy-config', 'haproxy', ...args).stdout).toContain('bind [::]:8448 ssl crt /etc/cert.pem alpn h2,http/1.1')
  expect(run('proxy-config', 'nginx', '-a', topology.workers, '--fragment').stdout).not.toMatch(/^(http|events) \{/m)
})

test('single addresses may go without TLS', () => {
  const args = [
    '-a',
    topology.workers,
    '--with-tls',
    '/etc/cert.pem',
    '/etc/key.pem',
    '--listen',
    'http:8008',
    '--listen',
    '8448',
  ]
  const nginx = run('proxy-config', 'nginx', ...args)
  expect(nginx.stdout).toContain('listen 8008;')
  expect(nginx.stdout).toContain('listen 8448 ssl http2;')
  const haproxy = run('proxy-config', 'haproxy', ...args)
  expect(haproxy.stdout).toMatch(/^ *bind :8008$/m)
  expect(haproxy.stdout).toContain('bind :8448 ssl crt /etc/cert.pem')
  const caddy = run('proxy-config', 'caddy', ...args)
  expect(caddy.stdout).toContain('http://:8008 {')
  expect(caddy.stdout).toContain('https://:8448 {')
})

test('the Caddyfile has a pool for each upstream and a rule for each route, and its braces match', () => {
  const { status, stdout } = run('proxy-config', 'caddy', '-a', topology.workers, '--with-tls', '/etc/cert.pem', '/etc/key.pem')
  expect(status).toBe(0)
  expect(stdout).toContain('https://:443, https://:8448 {')
  expect(stdout).toContain('tls /etc/cert.pem /etc/key.pem')
  expect(stdout).toContain('lb_policy header X-Ganglion-User')
  expect(stdout).toContain('lb_policy header X-Ganglion-Room')
  expect(stdout).toContain('lb_policy ip_hash')
  const imported = new Set([...stdout.matchAll(/import (\w+)/g)].map(([, name]) => name))
  const defined = new Set([...stdout.matchAll(/^\((\w+)\) \{/gm)].map(([, name]) => name))
  expect(imported).toEqual(defined)
  const lines = stdout.split('\n').map((line) => line.replaceAll(/`[^`]*`/g, '').trimEnd())
  const opened = lines.filter((line) => line.endsWith('{')).length
  expect(opened).toBe(lines.filter((line) => line.trim() === '}').length)
  expect(opened).toBeGreaterThan(100)
})

test('without workers every request goes to the one process', () => {
  const { status, stdout } = run('proxy-config', 'nginx', '--listen', '127.0.0.1:8080')
  expect(status).toBe(0)
  expect(new Set([...stdout.matchAll(/^ *server 127\.0\.0\.1:\d+.*; # (\w+)$/gm)].map(([, name]) => name))).toEqual(
    new Set(['main']),
  )
})

test('the administration API is left out on demand', () => {
  expect(run('proxy-config', 'nginx', '-a', topology.workers).stdout).toContain('/_synapse/admin/" ')
  const { stdout } = run('proxy-config', 'nginx', '-a', topology.workers, '--no-admin')
  expect(stdout).not.toContain('/_synapse/admin/" ')
})

test.each([
  [['apache'], 64, 'which proxy? nginx, haproxy or caddy'],
  [['nginx', '--with-tls', '/etc/cert.pem'], 64, '--with-tls needs two files'],
  [['nginx', '--pool', 'sycn=sync1'], 78, 'there is no such group'],
  [['nginx', '--pool', 'sync=nobody'], 78, 'there is no process nobody'],
  [['nginx', '-a', '/nowhere'], 78, '/nowhere'],
] as const)('%j is refused with status %i', (args, status, text) => {
  const result = run('proxy-config', ...args)
  expect(result.status).toBe(status)
  expect(result.stderr).toContain(text)
})

test('doctor prints one line a finding, and ends with 1 when there is an error', () => {
  const { status, stdout } = run('doctor', '-a', topology.workers, '--offline')
  expect(status).toBe(1)
  const lines = stdout.trimEnd().split('\n')
  expect(lines.at(-1)).toMatch(/^\d+ errors, \d+ warnings$/)
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(error {2}|warning) {2}\S+: /)
  expect(stdout).toMatch(
    /^error {4}\S+shared\.yaml:\d+:3: instance_map\.main: main has no listener with the resource replication/m,
  )
  expect(run('doctor', '-a', join(topology.directory, 'none')).status).toBe(78)
})
