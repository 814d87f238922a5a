import type { MapReader } from './reader.ts'
import { MAIN_PROCESS_NAME } from './workers.ts'
import type { WorkersConfig } from './workers.ts'

/**
 * Folds where old worker files look for the main process (`worker_replication_host` and its kind, gone from Synapse since 1.84) into
 * `instance_map.main`, with one warning each. Where both stand and name different ports, that is an error.
 */
export function foldLegacyReplication(written: WorkersConfig, reader: MapReader): WorkersConfig {
  const workers = renameMaster(written)
  warnAbout(
    reader,
    'worker_main_http_uri',
    'is not needed any more: requests for the main process go through `instance_map`; remove it',
  )
  const { workerReplicationHost: host, workerReplicationHttpPort: port, workerReplicationHttpTls: tls = false } = workers
  for (const [option, part] of [
    ['worker_replication_host', 'host'],
    ['worker_replication_http_port', 'port'],
    ['worker_replication_http_tls', 'tls'],
  ] as const) {
    warnAbout(reader, option, `is understood; write it as \`instance_map.${MAIN_PROCESS_NAME}.${part}\` into the shared file`)
  }
  if (host === undefined && port === undefined) return workers
  const place = (option: string) => reader.get(option)?.place ?? reader.place
  const known = workers.instanceMap.get(MAIN_PROCESS_NAME)
  if (known !== undefined) {
    if (port !== undefined && known.port !== undefined && known.port !== port) {
      reader.problem(
        place('worker_replication_http_port'),
        'worker_replication_http_port',
        `says ${port}, and \`instance_map.${MAIN_PROCESS_NAME}.port\` says ${known.port}; remove worker_replication_http_port`,
      )
    }
    return workers
  }
  if (host === undefined || port === undefined) {
    const [given, missing] =
      host === undefined
        ? ['worker_replication_http_port', 'worker_replication_host']
        : ['worker_replication_host', 'worker_replication_http_port']
    reader.problem(
      place(given),
      given,
      `needs \`${missing}\` beside it; or write \`instance_map.${MAIN_PROCESS_NAME}\` instead of both`,
    )
    return workers
  }
  const instanceMap = new Map(workers.instanceMap).set(MAIN_PROCESS_NAME, { host, port, path: undefined, tls })
  return Object.freeze({ ...workers, instanceMap })
}

function renameMaster(workers: WorkersConfig): WorkersConfig {
  const master = workers.instanceMap.get('master')
  if (master === undefined || workers.instanceMap.has(MAIN_PROCESS_NAME)) return workers
  const others = [...workers.instanceMap].filter(([name]) => name !== 'master')
  return Object.freeze({ ...workers, instanceMap: new Map([[MAIN_PROCESS_NAME, master], ...others]) })
}

function warnAbout(reader: MapReader, option: string, what: string): void {
  const node = reader.get(option)
  if (node && node.value !== null) reader.warn(node.place, option, what)
}
