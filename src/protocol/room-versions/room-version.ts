/** The room versions that this server speaks. Spec: rooms/. */
export const ROOM_VERSION_IDS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12'] as const
export type RoomVersionId = (typeof ROOM_VERSION_IDS)[number]

/** What differs between room versions, as switches that the rest of the protocol core asks. */
export interface RoomVersion {
  readonly id: RoomVersionId
  /** 1: `$opaque:server`; 3: `$` + standard base64 of the reference hash; 4: URL-safe base64. */
  readonly eventIdFormat: 1 | 3 | 4
  readonly stateResolution: 'v1' | 'v2' | 'v2.1'
  /** v5: a signature counts only if its key was valid at `origin_server_ts`. */
  readonly enforcesSigningKeyValidity: boolean
  /** v6: integers only, in range; canonical JSON is checked. */
  readonly strictCanonicalJson: boolean
  /** Up to v5: `m.room.aliases` has an auth rule of its own and is kept by redaction. */
  readonly specialAliasesAuth: boolean
  /** Up to v2: whether a redaction may apply is an auth rule; since v3 it is checked when it is applied. */
  readonly redactionAuthRule: boolean
  /** v6: `notifications` in power levels is checked by the auth rules. */
  readonly limitNotificationsPowerLevels: boolean
  /** v7: membership and join rule `knock`. */
  readonly hasKnock: boolean
  /** v8: join rule `restricted`; redaction keeps `allow` in the join rules. */
  readonly hasRestrictedJoin: boolean
  /** v10: join rule `knock_restricted`. */
  readonly hasKnockRestricted: boolean
  /** v9: redaction keeps `join_authorised_via_users_server`. */
  readonly redactionKeepsJoinAuthorised: boolean
  /** v10: power levels must be integers, not strings. */
  readonly integerPowerLevels: boolean
  /** v11: MSC2174, MSC2176, MSC3821 redaction changes; `redacts` inside content. */
  readonly updatedRedactionRules: boolean
  /** v11: keys and identifiers have at most 255 bytes; up to v10, what others sent may have as many code points. Behaviour of Synapse. */
  readonly limitsFieldBytes: boolean
  /** v11: `creator` in the create event is gone, the sender counts. */
  readonly implicitRoomCreator: boolean
  /** v12: room id is `!` + hash of the create event; the create event is not among auth_events. */
  readonly hashRoomId: boolean
  /** v12: creators have infinite power level. */
  readonly privilegedCreators: boolean
}
