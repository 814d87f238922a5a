import { expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import { TestAppservice } from '../kit/test-appservice.ts'
import { TestServer } from '../kit/test-server.ts'

test('a server killed in the middle of a transaction repeats it under the same id, and loses nothing', async () => {
  await using irc = await TestAppservice.start('irc', { namespaces: { rooms: [{ regex: '!.*', exclusive: false }] } })
  await using server = await TestServer.spawn({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const { room_id: roomId } = await alice.post<{ room_id: string }>('/_matrix/client/v3/createRoom', {})
  irc.status = 503
  await alice.sendText(roomId, 'one')
  await eventually('a refused transaction', () => irc.attempts.length > 0)
  const first = irc.attempts[0]
  await alice.sendText(roomId, 'two')
  await server.kill()
  const before = irc.attempts.length
  await server.startAgain()
  irc.status = 200
  await alice.sendText(roomId, 'three')
  await irc.waitForBodies('one', 'two', 'three')
  expect(irc.attempts[before]).toBe(first)
  expect(irc.transactions.map((transaction) => transaction.txnId)).toEqual(irc.transactions.map((_, index) => String(index + 1)))
})
