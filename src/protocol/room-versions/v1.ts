import type { RoomVersion } from './room-version.ts'

/** The first version: event ids chosen by servers, the old state resolution. Spec: rooms/v1. */
export const V1: RoomVersion = {
  id: '1',
  eventIdFormat: 1,
  stateResolution: 'v1',
  enforcesSigningKeyValidity: false,
  strictCanonicalJson: false,
  specialAliasesAuth: true,
  redactionAuthRule: true,
  limitNotificationsPowerLevels: false,
  hasKnock: false,
  hasRestrictedJoin: false,
  hasKnockRestricted: false,
  redactionKeepsJoinAuthorised: false,
  integerPowerLevels: false,
  updatedRedactionRules: false,
  limitsFieldBytes: false,
  implicitRoomCreator: false,
  hashRoomId: false,
  privilegedCreators: false,
}
