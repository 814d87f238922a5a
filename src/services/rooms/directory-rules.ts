import { compileGlob } from '../../util/glob.ts'
import type { Glob } from '../../util/glob.ts'

/** One rule of `alias_creation_rules` or `room_list_publication_rules`; patterns with `*` and `?`. */
export interface DirectoryRule {
  readonly userId: string
  readonly alias: string
  readonly roomId: string
  readonly action: 'allow' | 'deny'
}

interface CompiledRule {
  readonly userId: Glob
  readonly alias: Glob
  readonly roomId: Glob
  readonly isForAnyAlias: boolean
  readonly isAllowed: boolean
}

/** Decides by the first rule that fits; where none does, nothing is allowed. Behaviour of Synapse. */
export class DirectoryRules {
  readonly #rules: readonly CompiledRule[]

  constructor(rules: readonly DirectoryRule[]) {
    this.#rules = rules.map((rule) => ({
      userId: compileGlob(rule.userId),
      alias: compileGlob(rule.alias),
      roomId: compileGlob(rule.roomId),
      isForAnyAlias: rule.alias === '*',
      isAllowed: rule.action === 'allow',
    }))
  }

  /** A room that does not exist yet has the id ''. A room without aliases only fits rules for any alias. */
  isAllowed(request: { readonly userId: string; readonly roomId: string; readonly aliases: readonly string[] }): boolean {
    const { userId, roomId, aliases } = request
    const rule = this.#rules.find(
      (one) =>
        one.userId.matches(userId) &&
        one.roomId.matches(roomId) &&
        (one.isForAnyAlias || aliases.some((alias) => one.alias.matches(alias))),
    )
    return rule?.isAllowed ?? false
  }
}
