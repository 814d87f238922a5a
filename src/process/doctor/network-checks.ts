import { isIP } from 'node:net'
import { ENDPOINTS } from '../../api/endpoints.ts'
import type { Config } from '../../config/config.ts'
import { DOCTOR_HEADER, PROCESS_HEADER } from '../../http/http-server.ts'
import { findRoute, samplePath } from '../proxy-config/routes.ts'
import type { PooledRoute, ProxyModel } from '../proxy-config/model.ts'
import type { ConfigurationUnderTest } from './config-checks.ts'
import { describeError, doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'
import { parseJsonObject } from './http-probe.ts'
import type { Probe, ProbeAnswer } from './http-probe.ts'

/** What the checks of the outer world ask. */
export interface Network {
  readonly probe: Probe
  /** Addresses of a host. Rejects where there are none. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  /** Whether the host has SRV records for federation. */
  readonly hasServiceRecord: (host: string) => Promise<boolean>
}

/** Checks how clients and other servers find this one: names in DNS, and the well-known files. */
export async function checkDiscovery(under: ConfigurationUnderTest, network: Network): Promise<Finding[]> {
  const { places, shared } = under
  const config = under.processes[0]?.config
  if (config === undefined) return []
  const { serverName, publicBaseUrl, servesClientWellKnown } = config.server
  const findings: Finding[] = []
  if (servesClientWellKnown && !publicBaseUrl.startsWith('https://'))
    findings.push(
      doubt(`${places.of(shared, 'public_baseurl')}: is not https, and most clients refuse that; put a proxy with TLS in front`),
    )
  const host = serverName.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1')
  if (host === 'localhost' || isIP(host) !== 0) return findings
  const place = places.of(shared, 'server_name')
  const wellKnown = await readWellKnown(`https://${serverName}/.well-known/matrix/server`, network.probe)
  const delegated = wellKnown?.['m.server']
  const target = typeof delegated === 'string' ? delegated.replace(/:[0-9]+$/, '') : host
  findings.push(...(await checkName(target, { place, network, isDelegated: target !== host })))
  findings.push(...(await checkClientWellKnown(config, { under, probe: network.probe })))
  return findings
}

async function checkName(
  host: string,
  { place, network, isDelegated }: { place: string; network: Network; isDelegated: boolean },
): Promise<Finding[]> {
  try {
    await network.resolve(host)
    return []
  } catch (error) {
    if (!isDelegated && (await network.hasServiceRecord(host))) return []
    return [
      fault(
        `${place}: ${host} has no address in DNS (${describeError(error)}), so other servers do not find this one; add an A or AAAA record, or delegate with /.well-known/matrix/server`,
      ),
    ]
  }
}

async function checkClientWellKnown(
  config: Config,
  { under: { places, shared }, probe }: { under: ConfigurationUnderTest; probe: Probe },
): Promise<Finding[]> {
  const { serverName, publicBaseUrl, servesClientWellKnown } = config.server
  if (!servesClientWellKnown) return []
  const url = `https://${serverName}/.well-known/matrix/client`
  const found = await readWellKnown(url, probe)
  const place = places.of(shared, 'public_baseurl')
  if (found === undefined)
    return [
      doubt(
        `${place}: ${url} cannot be read, so clients do not find the server by its name; let the web server there pass it on`,
      ),
    ]
  const homeserver = found['m.homeserver']
  const base =
    typeof homeserver === 'object' && homeserver !== null && 'base_url' in homeserver ? String(homeserver.base_url) : ''
  return base.replace(/\/$/, '') === publicBaseUrl.replace(/\/$/, '')
    ? []
    : [fault(`${place}: is ${publicBaseUrl}, and ${url} says ${base || 'nothing'}; make them the same`)]
}

async function readWellKnown(url: string, probe: Probe): Promise<Readonly<Record<string, unknown>> | undefined> {
  const answer = await ask(url, probe)
  return typeof answer === 'object' && answer.status === 200 ? parseJsonObject(answer.text) : undefined
}

/** Sends a marked request of each group through the proxy, and looks who answered. */
export async function checkProxy(model: ProxyModel, publicBaseUrl: string, probe: Probe): Promise<Finding[]> {
  const findings: Finding[] = []
  const asked = new Set<string>()
  for (const { group, method, paths } of ENDPOINTS) {
    const [path] = paths
    // GET without a token changes nothing, whoever gets it.
    if (method !== 'GET' || path === undefined || asked.has(group)) continue
    asked.add(group)
    const route = findRoute(model.routes, 'GET', samplePath(path)) as PooledRoute | undefined
    const url = new URL(samplePath(path).slice(1), publicBaseUrl).href
    findings.push(...judgeLanding(await ask(url, probe), { url, group, route }))
  }
  return findings
}

function judgeLanding(
  answer: ProbeAnswer | string,
  { url, group, route }: { url: string; group: string; route: PooledRoute | undefined },
): Finding[] {
  if (typeof answer === 'string')
    return [fault(`${url}: cannot be reached (${answer}); look at the proxy, DNS and the certificate`)]
  if (answer.status >= 500)
    return [fault(`${url}: status ${answer.status}; the proxy passes ${group} to a process that does not answer`)]
  const isOurs = parseJsonObject(answer.text) !== undefined || answer.status === 200
  if (!isOurs)
    return [
      fault(
        `${url}: status ${answer.status}, and no Matrix answer: the proxy does not pass ${group} on; compare it with \`ganglion proxy-config\``,
      ),
    ]
  const landed = answer.headers[PROCESS_HEADER]
  const pools = [route?.pool, route?.poolWithoutSince].flatMap((pool) => (pool ? [...pool.members, ...pool.backups] : []))
  const wanted = [...new Set(pools.map(({ process }) => process))]
  return typeof landed === 'string' && wanted.length > 0 && !wanted.includes(landed)
    ? [
        doubt(
          `${url}: ${group} landed at ${landed}, and belongs to ${wanted.join(' or ')}; compare the proxy with \`ganglion proxy-config\``,
        ),
      ]
    : []
}

/** The answer, or why there is none. */
async function ask(url: string, probe: Probe): Promise<ProbeAnswer | string> {
  try {
    return await probe({ url, headers: { [DOCTOR_HEADER]: '1' } })
  } catch (error) {
    return describeError(error)
  }
}
