import { ConfigError } from '../config/config-error.ts'
import { writeCaddy } from '../process/proxy-config/caddy.ts'
import { writeHaproxy } from '../process/proxy-config/haproxy.ts'
import { buildProxyModel } from '../process/proxy-config/model.ts'
import type { ProxyModel, ProxyOptions } from '../process/proxy-config/model.ts'
import { writeNginx } from '../process/proxy-config/nginx.ts'
import { readProcesses } from '../process/proxy-config/topology.ts'
import type { ServerProcess } from '../process/proxy-config/topology.ts'
import { findNearest } from '../util/nearest.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'FILE',
    doc: 'The shared configuration; may be given again.',
  },
  'all-processes': { type: 'string', short: 'a', value: 'DIR', doc: "The folder of the workers' configurations." },
  'with-tls': { type: 'string', value: 'CERT KEY', doc: 'Speaks TLS: two files, the certificate with its chain and the key.' },
  listen: {
    type: 'string',
    multiple: true,
    value: 'PORT',
    doc: 'Port or address:port to listen on; may be given again. By default 443 and 8448 with TLS, else 8080. `http:` before it: without TLS.',
  },
  pool: {
    type: 'string',
    multiple: true,
    value: 'GROUP=NAME,…',
    doc: 'These processes for a group of src/api/endpoint-groups.ts: --pool login=worker3; may be given again.',
  },
  'no-admin': { type: 'boolean', doc: 'Does not pass the administration API on.' },
  fragment: { type: 'boolean', doc: "nginx: only what stands inside `http { }`, for a system's conf.d." },
} as const

const WRITERS: Readonly<Record<string, (model: ProxyModel, options: { isFragment: boolean }) => string>> = {
  nginx: writeNginx,
  haproxy: (model) => writeHaproxy(model),
  caddy: (model) => writeCaddy(model),
}

/** Prints a reverse proxy's configuration for exactly the configured processes. */
export const proxyConfigCommand: Command = {
  name: 'proxy-config',
  summary: 'Prints a complete configuration of nginx, HAProxy or Caddy for these processes.',
  usage: 'nginx|haproxy|caddy -c SHARED [-a DIR] [--with-tls CERT KEY] [--listen PORT …]',
  flags: FLAGS,
  async run(args) {
    const { flags, positionals } = parseFlags(args, FLAGS, { positionalsMax: 2 })
    const [kind = '', key] = positionals
    const write = WRITERS[kind]
    if (write === undefined) {
      const nearest = findNearest(kind, Object.keys(WRITERS))
      throw new CliError(`which proxy? nginx, haproxy or caddy${nearest === undefined ? '' : `; did you mean ${nearest}?`}`)
    }
    if (flags['config-path'] === undefined) throw new CliError('name the shared configuration with -c')
    const certificate = flags['with-tls']
    if ((certificate === undefined) !== (key === undefined))
      throw new CliError('--with-tls needs two files: the certificate and the key')
    if (flags.fragment === true && kind !== 'nginx') throw new CliError('--fragment is for nginx')
    const options: ProxyOptions = {
      listen: flags.listen ?? (certificate === undefined ? ['8080'] : ['443', '8448']),
      ...(certificate === undefined || key === undefined ? {} : { tls: { certificate, key } }),
      pools: readPools(flags.pool ?? []),
      isAdminHidden: flags['no-admin'] === true,
    }
    const processes = readProcesses(flags['config-path'], flags['all-processes'])
    for (const warning of findWarnings(processes)) printError(`# ${warning}`)
    print(write(buildProxyModel(processes, options), { isFragment: flags.fragment === true }).trimEnd())
    return EXIT.ok
  },
}

function readPools(given: readonly string[]): ReadonlyMap<string, readonly string[]> {
  return new Map(
    given.map((text) => {
      const [group = '', names = ''] = text.split('=')
      if (group === '' || names === '') throw new CliError(`--pool ${text}: expected GROUP=NAME, or GROUP=NAME,NAME`)
      return [group, names.split(',')] as const
    }),
  )
}

/** What makes a proxy useless or worse, and stands in the processes' own configuration. */
function findWarnings(processes: readonly ServerProcess[]): string[] {
  const names = new Set<string>()
  for (const { name } of processes) {
    if (names.has(name)) throw new ConfigError([`two processes are called ${name}`])
    names.add(name)
  }
  return processes.flatMap(({ name, listeners }) =>
    listeners
      .filter(
        ({ resources, xForwarded }) =>
          !xForwarded && resources.some(({ names: it }) => it.includes('client') || it.includes('federation')),
      )
      .map(
        ({ tag }) => `the listener ${tag} of ${name} has no \`x_forwarded: true\`: every client will seem to come from the proxy`,
      ),
  )
}
