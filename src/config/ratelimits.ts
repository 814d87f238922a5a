import { decimal, group, integer, section, size } from './option.ts'
import type { Option, OptionTable, Values } from './option.ts'
import type { MapReader } from './reader.ts'
import { readTable } from './option.ts'

/** A leaky bucket: `burstCount` actions at once, refilled with `perSecond`. */
export interface RateLimit {
  readonly perSecond: number
  readonly burstCount: number
}

function limit(name: string, perSecond: number, burstCount: number, doc: string): Option<RateLimit> {
  const base = group(name, bucket(perSecond, burstCount), doc)
  return { ...base, type: 'rate limit', defaultText: `${perSecond} per second, burst ${burstCount}` }
}

function bucket(perSecond: number, burstCount: number): { perSecond: Option<number>; burstCount: Option<number> } {
  return {
    perSecond: decimal('per_second', perSecond, 'Actions a second, in the long run.'),
    burstCount: decimal('burst_count', burstCount, 'Actions at once.'),
  }
}

/** A limit that replaces another one only when an admin writes it. */
function optionalLimit(name: string, perSecond: number, burstCount: number, doc: string): Option<RateLimit | undefined> {
  const inner: OptionTable = bucket(perSecond, burstCount)
  const read = (reader: MapReader): RateLimit | undefined => {
    const node = reader.get(name)
    if (!node || node.value === null) return undefined
    const child = reader.child(name)
    const values = readTable(bucket(perSecond, burstCount), child)
    child.reportUnknown()
    return values
  }
  return { name, type: 'rate limit', defaultText: 'none', doc, inner, read }
}

/** How often somebody may do something. */
export const ratelimitOptions = section('Rate limits', {
  rcMessage: limit('rc_message', 0.2, 10, 'Events that a user sends.'),
  rcRegistration: limit('rc_registration', 0.17, 3, 'Registrations from one address.'),
  rcRegistrationTokenValidity: limit(
    'rc_registration_token_validity',
    0.1,
    5,
    'Questions whether a registration token is valid, from one address.',
  ),
  rcLogin: group(
    'rc_login',
    {
      address: limit('address', 0.003, 5, 'Logins from one address.'),
      account: limit('account', 0.003, 5, 'Logins to one account.'),
      failedAttempts: limit('failed_attempts', 0.17, 3, 'Failed logins to one account.'),
    },
    'Logins.',
  ),
  rcAdminRedaction: optionalLimit(
    'rc_admin_redaction',
    0.17,
    3,
    'Redactions by administrators; without it `rc_message` counts for them.',
  ),
  rcJoins: group(
    'rc_joins',
    {
      local: limit('local', 0.1, 10, 'Joins of rooms that we are in.'),
      remote: limit('remote', 0.01, 10, 'Joins of rooms that only other servers are in.'),
    },
    'Joins by one user.',
  ),
  rcJoinsPerRoom: limit('rc_joins_per_room', 1, 10, 'Joins of one room.'),
  rcKeyRequests: limit('rc_key_requests', 20, 100, "Requests for other devices' keys, from one device."),
  rc3pidValidation: limit('rc_3pid_validation', 0.003, 5, 'Verification messages to an e-mail address or phone number.'),
  rcInvites: group(
    'rc_invites',
    {
      perRoom: limit('per_room', 0.3, 10, 'Invites to one room.'),
      perUser: limit('per_user', 0.003, 5, 'Invites of one user.'),
      perIssuer: limit('per_issuer', 0.3, 10, 'Invites by one user.'),
    },
    'Invites.',
  ),
  rcThirdPartyInvite: limit('rc_third_party_invite', 0.0025, 5, 'Invites by e-mail address or phone number.'),
  rcMediaCreate: limit('rc_media_create', 10, 50, 'Media that are created before their upload.'),
  rcPresence: group('rc_presence', { perUser: limit('per_user', 0.1, 1, 'Presence changes of one user.') }, 'Presence.'),
  rcDelayedEventMgmt: limit('rc_delayed_event_mgmt', 1, 5, 'Changes to delayed events (MSC4140).'),
  rcReports: limit('rc_reports', 1, 5, 'Reports of events, rooms and users.'),
  rcRoomCreation: limit('rc_room_creation', 0.016, 10, 'Rooms that a user makes.'),
  rcUserDirectory: limit('rc_user_directory', 0.016, 200, 'Searches in the user directory.'),
  rcFederation: group(
    'rc_federation',
    {
      windowSizeMs: integer('window_size', 1000, 'Length of the window, in milliseconds.'),
      sleepLimit: integer('sleep_limit', 10, 'Requests in the window before further ones wait.'),
      sleepDelayMs: integer('sleep_delay', 500, 'How long they wait, in milliseconds.'),
      rejectLimit: integer('reject_limit', 50, 'Waiting requests before further ones are refused.'),
      concurrent: integer('concurrent', 3, 'Requests of one server that are worked on at once.', { min: 1 }),
    },
    'Requests from one other server.',
  ),
  federationRrTransactionsPerRoomPerSecond: integer(
    'federation_rr_transactions_per_room_per_second',
    50,
    'Read receipts for one room that we send to other servers, per second.',
    { min: 1 },
  ),
  remoteMediaDownloadPerSecondBytes: size(
    'remote_media_download_per_second',
    '87K',
    'Remote media that one address may fetch, per second.',
  ),
  remoteMediaDownloadBurstCountBytes: size(
    'remote_media_download_burst_count',
    '500M',
    'Remote media that one address may fetch at once.',
  ),
})
export type RatelimitsConfig = Values<typeof ratelimitOptions.options>
