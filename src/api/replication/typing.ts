import type { RoomId, UserId } from '../../protocol/ids.ts'
import { defineRpc, ignoreFailedCall, RpcRefusal } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type { TypingChange, TypingWriter } from '../../services/ephemeral/typing.ts'
import type { TypingLists } from '../../services/ephemeral/typing-lists.ts'
import type { TypingOwner } from '../../services/ephemeral/typing-owner.ts'
import type { StreamPosition } from '../../streams/streams.ts'

/** Says that a user types. After two seconds it is no news any more. */
const SET_TYPING = defineRpc<TypingChange, null>({ name: 'edu.typing', deadlineMs: 2000, retry: 'other', isIdempotent: true })

interface TypingList {
  readonly position: StreamPosition
  readonly roomId: RoomId
  readonly userIds: readonly UserId[]
}

/** Reads the lists that changed after a position: what frames did not bring. */
const TYPING_SINCE = defineRpc<{ readonly after: StreamPosition }, { readonly lists: readonly TypingList[] }>({
  name: 'eph.since',
  deadlineMs: 1000,
  retry: 'same',
  isIdempotent: true,
})

/** Serves other processes while this one may hold the role. */
export function serveTyping(server: RpcServer, deps: { owner: TypingOwner; lists: TypingLists }): void {
  server.handle(SET_TYPING, async (change) => {
    if (!deps.owner.isHolder) throw new RpcRefusal('not_owner')
    await deps.owner.set(change)
    return null
  })
  server.handle(TYPING_SINCE, ({ after }) =>
    Promise.resolve({ lists: deps.lists.listSince(after).map(({ position, row }) => ({ position, ...row })) }),
  )
}

/** Tells the owner of the stream `typing`, wherever it is. What nobody takes within two seconds is dropped. */
export class RoutedTypingWriter implements TypingWriter {
  readonly #deps: { readonly owner: TypingOwner; readonly rpc: RpcCaller; holder(): string | undefined }

  constructor(deps: { owner: TypingOwner; rpc: RpcCaller; holder(): string | undefined }) {
    this.#deps = deps
  }

  async set(change: TypingChange): Promise<void> {
    const { owner, rpc, holder } = this.#deps
    if (owner.isHolder) return owner.set(change)
    await rpc.call(SET_TYPING, holder(), change, { pickTarget: holder }).catch(ignoreFailedCall)
  }

  /** Reads from the owner what changed after the position; nothing when this process is the owner. */
  async readSince(
    after: StreamPosition,
  ): Promise<{ position: StreamPosition; row: { roomId: RoomId; userIds: readonly UserId[] } }[]> {
    const { owner, rpc, holder } = this.#deps
    const target = holder()
    if (owner.isHolder || target === undefined) return []
    const { lists } = await rpc.call(TYPING_SINCE, target, { after })
    return lists.map(({ position, roomId, userIds }) => ({ position, row: { roomId, userIds } }))
  }
}
