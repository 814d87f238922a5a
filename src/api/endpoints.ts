import type { Endpoint } from '../http/endpoint.ts'
import type { ClientContext } from './client/context.ts'
import { getVersions } from './client/server/versions.ts'

/** Every endpoint of the client listener resources, one list: router, proxy configurations and docs are made from it. */
export const ENDPOINTS: readonly Endpoint<ClientContext>[] = [
  // server
  getVersions,
  // auth

  // account

  // sync

  // rooms

  // encryption

  // push

  // media

  // admin
]
