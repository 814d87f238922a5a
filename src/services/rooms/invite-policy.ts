import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { InviteRules } from '../../protocol/invite-rules.ts'
import type { Requester } from '../accounts/requester.ts'

interface InvitePermissions {
  getInviteRules(userId: UserId): Promise<InviteRules>
}

export interface InviteLimits {
  readonly perRoom: RateLimit
  readonly perUser: RateLimit
  readonly perIssuer: RateLimit
}

/** Says who may invite whom, before the room's own rules are asked. */
export class InvitePolicy {
  readonly #accountData: InvitePermissions
  readonly #rateLimiter: RateLimiter
  readonly #limits: InviteLimits
  readonly #serverName: ServerName
  readonly #blocksNonAdmins: boolean

  constructor(deps: {
    accountData: InvitePermissions
    rateLimiter: RateLimiter
    limits: InviteLimits
    serverName: ServerName
    /** Option block_non_admin_invites. */
    blocksNonAdmins: boolean
  }) {
    this.#accountData = deps.accountData
    this.#rateLimiter = deps.rateLimiter
    this.#limits = deps.limits
    this.#serverName = deps.serverName
    this.#blocksNonAdmins = deps.blocksNonAdmins
  }

  /**
   * Checks invites; `roomId` undefined for a room that is being made. Throws M_FORBIDDEN, M_USER_SUSPENDED, M_INVITE_BLOCKED,
   * M_LIMIT_EXCEEDED. Spec: client-server-api § Invite permission.
   */
  async check(requester: Requester, targets: readonly UserId[], roomId: RoomId | undefined): Promise<void> {
    if (targets.length === 0) return
    if (requester.isSuspended)
      throw new MatrixError('M_USER_SUSPENDED', 'Sending invites while account is suspended is not allowed.')
    if (this.#blocksNonAdmins && !requester.isAdmin)
      throw new MatrixError('M_FORBIDDEN', 'Invites have been disabled on this server')
    // Those of other servers have their own to ask.
    const ours = targets.filter((target) => serverNameOf(target) === this.#serverName)
    const rules = await Promise.all(ours.map((target) => this.#accountData.getInviteRules(target)))
    const blocking = ours.find((_, index) => rules[index]?.ruleFor(requester.userId) === 'block')
    if (blocking !== undefined) throw new MatrixError('M_INVITE_BLOCKED', `${blocking} does not accept invites`)
    if (requester.isRateLimited) await this.#limit(requester, targets, roomId)
  }

  /** Checks an invite of another server's user. Throws M_FORBIDDEN, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED. */
  async checkForeign(invite: { readonly sender: UserId; readonly target: UserId; readonly roomId: RoomId }): Promise<void> {
    const { sender, target, roomId } = invite
    if (this.#blocksNonAdmins) throw new MatrixError('M_FORBIDDEN', 'This server does not accept room invites')
    if ((await this.#accountData.getInviteRules(target)).ruleFor(sender) === 'block')
      throw new MatrixError('M_INVITE_BLOCKED', `${target} does not accept invites`)
    await this.#rateLimiter.consume(`invite_room:${roomId}`, this.#limits.perRoom)
    await this.#rateLimiter.consume(`invite_issuer:${sender}`, this.#limits.perIssuer)
    await this.#rateLimiter.consume(`invite_user:${target}`, this.#limits.perUser)
  }

  async #limit(requester: Requester, targets: readonly UserId[], roomId: RoomId | undefined): Promise<void> {
    await Promise.all(
      targets.map(async (target) => {
        if (roomId !== undefined) await this.#rateLimiter.consume(`invite_room:${roomId}`, this.#limits.perRoom)
        await this.#rateLimiter.consume(`invite_issuer:${requester.userId}`, this.#limits.perIssuer)
        await this.#rateLimiter.consume(`invite_user:${target}`, this.#limits.perUser)
      }),
    )
  }
}
