import { createHash } from 'node:crypto'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const ANY = '*'
const ME = '$ME'
const LAZY = '$LAZY'
const MEMBER = 'm.room.member'
const DIGEST_CHARACTERS = 16
const CACHED_MAX = 5000

/** A pair of event type and state key of `required_state`. */
export type StatePair = readonly [type: string, stateKey: string]

/** What has to be read to answer a `required_state`. */
export interface StateReading {
  /** Everything, of the members only those in `slots`, where `withoutMembers` holds. */
  readonly isEverything: boolean
  readonly withoutMembers: boolean
  /** All slots of these types. */
  readonly types: readonly string[]
  readonly slots: readonly StatePair[]
}

/**
 * A `required_state`, ready to be asked. `*` stands for any type or any state key, `$ME` for the reader, `$LAZY` for the members
 * that the timeline needs; `$LAZY` beside `["*","*"]` takes the other members out of it. MSC4186; Synapse: sliding_sync/__init__.py.
 */
export class RequiredState {
  /** Sorted, each once. */
  readonly pairs: readonly StatePair[]
  readonly json: string
  /** Stands for the pairs where they are stored. */
  readonly digest: string
  readonly isLazy: boolean
  readonly #isEverything: boolean
  readonly #keysOfAnyType = new Set<string>()
  readonly #keysByType = new Map<string, Set<string>>()
  readonly #beyond = new WeakMap<RequiredState, readonly StatePair[]>()

  /** Use `RequiredStates`, which makes each only once. */
  constructor(pairs: readonly StatePair[]) {
    const byText = new Map(pairs.map((pair) => [JSON.stringify(pair), pair]))
    const texts = [...byText.keys()].toSorted()
    this.pairs = texts.map((text) => byText.get(text) as StatePair)
    this.json = `[${texts.join(',')}]`
    this.digest = createHash('sha256').update(this.json).digest('base64url').slice(0, DIGEST_CHARACTERS)
    for (const [type, stateKey] of this.pairs) {
      if (type === ANY) this.#keysOfAnyType.add(stateKey)
      else this.#keysByType.set(type, (this.#keysByType.get(type) ?? new Set()).add(stateKey))
    }
    this.#isEverything = this.#keysOfAnyType.has(ANY)
    const memberKeys = this.#keysByType.get(MEMBER)
    this.isLazy = memberKeys?.has(LAZY) === true && !memberKeys.has(ANY)
  }

  /** Tells whether the slot is asked for by itself; members that are loaded lazily are not. */
  matches(type: string, stateKey: string, me: string): boolean {
    const hasKey = (keys: ReadonlySet<string> | undefined): boolean =>
      keys !== undefined && (keys.has(stateKey) || (stateKey === me && keys.has(ME)))
    const keys = this.#keysByType.get(type)
    if (hasKey(keys) || keys?.has(ANY) === true) return true
    if (this.isLazy && type === MEMBER) return hasKey(this.#keysOfAnyType)
    return this.#isEverything || hasKey(this.#keysOfAnyType)
  }

  /** The pairs whose slots the other does not have all. What is loaded lazily is no matter of pairs. */
  getPairsBeyond(other: RequiredState): readonly StatePair[] {
    // Asked for each room of each request, and of a few pairs.
    const known = this.#beyond.get(other)
    if (known) return known
    const beyond = this.pairs.filter(
      ([type, stateKey]) => !(type === MEMBER && stateKey === LAZY) && !other.#covers(type, stateKey),
    )
    this.#beyond.set(other, beyond)
    return beyond
  }

  #covers(type: string, stateKey: string): boolean {
    const keys = this.#keysByType.get(type)
    if (keys?.has(stateKey) === true || keys?.has(ANY) === true) return true
    if (type === MEMBER && this.isLazy) return this.#keysOfAnyType.has(stateKey) && stateKey !== ANY
    if (type === ANY && stateKey === ANY) return this.#isEverything && !this.isLazy
    return this.#isEverything || this.#keysOfAnyType.has(stateKey)
  }

  /** What must be read for these pairs; `pairs` as `getPairsBeyond` returns them, or all. */
  getReading(me: string, pairs: readonly StatePair[] = this.pairs): StateReading {
    const hasAnyType = pairs.some(([type]) => type === ANY)
    const types = pairs.filter(([type, stateKey]) => type !== ANY && stateKey === ANY).map(([type]) => type)
    const slots = pairs
      .filter(([type, stateKey]) => type !== ANY && stateKey !== ANY && stateKey !== LAZY)
      .map(([type, stateKey]): StatePair => [type, stateKey === ME ? me : stateKey])
    return { isEverything: hasAnyType, withoutMembers: this.isLazy && !types.includes(MEMBER), types, slots }
  }
}

/** Makes `RequiredState`s, each once: clients repeat theirs with every request. */
export class RequiredStates {
  readonly #byText = cacheOfEntries<string, RequiredState>(CACHED_MAX)

  get(pairs: readonly StatePair[]): RequiredState {
    return this.#get(JSON.stringify(pairs), () => pairs)
  }

  /** What was stored as `RequiredState.json`. */
  parse(json: string): RequiredState {
    return this.#get(json, () => JSON.parse(json) as StatePair[])
  }

  /** Both together. */
  join(one: RequiredState, other: RequiredState): RequiredState {
    if (one === other) return one
    return this.#get(`${one.digest} ${other.digest}`, () => [...one.pairs, ...other.pairs])
  }

  #get(text: string, makePairs: () => readonly StatePair[]): RequiredState {
    const known = this.#byText.get(text)
    if (known) return known
    const made = new RequiredState(makePairs())
    // Spelled in another order it is the same.
    const state = this.#byText.get(made.json) ?? made
    this.#byText.set(made.json, state)
    this.#byText.set(text, state)
    return state
  }
}
