import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

let server: TestServer
let alice: TestClient

beforeAll(async () => {
  server = await TestServer.start({
    config: { experimental_features: { msc3391_enabled: true, msc3890_enabled: true } },
  })
  alice = await server.register('alice')
})

afterAll(() => server[Symbol.asyncDispose]())

function dataPath(userId: string, type: string): string {
  return `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/${encodeURIComponent(type)}`
}

it('MSC3391: an empty item is gone; MSC3890: how a device notifies goes with it', async () => {
  const path = dataPath(alice.userId, 'org.example.item')
  await alice.put(path, { some: 'thing' })
  const { next_batch: since } = await alice.sync()
  await alice.put(path, {})
  await alice.fails(404, 'M_NOT_FOUND', 'GET', path)
  const changed = (await alice.sync({ since })).account_data?.events ?? []
  expect(changed).toEqual([{ type: 'org.example.item', content: {} }])
  expect((await alice.sync()).account_data?.events?.map((event) => event.type)).not.toContain('org.example.item')
  const phone = await alice.loginAgain()
  const { device_id: deviceId } = await phone.get<{ device_id: string }>('/_matrix/client/v3/account/whoami')
  const settings = dataPath(alice.userId, `org.matrix.msc3890.local_notification_settings.${deviceId}`)
  await alice.put(settings, { is_silenced: true })
  await phone.post('/_matrix/client/v3/logout')
  await alice.fails(404, 'M_NOT_FOUND', 'GET', settings)
})
