import './native-crypto-stub.ts'
import {
  AutojoinRoomsMixin,
  getRequestFn,
  LogLevel,
  LogService,
  MatrixAuth,
  MatrixClient,
  MemoryStorageProvider,
  PowerLevelAction,
  setRequestFn,
} from 'matrix-bot-sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { ResponseChecker } from '../kit/spec/response-checker.ts'
import { TestServer } from '../kit/test-server.ts'
import { eventually } from './eventually.ts'

interface RoomMessage {
  readonly event_id: string
  readonly sender: string
  readonly content: { readonly body?: string }
}
type RequestCallback = (error: unknown, response: RawResponse | undefined, body: unknown) => void
interface RawResponse {
  readonly statusCode: number
  readonly headers: Record<string, string>
  readonly body: unknown
}

describe('a bot on matrix-bot-sdk', () => {
  const violations: string[] = []
  const plainRequest = getRequestFn() as (options: { method: string; uri: string }, callback: RequestCallback) => void
  let server: TestServer
  let alice: TestClient
  let bot: MatrixClient
  let roomId: string

  beforeAll(async () => {
    LogService.setLevel(LogLevel.ERROR)
    LogService.muteModule('MatrixHttpClient')
    setRequestFn(checkedRequest)
    // The library names a space's creator in its power levels, which room version 12 refuses.
    server = await TestServer.start({ config: { default_room_version: '11' } })
    alice = await server.register('alice')
    const account = await server.register('bot')
    bot = await new MatrixAuth(server.baseUrl).passwordLogin(account.userId, account.password, 'the bot')
    bot = new MatrixClient(server.baseUrl, bot.accessToken, new MemoryStorageProvider())
    AutojoinRoomsMixin.setupOnClient(bot)
    bot.on('room.message', (room: string, event: RoomMessage) => {
      if (event.content.body === '!ping') void bot.replyText(room, event, 'pong')
    })
    await bot.start()
    roomId = await alice.createRoom({ preset: 'private_chat', name: 'The bots room', invite: [await bot.getUserId()] })
  })

  afterAll(async () => {
    bot.stop()
    setRequestFn(plainRequest)
    await server[Symbol.asyncDispose]()
    expect(violations).toEqual([])
  })

  /** Every answer to the library is checked; what the specification does not allow is kept for the end. */
  function checkedRequest(options: { method: string; uri: string }, callback: RequestCallback): void {
    plainRequest(options, (error, response, body) => {
      if (response !== undefined && !options.uri.includes('/unstable/')) check(options, response)
      callback(error, response, body)
    })
  }

  function check(options: { method: string; uri: string }, response: RawResponse): void {
    const { body } = response
    const bodyText = typeof body === 'string' ? body : body instanceof Buffer ? body.toString('utf8') : JSON.stringify(body)
    try {
      ResponseChecker.shared().check({
        method: options.method,
        url: options.uri,
        status: response.statusCode,
        contentType: response.headers['content-type'],
        bodyText,
      })
    } catch (error) {
      violations.push(String(error))
    }
  }

  test('joins where it is invited and answers a command', async () => {
    await eventually('the bot joins', async () => (await bot.getJoinedRooms()).includes(roomId))
    await alice.sendText(roomId, '!ping')
    const reply = await eventually('the bot answers', async () => {
      const { chunk } = await alice.messages(roomId)
      return chunk.find((event) => event.content['body'] !== undefined && String(event.content['body']).endsWith('pong'))
    })
    expect(reply.sender).toBe(await bot.getUserId())
    expect(reply.content['m.relates_to']).toMatchObject({ 'm.in_reply_to': {} })
  })

  test('sends texts, notices and HTML, reacts, edits and redacts', async () => {
    const textId = await bot.sendText(roomId, 'a text')
    const noticeId = await bot.sendNotice(roomId, 'a notice')
    const htmlId = await bot.sendHtmlText(roomId, '<b>bold</b>')
    const reactionId = await bot.sendEvent(roomId, 'm.reaction', {
      'm.relates_to': { rel_type: 'm.annotation', event_id: textId, key: '👍' },
    })
    const { chunk } = await bot.getRelationsForEvent(roomId, textId, 'm.annotation', 'm.reaction')
    expect(chunk).toMatchObject([{ event_id: reactionId }])
    expect((await bot.getEvent(roomId, noticeId)).content.msgtype).toBe('m.notice')
    expect((await bot.getEvent(roomId, htmlId)).content.formatted_body).toBe('<b>bold</b>')
    await bot.redactEvent(roomId, textId, 'wrong')
    expect((await bot.getEvent(roomId, textId)).content).toEqual({})
    const context = await bot.getEventContext(roomId, noticeId, 4)
    expect(context.event.eventId).toBe(noticeId)
  })

  test('reads and writes state, profiles, account data and power levels', async () => {
    const botId = await bot.getUserId()
    await bot.setDisplayName('The Bot')
    expect((await bot.getUserProfile(botId)).displayname).toBe('The Bot')
    await bot.setAccountData('org.example.bot', { colour: 'blue' })
    expect(await bot.getAccountData('org.example.bot')).toEqual({ colour: 'blue' })
    await bot.setRoomAccountData('org.example.bot', roomId, { colour: 'red' })
    expect(await bot.getRoomAccountData('org.example.bot', roomId)).toEqual({ colour: 'red' })
    expect(await bot.userHasPowerLevelForAction(botId, roomId, PowerLevelAction.Kick)).toBe(false)
    expect((await bot.getRoomStateEvent(roomId, 'm.room.name', '')).name).toBe('The bots room')
    expect((await bot.getJoinedRoomMembers(roomId)).toSorted()).toEqual([alice.userId, botId].toSorted())
    expect((await bot.getRoomMembersByMembership(roomId, 'join')).map((event) => event.membershipFor).toSorted()).toEqual(
      [alice.userId, botId].toSorted(),
    )
    await expect(bot.sendStateEvent(roomId, 'm.room.topic', '', { topic: 'not allowed' })).rejects.toMatchObject({
      errcode: 'M_FORBIDDEN',
    })
  })

  test('makes rooms with aliases and lists them, and spaces with rooms in them', async () => {
    const own = await bot.createRoom({ name: 'Made by a bot', preset: 'public_chat', room_alias_name: 'botroom' })
    const alias = `#botroom:${server.serverName}`
    expect(await bot.resolveRoom(alias)).toBe(own)
    await bot.setDirectoryVisibility(own, 'public')
    expect(await bot.getDirectoryVisibility(own)).toBe('public')
    await alice.join(alias)
    const space = await bot.createSpace({ name: 'Bot space', isPublic: false, invites: [alice.userId] })
    await space.addChildRoom(own)
    expect(Object.keys(await space.getChildEntities())).toEqual([own])
    await bot.inviteUser(alice.userId, await bot.createRoom({ preset: 'private_chat' }))
    await bot.kickUser(alice.userId, own, 'testing')
    await bot.banUser(alice.userId, own, 'testing')
    await alice.request('POST', `/_matrix/client/v3/join/${encodeURIComponent(own)}`, { body: {}, expect: 403 })
    await bot.unbanUser(alice.userId, own)
    await alice.join(own)
  })

  test('uploads and downloads media', async () => {
    const content = Buffer.from('a file of a bot')
    const mxc = await bot.uploadContent(content, 'text/plain', 'file.txt')
    const downloaded = await bot.downloadContent(mxc)
    expect(Buffer.from(downloaded.data).equals(content)).toBe(true)
    expect(downloaded.contentType).toMatch(/^text\/plain/)
  })

  test('sends receipts and typing, and messages to devices', async () => {
    const eventId = await alice.sendText(roomId, 'read me')
    await bot.sendReadReceipt(roomId, eventId)
    await bot.setTyping(roomId, true, 5000)
    await bot.sendToDevices('org.example.hello', { [alice.userId]: { '*': { hello: 'alice' } } })
    const responses = await alice.syncUntil((response) => (response.to_device?.events.length ?? 0) > 0)
    expect(responses.flatMap((response) => response.to_device?.events ?? []).map((event) => event.content)).toEqual([
      { hello: 'alice' },
    ])
  })
})
