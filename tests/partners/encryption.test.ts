import { EventType, Preset } from 'matrix-js-sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import { SdkDevice, verifyByEmoji } from '../clients/js-sdk-device.ts'
import type { TestClient } from '../kit/client.ts'
import { joinVia, Partners, seesMembership } from './partners.ts'
import type { Homeserver } from './partners.ts'

const ENCRYPTION = { type: EventType.RoomEncryption, state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }

let partners: Partners

beforeAll(async () => {
  partners = await Partners.start()
})

afterAll(async () => {
  await partners[Symbol.asyncDispose]()
})

describe('an encrypted chat between users of both servers, on matrix-js-sdk with Rust cryptography', () => {
  let ours: SdkDevice
  let theirs: SdkDevice
  let roomId: string
  const opened: SdkDevice[] = []

  async function open(server: Homeserver, session: TestClient): Promise<SdkDevice> {
    const device = await SdkDevice.open(server, session, { isChecked: server === partners.ganglion })
    opened.push(device)
    return device
  }

  async function talk(from: SdkDevice, to: readonly SdkDevice[], body: string): Promise<void> {
    const eventId = await from.sendText(roomId, body)
    for (const device of to) {
      const event = await device.readableEvent(roomId, eventId)
      expect(event.isEncrypted()).toBe(true)
      expect(event.getContent()['body']).toBe(body)
    }
  }

  beforeAll(async () => {
    ours = await open(partners.ganglion, await partners.ganglion.register('olm'))
    theirs = await open(partners.synapse, await partners.synapse.register('megolm'))
    const created = await ours.client.createRoom({
      preset: Preset.PrivateChat,
      invite: [theirs.userId],
      initial_state: [ENCRYPTION],
    })
    roomId = created.room_id
    await eventually('the invitation arrives', () => theirs.client.getRoom(roomId)?.getMyMembership() === 'invite')
    await theirs.client.joinRoom(roomId)
    await eventually('we see them', () => ours.client.getRoom(roomId)?.getMember(theirs.userId)?.membership === 'join')
  })

  afterAll(async () => {
    const results = await Promise.allSettled(opened.map((device) => device[Symbol.asyncDispose]()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  })

  test('messages are read on the other side', async () => {
    await talk(ours, [theirs], 'hello over there')
    await talk(theirs, [ours], 'hello yourself')
  })

  test('new devices of both are found, and read what comes from then on', async () => {
    const ourPhone = await open(partners.ganglion, await ours.session.loginAgain())
    const theirPhone = await open(partners.synapse, await theirs.session.loginAgain())
    await knowsDevice(theirs, ourPhone)
    await knowsDevice(ours, theirPhone)
    await talk(ours, [theirs, theirPhone, ourPhone], 'to all devices')
    await talk(theirPhone, [ours, ourPhone, theirs], 'from a new one')
    await ourPhone.client.logout(true)
    await eventually('the device is gone', async () => !(await devicesOf(theirs, ours.userId)).has(ourPhone.session.deviceId))
  })

  test('identities are known, and users verify each other by emoji', async () => {
    await ours.bootstrapCrossSigning()
    await theirs.bootstrapCrossSigning()
    await eventually('we know their identity', () => ours.crypto.userHasCrossSigningKeys(theirs.userId, true))
    await eventually('they know ours', () => theirs.crypto.userHasCrossSigningKeys(ours.userId, true))
    const request = await ours.crypto.requestVerificationDM(theirs.userId, roomId)
    await verifyByEmoji(request, await theirs.incomingVerification())
    await eventually('they are verified', async () =>
      (await ours.crypto.getUserVerificationStatus(theirs.userId)).isCrossSigningVerified(),
    )
  })

  test('keys for the other side arrive after an outage', async () => {
    partners.cut()
    const eventId = await ours.sendText(roomId, 'while nobody can hear')
    const answerId = await theirs.sendText(roomId, 'neither can you')
    partners.mend()
    expect((await theirs.readableEvent(roomId, eventId)).getContent()['body']).toBe('while nobody can hear')
    expect((await ours.readableEvent(roomId, answerId)).getContent()['body']).toBe('neither can you')
  })
})

test.each([
  ['ganglion', 'synapse'],
  ['synapse', 'ganglion'],
] as const)('messages to devices from %s to %s outlast an outage, each once and in order', async (from, to) => {
  const sender = await partners[from].register(`sender-${from}`)
  const receiver = await partners[to].register(`receiver-${to}`)
  const roomId = await receiver.createRoom({ preset: 'public_chat' })
  await joinVia(sender, roomId, partners[to])
  await seesMembership(receiver, roomId, sender.userId, 'join')
  const send = (number: number): Promise<unknown> =>
    sender.put(`/_matrix/client/v3/sendToDevice/org.example.number/${number}`, {
      messages: { [receiver.userId]: { [receiver.deviceId]: { number } } },
    })
  await send(0)
  partners.cut()
  for (let number = 1; number <= 5; number += 1) await send(number)
  partners.mend()
  await send(6)
  const numbers: unknown[] = []
  await receiver.syncUntil(
    ({ to_device: toDevice }) => {
      numbers.push(...(toDevice?.events ?? []).map(({ content }) => content['number']))
      return numbers.length >= 7
    },
    { withinMs: 60_000 },
  )
  expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6])
})

function knowsDevice(who: SdkDevice, device: SdkDevice): Promise<unknown> {
  return eventually(`${who.userId} knows ${device.session.deviceId}`, async () =>
    (await devicesOf(who, device.userId)).has(device.session.deviceId),
  )
}

async function devicesOf(who: SdkDevice, userId: string): Promise<ReadonlyMap<string, unknown>> {
  return (await who.crypto.getUserDeviceInfo([userId])).get(userId) ?? new Map()
}
