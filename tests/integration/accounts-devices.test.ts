import { expect, test } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import { TestServer } from '../kit/test-server.ts'

const DEVICES = '/_matrix/client/v3/devices'
const WHOAMI = '/_matrix/client/v3/account/whoami'

interface Device {
  device_id: string
  display_name?: string
  last_seen_ip?: string
  last_seen_ts?: number
}

function passwordAuth(user: string, password: string): Record<string, unknown> {
  return { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password }
}

test('devices are listed with name and last sight, read one by one, and renamed', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { deviceId: 'PHONE', body: { initial_device_display_name: 'Phone' } })
  const { devices } = await alice.get<{ devices: Device[] }>(DEVICES)
  expect(devices).toEqual([
    { device_id: 'PHONE', display_name: 'Phone', last_seen_ip: '127.0.0.1', last_seen_ts: expect.any(Number) as number },
  ])
  await alice.put(`${DEVICES}/PHONE`, { display_name: 'Telephone' })
  expect(await alice.get(`${DEVICES}/PHONE`)).toMatchObject({ device_id: 'PHONE', display_name: 'Telephone' })
  await alice.put(`${DEVICES}/PHONE`, {})
  expect(await alice.get(`${DEVICES}/PHONE`)).toMatchObject({ display_name: 'Telephone' })
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `${DEVICES}/OTHER`)
  await alice.fails(404, 'M_NOT_FOUND', 'PUT', `${DEVICES}/OTHER`, { body: { display_name: 'x' } })
  await alice.fails(400, 'M_TOO_LARGE', 'PUT', `${DEVICES}/PHONE`, { body: { display_name: 'x'.repeat(101) } })
})

test('deleting a device needs the password of its owner and ends its tokens', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const bob = await server.register('bob', { password: 'secret of bob' })
  const second = await alice.loginAgain()
  const third = await alice.loginAgain()
  const path = `${DEVICES}/${second.deviceId}`
  const asked = await alice.request<{ session: string }>('DELETE', path, { expect: 401 })
  await alice.fails(403, 'M_FORBIDDEN', 'DELETE', path, { body: { auth: passwordAuth('bob', 'secret of bob') } })
  await second.get(WHOAMI)
  // The session is for one device only.
  const foreign = { ...passwordAuth('alice', 'secret'), session: asked.session }
  await alice.fails(403, 'M_FORBIDDEN', 'DELETE', `${DEVICES}/${third.deviceId}`, { body: { auth: foreign } })
  await alice.delete(path, { body: { auth: foreign } })
  await second.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  await alice.fails(404, 'M_NOT_FOUND', 'GET', path)
  await third.get(WHOAMI)
  await bob.get(WHOAMI)
})

test('several devices are deleted together; a session that is completed is used up', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const others = [await alice.loginAgain(), await alice.loginAgain()]
  const path = '/_matrix/client/v3/delete_devices'
  const devices = [...others.map((other) => other.deviceId), 'NONE']
  const asked = await alice.request<{ session: string }>('POST', path, { body: { devices }, expect: 401 })
  await alice.post(path, { devices, auth: { ...passwordAuth('alice', 'secret'), session: asked.session } })
  for (const other of others) await other.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  await alice.request('POST', path, { body: { devices, auth: { session: asked.session } }, expect: 401 })
})

test('with ui_auth.session_timeout a fresh login may delete devices without the password', async () => {
  await using server = await TestServer.start({ config: { ui_auth: { session_timeout: '1m' } } })
  const alice = await server.register('alice')
  const other = await alice.loginAgain()
  await alice.delete(`${DEVICES}/${other.deviceId}`)
  await other.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
})

test('administrators lock and suspend accounts at once, and see from where they are used', async () => {
  await using server = await TestServer.start()
  const root = await registerAdministrator(server)
  const alice = await server.register('alice', { password: 'secret' })
  const lock = `/_matrix/client/v1/admin/lock/${encodeURIComponent(alice.userId)}`
  await alice.get(WHOAMI)
  await alice.fails(403, 'M_FORBIDDEN', 'PUT', lock, { body: { locked: true } })
  expect(await root.get(lock)).toEqual({ locked: false })
  expect(await root.put(lock, { locked: true })).toEqual({ locked: true })
  expect(await alice.fails(401, 'M_USER_LOCKED', 'GET', WHOAMI)).toMatchObject({ soft_logout: true })
  await root.put(lock, { locked: false })
  await alice.get(WHOAMI)
  const suspend = `/_matrix/client/v1/admin/suspend/${encodeURIComponent(alice.userId)}`
  expect(await root.put(suspend, { suspended: true })).toEqual({ suspended: true })
  expect(await root.get(suspend)).toEqual({ suspended: true })
  await root.fails(404, 'M_NOT_FOUND', 'GET', '/_matrix/client/v1/admin/lock/@nobody:test.example')
  await root.fails(400, 'M_INVALID_PARAM', 'GET', '/_matrix/client/v1/admin/lock/@a:elsewhere.example')
  await root.fails(403, 'M_FORBIDDEN', 'PUT', `/_matrix/client/v1/admin/lock/${encodeURIComponent(root.userId)}`, {
    body: { locked: true },
  })
  const whois = await root.get<{ devices: Record<string, { sessions: { connections: { ip: string }[] }[] }> }>(
    `/_matrix/client/v3/admin/whois/${encodeURIComponent(alice.userId)}`,
  )
  expect(whois.devices[alice.deviceId]?.sessions[0]?.connections[0]?.ip).toBe('127.0.0.1')
  await alice.fails(403, 'M_FORBIDDEN', 'GET', `/_matrix/client/v3/admin/whois/${encodeURIComponent(root.userId)}`)
  // Locked accounts may still log out.
  await root.put(lock, { locked: true })
  await alice.post('/_matrix/client/v3/logout')
})
