import { expect, it } from 'vitest'
import { ReplySplitter } from './redis-proxy.ts'

const REPLIES = [
  '+OK\r\n',
  ':12\r\n',
  '$-1\r\n',
  '$5\r\na\r\nbc\r\n',
  '*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n',
  '*0\r\n',
  '*1\r\n*1\r\n:1\r\n',
]

it('replies of Redis are cut where they end, however they come', () => {
  const bytes = Buffer.from(REPLIES.join(''))
  for (const size of [1, 2, 3, 7, 1000]) {
    const splitter = new ReplySplitter()
    const found: string[] = []
    for (let at = 0; at < bytes.length; at += size)
      found.push(...splitter.take(bytes.subarray(at, at + size)).map((reply) => reply.toString()))
    expect(found).toEqual(REPLIES)
  }
})
