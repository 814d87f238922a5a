import { SerializedJson } from '../../http/endpoint.ts'
import type { FederationContext } from './context.ts'

/** Answers with events in the form of a transaction. Spec: server-server-api definitions/unlimited_pdu_transaction.yaml. */
export function transactionAnswer(context: FederationContext, pdus: readonly string[]): SerializedJson {
  const { serverName, clock } = context
  return new SerializedJson(
    `{"origin":${JSON.stringify(serverName)},"origin_server_ts":${clock.nowMs()},"pdus":[${pdus.join(',')}]}`,
  )
}
