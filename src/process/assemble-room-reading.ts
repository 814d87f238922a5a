import { RoomMessages } from '../services/rooms/reading/room-messages.ts'
import { RoomPages } from '../services/rooms/reading/room-pages.ts'
import { RoomStates } from '../services/rooms/reading/room-states.ts'
import type { AccountData } from '../services/user-data/account-data.ts'
import type { Core } from './assemble-core.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'

/** What clients read of rooms. */
export interface RoomReadingServices {
  readonly roomMessages: RoomMessages
  readonly roomStates: RoomStates
}

export function assembleRoomReading(core: Core, deps: { directory: RoomDirectoryServices; accountData: AccountData }): RoomReadingServices {
  const { database, hub, events, clientEvents } = core
  const { roomAccess: access, roomViews: views } = deps.directory
  const pages = new RoomPages({ database, events })
  return {
    roomMessages: new RoomMessages({ database, hub, access, views, pages, events, clientEvents, accountData: deps.accountData }),
    roomStates: new RoomStates({ database, access }),
  }
}
