import { clusterTopology } from '../api/replication/process-status.ts'
import type { Config } from '../config/config.ts'
import { describeTopology } from '../config/topology.ts'
import { parseJsonObject, probe } from '../process/doctor/http-probe.ts'
import { DEADLINE_HEADER, RPC_PATH } from '../replication/rpc.ts'

/** Asks the processes, one after the other until one answers, how all of them are. Null where none does, as in a server of one process. */
export async function askTopology(main: Config): Promise<Readonly<Record<string, unknown>> | null> {
  const secret = main.workers.workerReplicationSecret ?? ''
  for (const address of describeTopology(main).addresses.values()) {
    const isSocket = address.startsWith('unix:')
    const answer = await probe({
      url: `${isSocket ? 'http://localhost' : address}${RPC_PATH}${clusterTopology.name}`,
      ...(isSocket ? { socketPath: address.slice('unix:'.length) } : {}),
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        [DEADLINE_HEADER]: String(clusterTopology.deadlineMs),
        ...(secret === '' ? {} : { authorization: `Bearer ${secret}` }),
      },
      body: '{}',
      // A process that does not run, or hangs, is what `status` is asked for.
    }).catch((): undefined => undefined)
    const report = answer?.status === 200 ? parseJsonObject(answer.text) : undefined
    if (report !== undefined) return report
  }
  return null
}
