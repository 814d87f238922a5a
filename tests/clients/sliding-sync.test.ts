import { EventType, Preset, ReceiptType } from 'matrix-js-sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'
import { eventually } from './eventually.ts'
import { SdkDevice } from './js-sdk-device.ts'

const ENCRYPTION = { type: EventType.RoomEncryption, state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }

describe('a day of matrix-js-sdk with Rust cryptography on sliding sync', () => {
  let server: TestServer
  let alice: SdkDevice
  let bob: SdkDevice
  let roomId: string
  const opened: SdkDevice[] = []

  async function open(session: Parameters<typeof SdkDevice.open>[1], isSliding: boolean): Promise<SdkDevice> {
    const device = await SdkDevice.open(server, session, { isSliding })
    opened.push(device)
    return device
  }

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await open(await server.register('alice'), true)
    // Bob is on /sync: both see the same.
    bob = await open(await server.register('bob'), false)
    const created = await alice.client.createRoom({
      preset: Preset.PrivateChat,
      name: 'Morning',
      invite: [bob.userId],
      initial_state: [ENCRYPTION],
    })
    roomId = created.room_id
    await eventually('bob is invited', () => bob.client.getRoom(roomId)?.getMyMembership() === 'invite')
    await bob.client.joinRoom(roomId)
    await eventually('alice sees bob', () => alice.client.getRoom(roomId)?.getMember(bob.userId)?.membership === 'join')
  })

  afterAll(async () => {
    const results = await Promise.allSettled(opened.map((device) => device[Symbol.asyncDispose]()))
    await server[Symbol.asyncDispose]()
    for (const result of results) if (result.status === 'rejected') throw result.reason
  })

  test('encrypted messages are read, both ways', async () => {
    const fromAlice = await alice.sendText(roomId, 'hello bob')
    expect((await bob.readableEvent(roomId, fromAlice)).getContent()['body']).toBe('hello bob')
    const fromBob = await bob.sendText(roomId, 'hello alice')
    const event = await alice.readableEvent(roomId, fromBob)
    expect(event.isEncrypted()).toBe(true)
    expect(event.getContent()['body']).toBe('hello alice')
    expect((await alice.room(roomId)).name).toBe('Morning')
  })

  test('a new device learns of rooms, and reads what is sent from then on', async () => {
    const phone = await open(await alice.session.loginAgain(), true)
    const room = await phone.room(roomId)
    expect(room.getMyMembership()).toBe('join')
    expect(room.name).toBe('Morning')
    expect(room.hasEncryptionStateEvent()).toBe(true)
    const phoneId = phone.session.deviceId
    await eventually('bob knows the phone', async () => {
      const devices = await bob.crypto.getUserDeviceInfo([alice.userId])
      return devices.get(alice.userId)?.has(phoneId)
    })
    const eventId = await bob.sendText(roomId, 'for the phone too')
    for (const device of [alice, phone])
      expect((await device.readableEvent(roomId, eventId)).getContent()['body']).toBe('for the phone too')
  })

  test('invites come, are accepted, and rooms are left', async () => {
    const created = await bob.client.createRoom({ name: 'Noon', preset: Preset.PrivateChat, invite: [alice.userId] })
    const noon = created.room_id
    await eventually('alice is invited', () => alice.client.getRoom(noon)?.getMyMembership() === 'invite')
    expect((await alice.room(noon)).name).toBe('Noon')
    await alice.client.joinRoom(noon)
    await eventually('alice is in', () => alice.client.getRoom(noon)?.getMyMembership() === 'join')
    const { event_id: eventId } = await bob.client.sendTextMessage(noon, 'lunch?')
    await alice.readableEvent(noon, eventId)
    await alice.client.leave(noon)
    await eventually('alice is out', () => alice.client.getRoom(noon)?.getMyMembership() === 'leave')
  })

  test('typing, receipts, unread counts and account data come', async () => {
    await bob.client.sendTyping(roomId, true, 20_000)
    await eventually('bob types', () => alice.client.getRoom(roomId)?.getMember(bob.userId)?.typing === true)
    await bob.client.sendTyping(roomId, false, 0)
    await eventually('bob types no more', () => alice.client.getRoom(roomId)?.getMember(bob.userId)?.typing === false)
    const sent = await alice.sendText(roomId, 'read me')
    const event = await bob.readableEvent(roomId, sent)
    await bob.client.sendReceipt(event, ReceiptType.Read, {})
    await eventually('bob has read', () => alice.client.getRoom(roomId)?.getEventReadUpTo(bob.userId) === sent)
    const room = await alice.room(roomId)
    const unread = await bob.sendText(roomId, 'unread')
    await alice.readableEvent(roomId, unread)
    await eventually('the message counts', () => room.getUnreadNotificationCount() > 0)
    await alice.client.setRoomTag(roomId, 'm.favourite', { order: 0.5 })
    await eventually('the tag comes', () => room.tags['m.favourite'] !== undefined)
  })

  test('what happened while a client was away comes when it is back', async () => {
    const session = await server.register('carol')
    await alice.client.invite(roomId, session.userId)
    const carol = await open(session, true)
    await eventually('carol is invited', () => carol.client.getRoom(roomId)?.getMyMembership() === 'invite')
    await carol.client.joinRoom(roomId)
    await eventually('alice sees carol', () => alice.client.getRoom(roomId)?.getMember(carol.userId)?.membership === 'join')
    await eventually('bob sees carol', () => bob.client.getRoom(roomId)?.getMember(carol.userId)?.membership === 'join')
    const eventId = await bob.sendText(roomId, 'welcome carol')
    expect((await carol.readableEvent(roomId, eventId)).getContent()['body']).toBe('welcome carol')
  })
})
