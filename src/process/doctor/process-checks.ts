import { configHash, describeTopology } from '../../config/topology.ts'
import { doctorPing } from '../../replication/member-methods.ts'
import { DEADLINE_HEADER, RPC_PATH } from '../../replication/rpc.ts'
import type { ConfigurationUnderTest } from './config-checks.ts'
import { describeError, doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'
import { parseJsonObject } from './http-probe.ts'
import type { Probe, ProbeAnswer } from './http-probe.ts'

interface Pinged {
  readonly name: string
  readonly address: string
  /** Undefined where nobody answered. */
  readonly answer: ProbeAnswer | undefined
  readonly reason: string
}

/** Asks every process of `instance_map` who it is, with the secret of the configuration. */
export async function checkProcesses(under: ConfigurationUnderTest, probe: Probe): Promise<Finding[]> {
  const main = under.processes.find(({ app }) => app === undefined)
  if (main === undefined) return []
  const { addresses } = describeTopology(main.config)
  const secret = main.config.workers.workerReplicationSecret ?? ''
  const pinged = await Promise.all([...addresses].map(([name, address]) => ping({ name, address, secret, probe })))
  if (pinged.length > 0 && pinged.every(({ answer }) => answer === undefined)) {
    return [
      doubt(
        `${under.places.of(under.shared, 'instance_map')}: no process answers; when the server is not started yet, start it and ask again`,
      ),
    ]
  }
  const expected = new Map(under.processes.map(({ name, config }) => [name, configHash(config)]))
  return pinged.flatMap((one) =>
    judge(one, under.places.of(under.shared, 'instance_map', one.name), expected.get(one.name) ?? configHash(main.config)),
  )
}

async function ping({
  name,
  address,
  secret,
  probe,
}: {
  name: string
  address: string
  secret: string
  probe: Probe
}): Promise<Pinged> {
  const isSocket = address.startsWith('unix:')
  try {
    const answer = await probe({
      url: `${isSocket ? 'http://localhost' : address}${RPC_PATH}${doctorPing.name}`,
      ...(isSocket ? { socketPath: address.slice('unix:'.length) } : {}),
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        [DEADLINE_HEADER]: String(doctorPing.deadlineMs),
        ...(secret === '' ? {} : { authorization: `Bearer ${secret}` }),
      },
      body: '{}',
    })
    return { name, address, answer, reason: '' }
  } catch (error) {
    return { name, address, answer: undefined, reason: describeError(error) }
  }
}

function judge({ name, address, answer, reason }: Pinged, place: string, expectedHash: string): Finding[] {
  if (answer === undefined)
    return [fault(`${place}: nobody answers at ${address} (${reason}); start ${name}, or correct host and port`)]
  if (answer.status === 401)
    return [
      fault(
        `${place}: ${address} refuses our \`worker_replication_secret\`; give all processes the same, and start again those that have another`,
      ),
    ]
  const said = answer.status === 200 ? parseJsonObject(answer.text) : undefined
  if (said === undefined)
    return [
      fault(
        `${place}: what answers at ${address} (status ${answer.status}) is no replication listener of ours; correct the port`,
      ),
    ]
  const findings: Finding[] = []
  if (said['instance'] !== name)
    findings.push(
      fault(
        `${place}: behind ${address} is ${String(said['instance'])}, not ${name}; exchange the addresses, or correct the names`,
      ),
    )
  else if (said['configHash'] !== expectedHash)
    findings.push(fault(`${place}: ${name} runs with another configuration than the files have now; restart it`))
  if (said['isDraining'] === true)
    findings.push(doubt(`${place}: ${name} is about to stop, and takes no new work; restart it, or wait`))
  return findings
}
