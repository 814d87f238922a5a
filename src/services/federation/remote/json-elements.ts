const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
/** What is not in the lists. */
const REST_BYTES_MAX = 2 * 1024 * 1024
/** Of one element: an event, and what its server put under `unsigned`. */
const ELEMENT_BYTES_MAX = 1024 * 1024
const KEY_BYTES_MAX = 64

/** An element of one of the lists, as it came. */
export interface JsonElement {
  readonly list: string
  readonly bytes: Buffer
}

/** The text is no such object, or one of its parts is too large. */
export class JsonElementsError extends Error {
  override readonly name = 'JsonElementsError'
}

/**
 * Takes a large JSON object apart while it arrives, so that nothing of its size is ever parsed at once: the elements of some lists
 * that are members of the object, and the rest, in which these lists are empty.
 *
 *     {"origin":"a","state":[{...},{...}],"event":{...}}   ->  state: {...}   state: {...}   rest: {"origin":"a","state":[],"event":{...}}
 *
 * With `isWrapped` the object is the second of a list (`[200, {...}]`). Whether the parts are JSON is for who parses them to find out.
 */
export class JsonElements {
  readonly #lists: ReadonlySet<string>
  /** How many brackets are open directly inside the object. */
  readonly #base: number
  #depth = 0
  #isInString = false
  #isEscaped = false
  /** The list whose elements are being read. */
  #list: string | undefined
  #key: number[] = []
  #element: Buffer[] = []
  #elementBytes = 0
  #rest: Buffer[] = []
  #restBytes = 0

  constructor(lists: readonly string[], options: { readonly isWrapped?: boolean } = {}) {
    this.#lists = new Set(lists)
    this.#base = options.isWrapped === true ? 2 : 1
  }

  /** Takes the next piece; returns the elements that it completes. Throws JsonElementsError. */
  push(chunk: Buffer): JsonElement[] {
    const found: JsonElement[] = []
    let start = 0
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] as number
      if (this.#isInString) {
        this.#readString(byte)
        continue
      }
      switch (byte) {
        case QUOTE:
          this.#isInString = true
          if (this.#depth === this.#base) this.#key = []
          break
        case OPEN_OBJECT:
        case OPEN_LIST:
          if (byte === OPEN_LIST && this.#depth === this.#base && this.#list === undefined && this.#lists.has(this.#keyText())) {
            this.#keepRest(chunk.subarray(start, index + 1))
            start = index + 1
            this.#list = this.#keyText()
          }
          this.#depth++
          break
        case CLOSE_OBJECT:
        case CLOSE_LIST:
          this.#depth--
          if (this.#list !== undefined && this.#depth === this.#base) {
            this.#keepElement(chunk.subarray(start, index))
            this.#finishElement(found)
            start = index
            this.#list = undefined
          }
          break
        case COMMA:
          if (this.#list !== undefined && this.#depth === this.#base + 1) {
            this.#keepElement(chunk.subarray(start, index))
            this.#finishElement(found)
            start = index + 1
          }
          break
        default:
      }
    }
    if (this.#list === undefined) this.#keepRest(chunk.subarray(start))
    else this.#keepElement(chunk.subarray(start))
    return found
  }

  /** The object without the elements. Throws JsonElementsError where the text ended too early. */
  end(): Buffer {
    if (this.#depth !== 0 || this.#isInString) throw new JsonElementsError('The answer ended in the middle')
    return Buffer.concat(this.#rest)
  }

  #readString(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (byte === BACKSLASH) this.#isEscaped = true
    else if (byte === QUOTE) {
      this.#isInString = false
      return
    }
    if (this.#depth === this.#base && this.#key.length < KEY_BYTES_MAX) this.#key.push(byte)
  }

  #keyText(): string {
    return String.fromCharCode(...this.#key)
  }

  #keepRest(bytes: Buffer): void {
    this.#restBytes += bytes.length
    if (this.#restBytes > REST_BYTES_MAX) throw new JsonElementsError('The answer has too much in unexpected places')
    // A copy: the piece itself is as large as the network made it.
    if (bytes.length > 0) this.#rest.push(Buffer.from(bytes))
  }

  #keepElement(bytes: Buffer): void {
    this.#elementBytes += bytes.length
    if (this.#elementBytes > ELEMENT_BYTES_MAX) throw new JsonElementsError('An event of the answer is too large')
    if (bytes.length > 0) this.#element.push(bytes)
  }

  #finishElement(found: JsonElement[]): void {
    const bytes = this.#element.length === 1 ? (this.#element[0] as Buffer) : Buffer.concat(this.#element)
    this.#element = []
    this.#elementBytes = 0
    // White space of an empty list is no element.
    if (this.#list !== undefined && bytes.some((byte) => byte > 0x20)) found.push({ list: this.#list, bytes })
  }
}
