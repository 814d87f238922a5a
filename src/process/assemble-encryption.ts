import { CrossSigning } from '../services/encryption/cross-signing.ts'
import { DehydratedDevices } from '../services/encryption/dehydrated-devices.ts'
import { DeviceKeyStore } from '../services/encryption/device-key-store.ts'
import { DeviceLists } from '../services/encryption/device-lists.ts'
import { KeyBackups } from '../services/encryption/key-backups.ts'
import { KeyCounts } from '../services/encryption/key-counts.ts'
import { KeyQuery } from '../services/encryption/key-query.ts'
import { RemoteKeys } from '../services/encryption/remote-keys.ts'
import { SignatureUpload } from '../services/encryption/signature-upload.ts'
import type { FederationRequester } from '../services/federation/federation-client.ts'
import { ToDeviceInbox } from '../services/to-device/to-device-inbox.ts'
import { ToDeviceSender } from '../services/to-device/to-device-sender.ts'
import { deleteDeviceKeys } from '../storage/tables/device-keys.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Core } from './assemble-core.ts'

/** End-to-end encryption and messages to devices. */
export interface EncryptionServices {
  readonly deviceKeys: DeviceKeyStore
  readonly keyQuery: KeyQuery
  readonly keyCounts: KeyCounts
  readonly deviceLists: DeviceLists
  readonly crossSigning: CrossSigning
  readonly signatureUpload: SignatureUpload
  readonly keyBackups: KeyBackups
  readonly dehydratedDevices: DehydratedDevices
  readonly toDevice: ToDeviceSender
  readonly toDeviceInbox: ToDeviceInbox
  /** Must run after the streams' heads were set. */
  start(): Promise<void>
}

/** Wires encryption, and has keys and messages deleted with their devices. */
export function assembleEncryption(
  core: Core,
  accounts: Pick<AccountServices, 'caches' | 'devices' | 'deleteDeviceHooks'>,
  deps: { readonly requests: FederationRequester },
): EncryptionServices {
  const { config, database, hub, clock, serverName, memberships, rateLimiter, background } = core
  const deviceLists = new DeviceLists({ database, hub, committer: core.committer('device_lists'), memberships })
  const keyCounts = new KeyCounts({ database, hub, cacheInvalidation: accounts.caches })
  const remoteKeys = new RemoteKeys({ database, requests: deps.requests, memberships })
  const deviceKeys = new DeviceKeyStore({
    database,
    committer: core.committer('caches'),
    deviceLists,
    keyCounts,
    clock,
    serverName,
    remoteKeys,
  })
  const toDeviceInbox = new ToDeviceInbox({ database, hub })
  accounts.deleteDeviceHooks.push(deleteDeviceKeys)
  return {
    deviceKeys,
    keyCounts,
    deviceLists,
    toDeviceInbox,
    keyQuery: new KeyQuery({ database, serverName, remoteKeys }),
    crossSigning: new CrossSigning({ database, clock: core.clock, deviceLists }),
    signatureUpload: new SignatureUpload({ database, deviceLists }),
    keyBackups: new KeyBackups({ database }),
    dehydratedDevices: new DehydratedDevices({
      database,
      hub,
      clock,
      devices: accounts.devices,
      deviceLists,
      deviceKeys,
      inbox: toDeviceInbox,
    }),
    toDevice: new ToDeviceSender({
      database,
      clock,
      rateLimiter,
      serverName,
      background,
      random: core.random,
      committer: core.committer('to_device'),
      keyRequestLimit: config.ratelimits.rcKeyRequests,
    }),
    async start() {
      toDeviceInbox.start()
      await deviceLists.start()
    },
  }
}
