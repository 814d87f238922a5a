import type { RoomId } from '../../protocol/ids.ts'
import { defineRpc, ignoreFailedCall } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type { RoomOwners } from './persist-events.ts'

/** Says that other servers' events of rooms are staged. A hint: the owner looks for them by itself too. */
const ROOM_WORK = defineRpc<{ readonly roomIds: readonly RoomId[] }, null>({
  name: 'federation.room_work',
  deadlineMs: 5000,
  retry: 'other',
  isIdempotent: true,
})

/** Who works on a room's staged events. */
interface Worker {
  wake(roomId: RoomId): void
}

/** Serves the hints of other processes. */
export function serveRoomWork(server: RpcServer, worker: Worker): void {
  server.handle(ROOM_WORK, ({ roomIds }) => {
    for (const roomId of roomIds) worker.wake(roomId)
    return Promise.resolve(null)
  })
}

/** Tells the owners of rooms, wherever they are. */
export class RoutedRoomWork {
  readonly #deps: { readonly self: string; readonly local: Worker; readonly owners: RoomOwners; readonly rpc: RpcCaller }

  constructor(deps: { self: string; local: Worker; owners: RoomOwners; rpc: RpcCaller }) {
    this.#deps = deps
  }

  /** Settles when all owners know, or will find out by themselves. */
  async wake(roomIds: readonly RoomId[]): Promise<void> {
    const { self, local, owners, rpc } = this.#deps
    const byOwner = Map.groupBy(roomIds, (roomId) => owners.ownerOf(roomId))
    await Promise.all(
      [...byOwner].map(async ([owner, rooms]) => {
        if (owner === self) for (const roomId of rooms) local.wake(roomId)
        else await rpc.call(ROOM_WORK, owner, { roomIds: rooms }).catch(ignoreFailedCall)
      }),
    )
  }
}
