import { BlockList, isIP, isIPv4 } from 'node:net'
import { OperatorError } from '../util/operator-error.ts'

/** Always refused: on most systems these lead to the machine itself. */
const UNSPECIFIED = ['0.0.0.0', '::'] as const

/**
 * Decides which addresses outgoing requests may connect to: what `blacklist` covers is refused, unless `whitelist` covers it.
 * IPv6 addresses that stand for IPv4 ones (mapped, compatible, NAT64, 6to4, Teredo) are judged by both.
 */
export class IpRanges {
  readonly #blocked: BlockList
  readonly #excepted: BlockList

  /** Throws OperatorError on what is no address, network (`10.0.0.0/8`) or range (`10.0.0.1-10.0.0.9`). */
  constructor(lists: { readonly blacklist: readonly string[]; readonly whitelist: readonly string[] }) {
    this.#blocked = parseRanges([...lists.blacklist, ...UNSPECIFIED])
    this.#excepted = parseRanges(lists.whitelist)
  }

  /** Tells whether one may connect to the address. What is no address is refused. */
  isAllowed(address: string): boolean {
    const plain = withoutZone(address)
    const family = isIP(plain)
    if (family === 0) return false
    if (covers(this.#excepted, plain)) return true
    if (covers(this.#blocked, plain)) return false
    return family === 4 || embeddedIpv4(plain).every((ipv4) => this.isAllowed(ipv4))
  }
}

function parseRanges(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) addRange(list, range)
  return list
}

function addRange(list: BlockList, range: string): void {
  const [first = '', last] = range.split('-').map((part) => part.trim())
  const [address = '', prefix] = last === undefined ? first.split('/') : [first]
  const family = isIP(address)
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const bits = prefix === undefined ? undefined : Number(prefix)
  const isPrefix = bits === undefined || (/^\d{1,3}$/.test(prefix ?? '') && bits <= (family === 4 ? 32 : 128))
  if (family === 0 || !isPrefix || (last !== undefined && isIP(last) !== family)) {
    throw new OperatorError(`"${range}" is no IP address, network or range of addresses`)
  }
  if (last !== undefined) list.addRange(address, last, type)
  else if (bits !== undefined) list.addSubnet(address, bits, type)
  else list.addAddress(address, type)
}

function covers(list: BlockList, address: string): boolean {
  return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

/** Link-local addresses may name an interface, `fe80::1%eth0`. */
function withoutZone(address: string): string {
  const percent = address.indexOf('%')
  return percent === -1 ? address : address.slice(0, percent)
}

/** Lists the IPv4 addresses that an IPv6 address may lead to. Sources: RFC 4291 § 2.5.5, 6052, 8215, 3056, 4380. */
function embeddedIpv4(address: string): readonly string[] {
  const words = parseIpv6(address)
  const last = ipv4Of(words[6], words[7])
  const leading = words.slice(0, 6)
  const isZero = (part: readonly number[]): boolean => part.every((word) => word === 0)
  if (isZero(leading.slice(0, 5)) && (words[5] === 0xffff || words[5] === 0)) return [last]
  // IPv4-translated, ::ffff:0:a.b.c.d
  if (isZero(leading.slice(0, 4)) && words[4] === 0xffff && words[5] === 0) return [last]
  if (words[0] === 0x64 && words[1] === 0xff9b) return [last]
  if (words[0] === 0x2002) return [ipv4Of(words[1], words[2])]
  if (words[0] === 0x2001 && words[1] === 0) {
    return [ipv4Of(words[2], words[3]), ipv4Of((words[6] ?? 0) ^ 0xffff, (words[7] ?? 0) ^ 0xffff)]
  }
  return []
}

function ipv4Of(high = 0, low = 0): string {
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

/** Returns the eight words of a valid IPv6 address. */
function parseIpv6(address: string): readonly number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const hex = (high: string | undefined, low: string | undefined): string => ((Number(high) << 8) | Number(low)).toString(16)
  const text = dotted === null ? address : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`
  const [head = '', tail] = text.split('::')
  const wordsOf = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)))
  const first = wordsOf(head)
  if (tail === undefined) return first
  const rest = wordsOf(tail)
  return [...first, ...Array.from({ length: 8 - first.length - rest.length }, () => 0), ...rest]
}
