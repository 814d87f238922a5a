import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { DefaultRulesOptions } from '../../protocol/push-rules/default-rules.ts'
import type { CompiledRuleset } from '../../protocol/push-rules/evaluator.ts'
import { compileRuleset } from '../../protocol/push-rules/evaluator.ts'
import type { PushAction, PushRule, PushRuleKind, Ruleset } from '../../protocol/push-rules/push-rule.ts'
import {
  buildRuleset,
  deleteRule,
  NO_USER_PUSH_RULES,
  putRule,
  setRuleActions,
  setRuleEnabled,
} from '../../protocol/push-rules/ruleset.ts'
import type { UserPushRules } from '../../protocol/push-rules/ruleset.ts'
import type { Database } from '../../storage/database.ts'
import { getPushRules, getPushRulesRowsSince, replacePushRules } from '../../storage/tables/push-rules.ts'
import { EntityChanges } from '../../streams/entity-changes.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { RuleProfiles } from './rule-profile.ts'
import type { RuleProfile } from './rule-profile.ts'

const USERS_MAX = 50_000
/** Attempts at a change before we give up against rivals. */
const CHANGE_ATTEMPTS_MAX = 20

/** A user's rules as they are kept in memory. The merged and compiled forms are made on first use. */
export class LoadedPushRules {
  readonly userId: UserId
  readonly rules: UserPushRules
  /** 0 where the user has no rules of his own. */
  readonly position: number
  readonly #options: DefaultRulesOptions
  #ruleset: Ruleset | undefined
  #compiled: CompiledRuleset | undefined
  #profiles: RuleProfiles | undefined

  constructor(fields: { userId: UserId; rules: UserPushRules; position: number; options: DefaultRulesOptions }) {
    this.userId = fields.userId
    this.rules = fields.rules
    this.position = fields.position
    this.#options = fields.options
  }

  get ruleset(): Ruleset {
    return (this.#ruleset ??= buildRuleset(this.userId, this.rules, this.#options))
  }

  get compiled(): CompiledRuleset {
    return (this.#compiled ??= compileRuleset(this.ruleset))
  }

  /** What the rules come to in a room. */
  profileFor(roomId: RoomId): RuleProfile {
    return (this.#profiles ??= new RuleProfiles(this.rules, this.#options)).forRoom(roomId)
  }
}

/** Names one rule of a user. */
export interface PushRuleName {
  readonly userId: UserId
  readonly kind: PushRuleKind
  readonly ruleId: string
}

/** Keeps the push rules of users: defaults merged with what they changed. Spec: client-server-api § Push Rules. */
export class PushRules {
  readonly options: DefaultRulesOptions
  readonly #database: Database
  readonly #committer: LaneCommitter<'push_rules'>
  readonly #hub: StreamHub
  readonly #changes = new EntityChanges<string>()
  readonly #cache = cacheOfEntries<string, Promise<LoadedPushRules>>(USERS_MAX)

  constructor(deps: {
    database: Database
    hub: StreamHub
    committer: LaneCommitter<'push_rules'>
    options: DefaultRulesOptions
  }) {
    this.options = deps.options
    this.#database = deps.database
    this.#committer = deps.committer
    this.#hub = deps.hub
    deps.hub.onRow('push_rules', (row, position) => {
      this.#changes.note(row.userId, position)
      this.#cache.delete(row.userId)
    })
    deps.hub.onReset('push_rules', (head) => {
      this.#changes.reset(head)
      this.#cache.clear()
    })
    deps.hub.setReadSince('push_rules', async (_lane, after, upTo) =>
      (await getPushRulesRowsSince(this.#database, { after, upTo })).map(({ position, userId }) => ({
        position,
        row: { userId },
      })),
    )
  }

  /** Must be called once the stream's head is known. */
  start(): void {
    this.#changes.start(this.#hub.head('push_rules'))
  }

  /** Tells whether the user's rules may have changed since; from memory. */
  hasChanged(userId: UserId, after: StreamPosition): boolean {
    return this.#changes.hasChanged(userId, after)
  }

  /** The user's rules, defaults included, as clients see them. */
  async getRuleset(userId: UserId): Promise<Ruleset> {
    return (await this.get(userId)).ruleset
  }

  /** Content of the account data `m.push_rules`, as JSON text. */
  async getAccountDataJson(userId: UserId): Promise<string> {
    return JSON.stringify({ global: await this.getRuleset(userId) })
  }

  async get(userId: UserId): Promise<LoadedPushRules> {
    const [loaded] = await this.getMany([userId])
    if (!loaded) throw new Error('getMany answers for every user')
    return loaded
  }

  /** The rules of users, in their order: one query for those that are not in memory. */
  async getMany(userIds: readonly UserId[]): Promise<LoadedPushRules[]> {
    const missing = userIds.filter((userId) => !this.#cache.has(userId))
    if (missing.length > 0) this.#load(missing)
    return Promise.all(userIds.map((userId) => this.#cache.get(userId) ?? this.#loadOne(userId)))
  }

  /** The rules of those users that have some of their own, in one query, past the cache: for whole rooms. */
  async getCustomized(userIds: readonly UserId[]): Promise<LoadedPushRules[]> {
    if (userIds.length === 0) return []
    return (await getPushRules(this.#database, userIds)).map((row) => this.#parse(row.userId as UserId, row))
  }

  #load(userIds: readonly UserId[]): void {
    const query = getPushRules(this.#database, userIds)
    const rows = query.then((found) => new Map(found.map((row) => [row.userId, row])))
    for (const userId of userIds) {
      // A change that commits while this loads deletes the entry when it is applied, so nothing stale stays.
      const loading = rows.then((found) => this.#parse(userId, found.get(userId)))
      this.#cache.set(userId, loading)
      loading.catch(() => {
        if (this.#cache.peek(userId) === loading) this.#cache.delete(userId)
      })
    }
  }

  async #loadOne(userId: UserId): Promise<LoadedPushRules> {
    const [row] = await getPushRules(this.#database, [userId])
    return this.#parse(userId, row)
  }

  #parse(userId: UserId, row: { rulesJson: string; position: number } | undefined): LoadedPushRules {
    const rules = row ? (JSON.parse(row.rulesJson) as UserPushRules) : NO_USER_PUSH_RULES
    return new LoadedPushRules({ userId, rules, position: row?.position ?? 0, options: this.options })
  }

  /** Adds or replaces a rule of the user. Throws what `putRule` throws. Spec: PUT /pushrules/global/{kind}/{ruleId}. */
  put(
    userId: UserId,
    kind: PushRuleKind,
    rule: PushRule,
    place: { before: string | undefined; after: string | undefined },
  ): Promise<void> {
    return this.#change(userId, (rules) => putRule(rules, kind, rule, place))
  }

  /** Removes a rule of the user. Throws M_NOT_FOUND. */
  delete({ userId, kind, ruleId }: PushRuleName): Promise<void> {
    return this.#change(userId, (rules) => deleteRule(rules, kind, ruleId))
  }

  /** Switches a rule on or off. Throws M_NOT_FOUND. */
  setEnabled({ userId, kind, ruleId }: PushRuleName, enabled: boolean): Promise<void> {
    return this.#change(userId, (rules) => setRuleEnabled(rules, userId, { kind, ruleId, options: this.options }, enabled))
  }

  /** Sets a rule's actions, which come from `parseActions`. Throws M_NOT_FOUND. */
  setActions({ userId, kind, ruleId }: PushRuleName, actions: readonly PushAction[]): Promise<void> {
    return this.#change(userId, (rules) => setRuleActions(rules, userId, { kind, ruleId, options: this.options }, actions))
  }

  async #change(userId: UserId, change: (rules: UserPushRules) => UserPushRules): Promise<void> {
    for (let attempt = 0; attempt < CHANGE_ATTEMPTS_MAX; attempt++) {
      // Past the cache: another process may have been faster than its row.
      const before = await this.#loadOne(userId)
      const rulesJson = JSON.stringify(change(before.rules))
      if (rulesJson === JSON.stringify(before.rules)) return
      const { result } = await this.#committer.commit({
        count: 1,
        write: (tx, index) => replacePushRules(tx, index, { userId, rulesJson, expected: before.position }),
        rows: (isReplaced) => (isReplaced ? [{ userId }] : []),
      })
      if (result) return
    }
    throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many changes at once', { extra: { retry_after_ms: 1000 } })
  }
}
