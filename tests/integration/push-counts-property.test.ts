import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { PushRuleKind } from '../../src/protocol/push-rules/push-rule.ts'
import { parsePushRule } from '../../src/protocol/push-rules/ruleset.ts'
import type { UnreadCounts } from '../../src/services/push/unread-counts.ts'
import { NaiveCounts } from '../kit/naive-counts.ts'
import { PushWorld } from '../kit/push-world.ts'

const NAMES = ['alice', 'bob', 'carol', 'dave'] as const
const DISPLAY_NAMES = ['Alice', 'Bob B. Builder', '王小明', '🎉 party']
const ROOM_MARK = 'THE ROOM'

type Change =
  | { readonly put: PushRuleKind; readonly id: string; readonly body: JsonObject }
  | { readonly enable: PushRuleKind; readonly id: string; readonly enabled: boolean }
  | { readonly act: PushRuleKind; readonly id: string; readonly actions: readonly (string | JsonObject)[] }

const HIGHLIGHT: JsonObject = { set_tweak: 'highlight' }
const KEYWORD: Change = { put: 'content', id: 'cake', body: { pattern: 'cake', actions: ['notify', HIGHLIGHT] } }

/** What users do to their rules before they enter the room. */
const RULE_SETS: readonly (readonly Change[])[] = [
  [],
  [
    {
      put: 'override',
      id: 'mute',
      body: { conditions: [{ kind: 'event_match', key: 'room_id', pattern: ROOM_MARK }], actions: [] },
    },
  ],
  [{ put: 'room', id: ROOM_MARK, body: { actions: ['dont_notify'] } }],
  ['.m.rule.message', '.m.rule.encrypted', '.m.rule.room_one_to_one', '.m.rule.encrypted_room_one_to_one'].map((id) => ({
    enable: 'underride',
    id,
    enabled: false,
  })),
  [{ enable: 'underride', id: '.m.rule.message', enabled: false }],
  [KEYWORD],
  [{ put: 'content', id: 'glob', body: { pattern: 'c*e', actions: ['notify', HIGHLIGHT] } }],
  [{ enable: 'override', id: '.m.rule.suppress_notices', enabled: false }],
  [{ enable: 'override', id: '.m.rule.suppress_edits', enabled: false }],
  [{ enable: 'content', id: '.m.rule.contains_user_name', enabled: false }],
  [{ enable: 'override', id: '.m.rule.master', enabled: true }],
  [{ put: 'override', id: 'quiet name', body: { conditions: [{ kind: 'contains_display_name' }], actions: ['notify'] } }],
  [{ put: 'sender', id: '@alice:test.example', body: { actions: [] } }],
  [
    {
      put: 'override',
      id: 'elsewhere',
      body: { conditions: [{ kind: 'event_match', key: 'room_id', pattern: '!other:test.example' }], actions: [] },
    },
  ],
  [{ act: 'override', id: '.m.rule.reaction', actions: ['notify'] }],
  [
    {
      put: 'underride',
      id: 'few',
      body: { conditions: [{ kind: 'room_member_count', is: '<3' }], actions: ['notify', HIGHLIGHT] },
    },
  ],
]

type Operation =
  | {
      readonly kind: 'send'
      readonly sender: number
      readonly type: string
      readonly content: JsonObject
      readonly relation: string
      readonly target: number
    }
  | {
      readonly kind: 'receipt'
      readonly reader: number
      readonly target: number
      readonly isPrivate: boolean
      readonly thread: 'none' | 'main' | 'own'
    }
  | { readonly kind: 'member'; readonly user: number; readonly displayName: string | undefined }
  | { readonly kind: 'keyword'; readonly user: number }
  | { readonly kind: 'look'; readonly user: number }

const user = fc.integer({ min: 0, max: NAMES.length - 1 })
const content = fc.record(
  {
    msgtype: fc.constantFrom('m.text', 'm.text', 'm.notice'),
    body: fc.constantFrom(
      'hello',
      'bob',
      'Bob B. Builder!',
      'the cake',
      'come',
      '@room',
      '你好王小明吗',
      'a 🎉 party',
      'bobby dave',
    ),
    'm.mentions': fc.record(
      {
        user_ids: fc.array(
          user.map((index) => `@${NAMES[index] ?? ''}:test.example`),
          { maxLength: 2 },
        ),
        room: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['body'] },
) as fc.Arbitrary<JsonObject>
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      sender: user,
      type: fc.constantFrom(
        'm.room.message',
        'm.room.message',
        'm.room.message',
        'm.room.encrypted',
        'm.reaction',
        'm.sticker',
        'm.room.tombstone',
      ),
      content,
      relation: fc.constantFrom('', '', 'm.thread', 'm.thread', 'm.replace', 'm.annotation', 'm.reference'),
      target: fc.nat(100),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('receipt' as const),
      reader: user,
      target: fc.nat(100),
      isPrivate: fc.boolean(),
      thread: fc.constantFrom('none', 'main', 'own'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('member' as const),
      user,
      displayName: fc.constantFrom(undefined, undefined, 'Cake Lover', 'hello'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('keyword' as const), user }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('look' as const), user }) },
)

/** One room whose history is told to the server and to the naive counter alike. */
class Story {
  readonly world: PushWorld
  readonly roomId: RoomId
  readonly naive: NaiveCounts
  readonly users: readonly UserId[]

  constructor(world: PushWorld, roomId: RoomId) {
    this.world = world
    this.roomId = roomId
    this.users = NAMES.map((name) => world.userId(name))
    this.naive = new NaiveCounts(roomId, new Map([[this.user(0), 100]]))
  }

  user(index: number): UserId {
    return this.users[index] as UserId
  }

  async changeRules(userId: UserId, change: Change): Promise<void> {
    const { pushRules } = this.world.push
    const text = JSON.stringify(change).replaceAll(ROOM_MARK, this.roomId)
    const own = JSON.parse(text) as Change
    if ('put' in own)
      await pushRules.put(userId, own.put, parsePushRule(own.put, own.id, own.body), { before: undefined, after: undefined })
    else if ('enable' in own) await pushRules.setEnabled({ userId, kind: own.enable, ruleId: own.id }, own.enabled)
    else await pushRules.setActions({ userId, kind: own.act, ruleId: own.id }, own.actions)
    this.naive.reader(userId).rules = (await pushRules.get(userId)).rules
  }

  async send(sender: UserId, type: string, body: JsonObject, stateKey?: string): Promise<EventId> {
    const eventId = await this.world.send(this.roomId, sender, type, body, stateKey)
    this.naive.addEvent(eventId, { sender, type, content: body, stateKey })
    return eventId
  }

  async join(userId: UserId, displayName: string | undefined): Promise<void> {
    await this.send(
      userId,
      'm.room.member',
      { membership: 'join', ...(displayName === undefined ? {} : { displayname: displayName }) },
      userId,
    )
  }

  async run(step: Operation): Promise<void> {
    switch (step.kind) {
      case 'send':
        return this.#runSend(step)
      case 'receipt':
        return this.#runReceipt(step)
      case 'member': {
        const userId = this.user(step.user)
        const isJoined = this.naive.reader(userId).isJoined
        if (step.user === 0 || (isJoined && step.displayName === undefined)) {
          if (step.user !== 0) await this.send(userId, 'm.room.member', { membership: 'leave' }, userId)
          return
        }
        return this.join(userId, step.displayName)
      }
      case 'keyword':
        return this.changeRules(this.user(step.user), {
          ...KEYWORD,
          put: 'content',
          id: 'pie',
          body: { pattern: 'hello', actions: ['notify', HIGHLIGHT] },
        })
      case 'look':
        return this.check(this.user(step.user), this.world.push.unreadCounts)
    }
  }

  async #runSend(step: Operation & { kind: 'send' }): Promise<void> {
    const sender = this.user(step.sender)
    if (!this.naive.reader(sender).isJoined) return
    if (step.type === 'm.room.tombstone') {
      // Unchanged state would not be sent again.
      if (step.sender === 0)
        await this.send(sender, step.type, { body: 'over', replacement_room: `!${this.naive.events.length}:example.org` }, '')
      return
    }
    const roots = this.naive.events.filter((event) => event.threadId === '' && !event.isState)
    const target = roots[step.target % Math.max(1, Math.min(roots.length, 3))]
    const isRelated = step.relation !== '' && target !== undefined
    await this.send(
      sender,
      step.type,
      isRelated ? { ...step.content, 'm.relates_to': { rel_type: step.relation, event_id: target.eventId } } : step.content,
    )
  }

  async #runReceipt(step: Operation & { kind: 'receipt' }): Promise<void> {
    const userId = this.user(step.reader)
    const index = this.naive.events.length - 1 - (step.target % Math.min(8, this.naive.events.length))
    const event = this.naive.events[index]
    if (!event || !this.naive.reader(userId).isJoined) return
    const thread = step.thread === 'own' ? event.threadId : step.thread === 'main' && event.threadId === '' ? '' : undefined
    const threadId = thread === '' ? 'main' : thread
    // Some events are related to threaded ones and so belong to their thread: those are left to the unthreaded case.
    try {
      await this.world.push.receipts.write({
        userId,
        roomId: this.roomId,
        eventId: event.eventId,
        receiptType: step.isPrivate ? 'm.read.private' : 'm.read',
        threadId,
      })
    } catch (error) {
      expect(error).toMatchObject({ errcode: 'M_INVALID_PARAM' })
      return
    }
    this.naive.addReceipt(userId, index, thread)
  }

  async check(userId: UserId, unreadCounts: UnreadCounts): Promise<void> {
    if (!this.naive.reader(userId).isJoined) return
    const found = (await unreadCounts.getForRooms({ userId, roomIds: [this.roomId] })).get(this.roomId)
    const { notificationCount, highlightCount, threads } = found ?? {
      notificationCount: -1,
      highlightCount: -1,
      threads: new Map(),
    }
    expect({ '': { notificationCount, highlightCount }, ...Object.fromEntries(threads) }, userId).toEqual(
      this.naive.count(userId),
    )
  }
}

describe('unread counts', () => {
  it('are what a full evaluation of every rule of every member says', { timeout: 120_000 }, async () => {
    await using world = await PushWorld.start()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(RULE_SETS.length - 1), { minLength: NAMES.length, maxLength: NAMES.length }),
        fc.array(operation, { minLength: 5, maxLength: 40 }),
        async (ruleSets, operations) => {
          const story = new Story(world, await world.createRoom(world.userId('alice')))
          story.naive.reader(story.user(0)).isJoined = true
          await Promise.all(story.users.map((userId) => resetRules(world, userId)))
          for (const [index, userId] of story.users.entries()) {
            for (const change of RULE_SETS[ruleSets[index] ?? 0] ?? []) await story.changeRules(userId, change)
            await story.join(userId, DISPLAY_NAMES[index])
          }
          for (const step of operations) await story.run(step)
          for (const userId of story.users) {
            await story.check(userId, world.push.unreadCounts)
            await story.check(userId, world.coldCounts())
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})

/** Takes a user back to default rules. */
async function resetRules(world: PushWorld, userId: UserId): Promise<void> {
  await world.core.database.query('test_reset_rules', 'DELETE FROM push_rules WHERE user_id = $1', [userId])
  await world.core
    .committer('push_rules')
    .commit({ count: 1, write: (tx) => tx.query('test_nothing', 'SELECT 1'), rows: () => [{ userId }] })
}
