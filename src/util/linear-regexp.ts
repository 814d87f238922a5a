/**
 * Regular expressions that take time in proportion to the text, whatever the pattern: no backtracking (Thompson's construction).
 *
 *   "a(b|c)*"   char a · split ─┬─ split ─┬─ char b ─┐
 *                        ▲      │         └─ char c ─┤
 *                        └──────┼────────────────────┘
 *                               └─ match
 *
 * All states that the text can be in are followed at once, each at most once for each character.
 */

type Test = (code: number) => boolean
type Node =
  | { readonly kind: 'test'; readonly test: Test }
  | { readonly kind: 'start' | 'end' | 'empty' }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number }
type Step =
  | { readonly op: 'test'; readonly test: Test }
  | { readonly op: 'start' | 'end' | 'match' }
  | { readonly op: 'split'; a: number; b: number }
  | { readonly op: 'jump'; a: number }

const STEPS_MAX = 5000
const REPEAT_MAX = 255
const DEPTH_MAX = 50
const LETTERS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11 }

/** The pattern is none, or uses what has no linear form (look-around, references back). */
export class PatternError extends Error {
  override readonly name = 'PatternError'
}

/** A compiled pattern. */
export class LinearRegExp {
  readonly #steps: Step[] = []

  /** Throws PatternError. */
  constructor(pattern: string) {
    this.#compile(new Parser(pattern).parse())
    this.#emit({ op: 'match' })
  }

  /** Tells whether the text begins with what the pattern describes, as Python's `re.match` does. */
  matchesStart(text: string): boolean {
    let states = this.#follow([0], 0, text.length)
    for (let index = 0; ; index++) {
      if (states.isMatch) return true
      if (index >= text.length || states.tests.length === 0) return false
      const code = text.charCodeAt(index)
      const next: number[] = []
      for (const state of states.tests) {
        const step = this.#steps[state]
        if (step?.op === 'test' && step.test(code)) next.push(state + 1)
      }
      states = this.#follow(next, index + 1, text.length)
    }
  }

  #follow(from: readonly number[], index: number, length: number): { tests: number[]; isMatch: boolean } {
    const seen = new Set<number>()
    const pending = [...from]
    const tests: number[] = []
    let isMatch = false
    for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
      if (seen.has(state)) continue
      seen.add(state)
      const step = this.#steps[state]
      if (!step) continue
      if (step.op === 'test') tests.push(state)
      else if (step.op === 'match') isMatch = true
      else if (step.op === 'jump') pending.push(step.a)
      else if (step.op === 'split') pending.push(step.a, step.b)
      else if (step.op === 'start' ? index === 0 : index === length) pending.push(state + 1)
    }
    return { tests, isMatch }
  }

  #emit<T extends Step>(step: T): T {
    if (this.#steps.length >= STEPS_MAX) throw new PatternError('it is too large')
    this.#steps.push(step)
    return step
  }

  #compile(node: Node): void {
    switch (node.kind) {
      case 'test':
        this.#emit({ op: 'test', test: node.test })
        return
      case 'start':
      case 'end':
        this.#emit({ op: node.kind })
        return
      case 'empty':
        return
      case 'sequence':
        for (const part of node.parts) this.#compile(part)
        return
      case 'choice':
        this.#compileChoice(node.parts)
        return
      case 'repeat':
        this.#compileRepeat(node)
    }
  }

  #compileChoice(parts: readonly Node[]): void {
    const jumps: { op: 'jump'; a: number }[] = []
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) this.#compile(part)
      else {
        const split = this.#emit({ op: 'split' as const, a: this.#steps.length + 1, b: 0 })
        this.#compile(part)
        jumps.push(this.#emit({ op: 'jump' as const, a: 0 }))
        split.b = this.#steps.length
      }
    }
    for (const jump of jumps) jump.a = this.#steps.length
  }

  #compileRepeat({ part, min, max }: { part: Node; min: number; max: number }): void {
    for (let count = 0; count < min; count++) this.#compile(part)
    if (max === Infinity) {
      const split = this.#emit({ op: 'split' as const, a: this.#steps.length + 1, b: 0 })
      this.#compile(part)
      this.#emit({ op: 'jump', a: this.#steps.indexOf(split) })
      split.b = this.#steps.length
      return
    }
    const splits: { op: 'split'; a: number; b: number }[] = []
    for (let count = min; count < max; count++) {
      splits.push(this.#emit({ op: 'split' as const, a: this.#steps.length + 1, b: 0 }))
      this.#compile(part)
    }
    for (const split of splits) split.b = this.#steps.length
  }
}

/** Reads the syntax that Python, JavaScript and POSIX (extended) have in common. */
class Parser {
  readonly #text: string
  #index = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#index < this.#text.length) throw new PatternError('a closing parenthesis has no opening one')
    return node
  }

  #peek(): string | undefined {
    return this.#text[this.#index]
  }

  #eat(text: string): boolean {
    if (!this.#text.startsWith(text, this.#index)) return false
    this.#index += text.length
    return true
  }

  #choice(): Node {
    const parts = [this.#sequence()]
    while (this.#eat('|')) parts.push(this.#sequence())
    return parts.length === 1 ? (parts[0] ?? { kind: 'empty' }) : { kind: 'choice', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    for (let char = this.#peek(); char !== undefined && char !== '|' && char !== ')'; char = this.#peek())
      parts.push(this.#repeated(this.#atom()))
    return { kind: 'sequence', parts }
  }

  #repeated(atom: Node): Node {
    let node = atom
    for (;;) {
      const range = this.#quantifier()
      if (!range) return node
      // Lazy or greedy: the same texts match.
      this.#eat('?')
      node = { kind: 'repeat', part: node, ...range }
    }
  }

  #quantifier(): { min: number; max: number } | undefined {
    if (this.#eat('*')) return { min: 0, max: Infinity }
    if (this.#eat('+')) return { min: 1, max: Infinity }
    if (this.#eat('?')) return { min: 0, max: 1 }
    const match = /^\{(\d{0,4})(,?)(\d{0,4})\}/.exec(this.#text.slice(this.#index, this.#index + 12))
    if (!match || (match[1] === '' && match[3] === '')) return undefined
    this.#index += match[0].length
    const min = Number(match[1])
    const max = match[2] === '' ? min : match[3] === '' ? Infinity : Number(match[3])
    if (min > REPEAT_MAX || (max > REPEAT_MAX && max !== Infinity) || max < min)
      throw new PatternError(`${match[0]} is out of range`)
    return { min, max }
  }

  #atom(): Node {
    const char = this.#text[this.#index++] ?? ''
    if (char === '(') return this.#group()
    if (char === '[') return { kind: 'test', test: this.#set() }
    if (char === '.') return { kind: 'test', test: (code) => code !== 10 }
    if (char === '^') return { kind: 'start' }
    if (char === '$') return { kind: 'end' }
    if (char === '*' || char === '+' || char === '?') throw new PatternError(`nothing stands before ${char}`)
    if (char === '\\') return this.#escaped()
    return { kind: 'test', test: isCode(char.charCodeAt(0)) }
  }

  #group(): Node {
    if (++this.#depth > DEPTH_MAX) throw new PatternError('groups are nested too deeply')
    if (this.#peek() === '?' && !this.#eat('?:')) {
      const named = /^\?P?<[A-Za-z_]\w*>/.exec(this.#text.slice(this.#index, this.#index + 100))
      if (!named) throw new PatternError('look-around and flags inside of patterns are not supported')
      this.#index += named[0].length
    }
    const node = this.#choice()
    if (!this.#eat(')')) throw new PatternError('a parenthesis is not closed')
    this.#depth--
    return node
  }

  #escaped(): Node {
    const char = this.#text[this.#index] ?? ''
    if (char === 'A' || char === 'Z' || char === 'z') {
      this.#index++
      return { kind: char === 'A' ? 'start' : 'end' }
    }
    return { kind: 'test', test: this.#escape() }
  }

  #escape(): Test {
    const char = this.#text[this.#index++]
    if (char === undefined) throw new PatternError('it ends with a backslash')
    const named = classOf(char.toLowerCase())
    if (named && 'dsw'.includes(char.toLowerCase())) return char === char.toLowerCase() ? named : (code) => !named(code)
    const control = LETTERS[char]
    if (control !== undefined) return isCode(control)
    if (char === 'x' || char === 'u') return isCode(this.#hex(char === 'x' ? 2 : 4))
    if (/[A-Za-z0-9]/.test(char)) throw new PatternError(`\\${char} is not supported`)
    return isCode(char.charCodeAt(0))
  }

  #hex(digits: number): number {
    const text = this.#text.slice(this.#index, this.#index + digits)
    if (text.length < digits || !/^[0-9A-Fa-f]+$/.test(text)) throw new PatternError('an escape is not complete')
    this.#index += digits
    return Number.parseInt(text, 16)
  }

  #set(): Test {
    const isNegated = this.#eat('^')
    const tests: Test[] = []
    for (let isFirst = true; ; isFirst = false) {
      const char = this.#text[this.#index++]
      if (char === undefined) throw new PatternError('a bracket is not closed')
      if (char === ']' && !isFirst) break
      if (char === '\\') tests.push(this.#escape())
      else tests.push(this.#range(char))
    }
    return (code) => tests.some((test) => test(code)) !== isNegated
  }

  #range(first: string): Test {
    const last = this.#text[this.#index + 1]
    if (this.#peek() !== '-' || last === undefined || last === ']') return isCode(first.charCodeAt(0))
    this.#index += 2
    const [from, to] = [first.charCodeAt(0), (last === '\\' ? (this.#text[this.#index++] ?? '') : last).charCodeAt(0)]
    if (Number.isNaN(to) || to < from) throw new PatternError(`${first}-${last} is no range`)
    return (code) => code >= from && code <= to
  }
}

function isCode(wanted: number): Test {
  return (code) => code === wanted
}

function classOf(letter: string): Test | undefined {
  const isDigit: Test = (code) => code >= 48 && code <= 57
  if (letter === 'd') return isDigit
  if (letter === 's') return (code) => code === 32 || (code >= 9 && code <= 13)
  if (letter === 'w') return (code) => isDigit(code) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code === 95
  return undefined
}
