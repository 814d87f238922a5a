import type { MemberSelf, Members } from './members.ts'
import { defineRpc } from './rpc.ts'
import type { RpcServer } from './rpc-server.ts'

/** What a process says of itself. */
export interface PingAnswer {
  readonly instance: string
  readonly boot: string
  readonly version: string
  readonly configHash: string
  readonly isDraining: boolean
}

/** Asks a process who it is: `doctor` finds wrong names behind ports and different configurations by it. */
export const doctorPing = defineRpc<Record<string, never>, PingAnswer>({
  name: 'doctor.ping',
  deadlineMs: 5000,
  retry: 'same',
  isIdempotent: true,
})

/** Tells a process to get ready for its end: it takes no new work, and gives its roles away. Answers when it is known to all. */
export const memberDrain = defineRpc<Record<string, never>, null>({
  name: 'member.drain',
  deadlineMs: 5000,
  retry: 'same',
  isIdempotent: true,
})

/** Serves `doctor.ping` and `member.drain`. */
export function serveMemberMethods(
  server: Pick<RpcServer, 'handle'>,
  members: { readonly self: MemberSelf } & Pick<Members, 'isDraining' | 'drain'>,
): void {
  server.handle(doctorPing, () => {
    const { instance, boot, version, configHash } = members.self
    return Promise.resolve({ instance, boot, version, configHash, isDraining: members.isDraining })
  })
  server.handle(memberDrain, async () => {
    await members.drain()
    return null
  })
}
