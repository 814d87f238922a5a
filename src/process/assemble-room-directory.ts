import type { Appservices } from '../services/appservices/appservices.ts'
import type { EventsWriter } from '../services/events/event-intent.ts'
import { RoomAliases } from '../services/rooms/aliases.ts'
import { DirectoryRules } from '../services/rooms/directory-rules.ts'
import { RoomDirectory } from '../services/rooms/directory.ts'
import { RoomAccess } from '../services/rooms/reading/room-access.ts'
import { RoomSlots } from '../services/rooms/reading/room-slots.ts'
import { RoomViews } from '../services/rooms/reading/room-view.ts'
import type { Core } from './assemble-core.ts'

/** Names and listing of rooms: what room creation needs as well as readers. */
export interface RoomDirectoryServices {
  readonly roomSlots: RoomSlots
  readonly roomViews: RoomViews
  readonly roomAccess: RoomAccess
  readonly roomAliases: RoomAliases
  readonly roomDirectory: RoomDirectory
}

export function assembleRoomDirectory(
  core: Core,
  deps: { writer: EventsWriter; appservices: Appservices },
): RoomDirectoryServices {
  const { config, database, clock, memberships, serverName, logger } = core
  const roomSlots = new RoomSlots({ database })
  const roomViews = new RoomViews({ database, hub: core.hub })
  const roomAccess = new RoomAccess({ memberships, views: roomViews })
  return {
    roomSlots,
    roomViews,
    roomAccess,
    roomAliases: new RoomAliases({
      database,
      clock,
      serverName,
      memberships,
      slots: roomSlots,
      access: roomAccess,
      writer: deps.writer,
      rules: new DirectoryRules(config.rooms.aliasCreationRules),
      reserved: deps.appservices,
      requiresMembership: config.rooms.requireMembershipForAliases,
      onError: (error) => logger.error('updating a canonical alias failed', { error }),
    }),
    roomDirectory: new RoomDirectory({
      database,
      clock,
      memberships,
      slots: roomSlots,
      rules: new DirectoryRules(config.rooms.roomListPublicationRules),
    }),
  }
}
