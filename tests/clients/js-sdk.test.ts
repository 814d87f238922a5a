import { randomBytes } from 'node:crypto'
import { EventType, JoinRule, MsgType, Preset, ReceiptType, RelationType, RoomType, ThreadEvent, Visibility } from 'matrix-js-sdk'
import type { MatrixEvent } from 'matrix-js-sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'
import { decryptAttachment, encryptAttachment } from './encrypted-attachment.ts'
import type { EncryptedFile } from './encrypted-attachment.ts'
import { eventually } from './eventually.ts'
import { SdkDevice, verifyByEmoji } from './js-sdk-device.ts'

const ENCRYPTION = { type: EventType.RoomEncryption, state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }

describe('two users with two devices each, on matrix-js-sdk with Rust cryptography', () => {
  let server: TestServer
  let alice: SdkDevice
  let alicePhone: SdkDevice
  let bob: SdkDevice
  let bobPhone: SdkDevice
  let roomId: string
  const opened: SdkDevice[] = []

  async function open(session: Parameters<typeof SdkDevice.open>[1]): Promise<SdkDevice> {
    const device = await SdkDevice.open(server, session)
    opened.push(device)
    return device
  }

  beforeAll(async () => {
    server = await TestServer.start()
    const aliceSession = await server.register('alice')
    const bobSession = await server.register('bob')
    alice = await open(aliceSession)
    alicePhone = await open(await aliceSession.loginAgain())
    bob = await open(bobSession)
    bobPhone = await open(await bobSession.loginAgain())
    const created = await alice.client.createRoom({
      preset: Preset.PrivateChat,
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

  test('encrypted messages are read on all devices, both ways', async () => {
    const fromAlice = await alice.sendText(roomId, 'hello bob')
    for (const device of [alicePhone, bob, bobPhone]) {
      const event = await device.readableEvent(roomId, fromAlice)
      expect(event.isEncrypted()).toBe(true)
      expect(event.getContent()['body']).toBe('hello bob')
    }
    const fromBob = await bobPhone.sendText(roomId, 'hello alice')
    for (const device of [alice, alicePhone, bob])
      expect((await device.readableEvent(roomId, fromBob)).getContent()['body']).toBe('hello alice')
    const stored = await alice.session.get<{ type: string }>(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(fromBob)}`,
    )
    expect(stored.type).toBe('m.room.encrypted')
  })

  test('a user who joins late reads what is sent from then on, and nothing from before', async () => {
    const before = await alice.sendText(roomId, 'before carol')
    await bob.readableEvent(roomId, before)
    const carol = await open(await server.register('carol'))
    await alice.client.invite(roomId, carol.userId)
    await eventually('carol is invited', () => carol.client.getRoom(roomId)?.getMyMembership() === 'invite')
    await carol.client.joinRoom(roomId)
    await eventually('alice sees carol', () => alice.client.getRoom(roomId)?.getMember(carol.userId)?.membership === 'join')
    const after = await alice.sendText(roomId, 'welcome carol')
    expect((await carol.readableEvent(roomId, after)).getContent()['body']).toBe('welcome carol')
    const unreadable = carol.client.getRoom(roomId)?.findEventById(before)
    expect(unreadable === undefined || unreadable.isDecryptionFailure() || unreadable.getType() === 'm.room.encrypted').toBe(true)
  })

  test('a user makes an identity, and devices and users verify each other by emoji', async () => {
    await alice.bootstrapCrossSigning()
    await bob.bootstrapCrossSigning()
    await eventually('the phone learns the identity', () => alicePhone.crypto.userHasCrossSigningKeys(alice.userId, true))
    const own = await alicePhone.crypto.requestOwnUserVerification()
    await verifyByEmoji(own, await alice.incomingVerification())
    await eventually('the phone is verified', async () => {
      const status = await alice.crypto.getDeviceVerificationStatus(alice.userId, alicePhone.session.deviceId)
      return status?.crossSigningVerified
    })
    await eventually('alice knows the identity of bob', () => alice.crypto.userHasCrossSigningKeys(bob.userId, true))
    const across = await alice.crypto.requestVerificationDM(bob.userId, roomId)
    await verifyByEmoji(across, await bob.incomingVerification())
    await eventually('bob is verified', async () =>
      (await alice.crypto.getUserVerificationStatus(bob.userId)).isCrossSigningVerified(),
    )
    await eventually('the phone knows that bob is verified', async () => {
      await alicePhone.crypto.getUserDeviceInfo([bob.userId], true)
      return (await alicePhone.crypto.getUserVerificationStatus(bob.userId)).isCrossSigningVerified()
    })
  })

  test('keys are backed up, and a new device restores them with the recovery key', async () => {
    const eventId = await bob.sendText(roomId, 'for the backup')
    await alice.readableEvent(roomId, eventId)
    const recoveryKey = await alice.crypto.createRecoveryKeyFromPassphrase()
    alice.useRecoveryKey(recoveryKey.privateKey)
    await alice.crypto.bootstrapSecretStorage({
      createSecretStorageKey: () => Promise.resolve(recoveryKey),
      setupNewKeyBackup: true,
    })
    const version = await eventually(
      'the backup is in use',
      async () => (await alice.crypto.getActiveSessionBackupVersion()) ?? undefined,
    )
    await eventually('keys are in the backup', async () => {
      const info = await alice.session.get<{ count: number }>('/_matrix/client/v3/room_keys/version')
      return info.count >= 2
    })
    const tablet = await open(await alice.session.loginAgain())
    tablet.useRecoveryKey(recoveryKey.privateKey)
    await tablet.crypto.loadSessionBackupPrivateKeyFromSecretStorage()
    const restored = await tablet.crypto.restoreKeyBackup()
    expect(restored.imported).toBe(restored.total)
    expect(restored.total).toBeGreaterThanOrEqual(2)
    expect((await tablet.readableEvent(roomId, eventId)).getContent()['body']).toBe('for the backup')
    expect((await tablet.crypto.getKeyBackupInfo())?.version).toBe(version)
  })

  test('edits, reactions, threads and redactions are seen by the other', async () => {
    const rootId = await alice.sendText(roomId, 'a tpyo')
    const root = await bob.readableEvent(roomId, rootId)
    await alice.client.sendEvent(roomId, EventType.RoomMessage, {
      msgtype: MsgType.Text,
      body: '* a typo',
      'm.new_content': { msgtype: MsgType.Text, body: 'a typo' },
      'm.relates_to': { rel_type: RelationType.Replace, event_id: rootId },
    })
    await eventually('bob sees the edit', () => root.getContent()['body'] === 'a typo')

    const reaction = await bob.client.sendEvent(roomId, EventType.Reaction, {
      'm.relates_to': { rel_type: RelationType.Annotation, event_id: rootId, key: '👍' },
    })
    await alice.readableEvent(roomId, reaction.event_id)
    const related = await alice.client.relations(roomId, rootId, RelationType.Annotation, EventType.Reaction)
    expect(related.events.map((event: MatrixEvent) => event.getId())).toEqual([reaction.event_id])

    const aliceRoom = await alice.room(roomId)
    const threadSeen = new Promise((resolve) => aliceRoom.once(ThreadEvent.New, resolve))
    const reply = await bob.client.sendMessage(roomId, rootId, { msgtype: MsgType.Text, body: 'in the thread' })
    await threadSeen
    const thread = await eventually('the thread holds the reply', () => {
      const found = aliceRoom.getThread(rootId)
      return found?.findEventById(reply.event_id) === undefined ? undefined : found
    })
    expect(thread.length).toBe(1)

    await alice.client.redactEvent(roomId, rootId)
    await eventually('bob sees the redaction', () => root.isRedacted())
    const after = await bob.session.get<{ content: object; unsigned: { redacted_because?: unknown } }>(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(rootId)}`,
    )
    expect(after.content).toEqual({})
    expect(after.unsigned.redacted_because).toBeDefined()
  })

  test('read receipts and typing notifications reach the other', async () => {
    const eventId = await alice.sendText(roomId, 'read this')
    const event = await bob.readableEvent(roomId, eventId)
    await bob.client.sendReadReceipt(event, ReceiptType.Read, true)
    const aliceRoom = await alice.room(roomId)
    await eventually('alice sees the receipt', () => aliceRoom.getEventReadUpTo(bob.userId) === eventId)
    await eventually('bob has nothing unread', () => bob.client.getRoom(roomId)?.getUnreadNotificationCount() === 0)

    await bob.client.sendTyping(roomId, true, 10_000)
    await eventually('alice sees bob typing', () => aliceRoom.getMember(bob.userId)?.typing === true)
    await bob.client.sendTyping(roomId, false, 0)
    await eventually('alice sees that bob stopped', () => aliceRoom.getMember(bob.userId)?.typing === false)
  })

  test('an encrypted file is uploaded by one and opened by the other', async () => {
    const plain = randomBytes(70_000)
    const { ciphertext, file } = encryptAttachment(plain)
    const upload = await alice.client.uploadContent(new Blob([new Uint8Array(ciphertext)]), {
      type: 'application/octet-stream',
      includeFilename: false,
    })
    const sent = await alice.client.sendEvent(roomId, EventType.RoomMessage, {
      msgtype: MsgType.File,
      body: 'secret.bin',
      file: { ...file, key: { ...file.key, key_ops: [...file.key.key_ops] }, url: upload.content_uri },
      info: { size: plain.length, mimetype: 'application/octet-stream' },
    })
    const event = await bob.readableEvent(roomId, sent.event_id)
    const received = event.getContent()['file'] as EncryptedFile
    const url = bob.client.mxcUrlToHttp(received.url, undefined, undefined, undefined, false, true, true)
    const path = (url ?? '').slice(server.baseUrl.length)
    const { bytes } = await bob.session.exchange('GET', path)
    expect(decryptAttachment(bytes, received).equals(plain)).toBe(true)
    await bob.session.fails(401, 'M_MISSING_TOKEN', 'GET', path, { token: null })
  })

  test('a space shows its rooms, also to those who may only join them', async () => {
    const space = await alice.client.createRoom({
      name: 'A space',
      preset: Preset.PublicChat,
      creation_content: { type: RoomType.Space },
    })
    const child = await alice.client.createRoom({
      name: 'A room in it',
      preset: Preset.PublicChat,
      visibility: Visibility.Private,
    })
    await alice.client.sendStateEvent(space.room_id, EventType.SpaceChild, { via: [server.serverName] }, child.room_id)
    const hierarchy = await bob.client.getRoomHierarchy(space.room_id)
    expect(hierarchy.rooms.map((room) => room.room_id)).toEqual([space.room_id, child.room_id])
    expect(hierarchy.rooms[0]?.room_type).toBe(RoomType.Space)
    expect(hierarchy.rooms[0]?.children_state.map((state) => state.state_key)).toEqual([child.room_id])
    expect(hierarchy.rooms[1]?.name).toBe('A room in it')
    await bob.client.joinRoom(child.room_id)
  })

  test('a knock is seen, answered with an invitation, and ends in the room', async () => {
    const knocked = await alice.client.createRoom({
      name: 'Knock first',
      preset: Preset.PrivateChat,
      initial_state: [{ type: EventType.RoomJoinRules, state_key: '', content: { join_rule: JoinRule.Knock } }],
    })
    await bob.client.knockRoom(knocked.room_id, { reason: 'let me in' })
    await eventually('bob sees that he knocks', () => bob.client.getRoom(knocked.room_id)?.getMyMembership() === 'knock')
    const room = await alice.room(knocked.room_id)
    const member = await eventually('alice sees the knock', () => {
      const found = room.getMember(bob.userId)
      return found?.membership === 'knock' ? found : undefined
    })
    expect(member.events.member?.getContent()['reason']).toBe('let me in')
    await alice.client.invite(knocked.room_id, bob.userId)
    await eventually('bob is invited', () => bob.client.getRoom(knocked.room_id)?.getMyMembership() === 'invite')
    await bob.client.joinRoom(knocked.room_id)
    await eventually('alice sees bob in the room', () => room.getMember(bob.userId)?.membership === 'join')
  })
})
