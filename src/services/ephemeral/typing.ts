import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'

/** Somebody begins to type, or goes on, or stops. */
export interface TypingChange {
  readonly userId: UserId
  readonly roomId: RoomId
  readonly isTyping: boolean
  /** For how long at the most; half a minute where nothing is said. */
  readonly timeoutMs?: number | undefined
}

/** Tells the owner of the stream `typing`: TypingOwner here, or its twin of another process (api/replication/typing.ts). */
export interface TypingWriter {
  set(change: TypingChange): Promise<void>
}

interface JoinedCheck {
  isJoined(userId: UserId, roomId: RoomId): Promise<boolean>
}

/** Lets users say that they type. Spec: client-server-api § Typing Notifications. */
export class Typing {
  readonly #memberships: JoinedCheck
  readonly #writer: TypingWriter

  constructor(deps: { memberships: JoinedCheck; writer: TypingWriter }) {
    this.#memberships = deps.memberships
    this.#writer = deps.writer
  }

  /** Says that a user types for the time, or not any more. Throws M_FORBIDDEN for who is not in the room. */
  async set(typing: TypingChange): Promise<void> {
    if (!(await this.#memberships.isJoined(typing.userId, typing.roomId)))
      throw new MatrixError('M_FORBIDDEN', 'You are not in the room')
    await this.#writer.set(typing)
  }
}
