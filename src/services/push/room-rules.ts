import type { RoomId, UserId } from '../../protocol/ids.ts'
import { localpartOf } from '../../protocol/ids.ts'
import type { CompiledRuleset } from '../../protocol/push-rules/evaluator.ts'
import { NameIndex } from './name-index.ts'
import type { PushBaseline, RoomPushView } from './push-actions.ts'
import type { LoadedPushRules } from './push-rules.ts'

/** Members of a room whose rules come to the same for events that name none of them. */
export interface RuleGroup {
  readonly compiled: CompiledRuleset
  readonly baseline: PushBaseline
  readonly users: Set<UserId>
}

/** What is known of a room's local members to evaluate events: who has rules of his own, and who may be named by a text. */
export class RoomRules {
  readonly roomId: RoomId
  /** Users whose rules or names have to be read (again) by the next `prepare`. */
  readonly stale = new Set<UserId>()
  readonly groups = new Map<string, RuleGroup>()
  /** Evaluated one by one at each event. */
  readonly personal = new Set<UserId>()
  readonly #members = new Set<UserId>()
  readonly #customized = new Map<UserId, LoadedPushRules>()
  readonly #names = new NameIndex()
  /** Historical localparts may hold glob characters: their owners are always candidates. */
  readonly #globNamed = new Set<UserId>()

  constructor(roomId: RoomId) {
    this.roomId = roomId
  }

  get memberCount(): number {
    return this.#members.size
  }

  hasMember(userId: UserId): boolean {
    return this.#members.has(userId)
  }

  /** Files the names under which a text may call the user. */
  addMember(userId: UserId, displayName: string | undefined): void {
    if (!this.#members.has(userId)) {
      this.#members.add(userId)
      const localpart = localpartOf(userId)
      if (/[*?]/.test(localpart)) this.#globNamed.add(userId)
      else this.#names.add(localpart, userId)
    }
    if (displayName !== undefined) this.#names.add(displayName, userId)
  }

  /** Takes in what `getCustomized` found for these users; who is not among the found is on default rules. */
  setRules(userIds: Iterable<UserId>, found: readonly LoadedPushRules[]): void {
    for (const userId of userIds) this.#forgetRules(userId)
    for (const loaded of found) {
      const profile = loaded.profileFor(this.roomId)
      this.#customized.set(loaded.userId, loaded)
      if (profile.isPersonal) this.personal.add(loaded.userId)
      else if (profile.key !== undefined) {
        const group = this.groups.get(profile.key)
        if (group) group.users.add(loaded.userId)
        else this.groups.set(profile.key, { ...profile, users: new Set([loaded.userId]) })
      }
    }
  }

  #forgetRules(userId: UserId): void {
    const loaded = this.#customized.get(userId)
    if (!loaded) return
    this.#customized.delete(userId)
    this.personal.delete(userId)
    const { key } = loaded.profileFor(this.roomId)
    const group = key === undefined ? undefined : this.groups.get(key)
    group?.users.delete(userId)
    if (key !== undefined && group?.users.size === 0) this.groups.delete(key)
  }

  /** The user's own rules; undefined where he is on default rules, or not known here. */
  rulesOf(userId: UserId): LoadedPushRules | undefined {
    return this.#customized.get(userId)
  }

  /** Members that the text may name. */
  findNamed(text: string): Set<UserId> {
    const found = this.#names.find(text)
    for (const userId of this.#globNamed) found.add(userId)
    return found
  }

  /** Files the names of the stale users as the room has them now. */
  addStaleNames(view: RoomPushView): void {
    for (const userId of this.stale) this.addMember(userId, view.getDisplayName(userId))
  }
}
