import { describe, expect, it } from 'vitest'
import { checkAuthRules } from '../../src/protocol/auth-rules/check-auth-rules.ts'
import { PeerRoom } from './peer-room.ts'
import { TestPeer } from './test-peer.ts'

describe('the room of a peer', () => {
  it.each(['1', '6', '10', '11', '12'])('holds events of version %s that the rules allow', async (version) => {
    await using peer = await TestPeer.start()
    const room = PeerRoom.create(peer, { version })
    room.sendText(`@creator:${peer.serverName}`, 'hello')
    for (const { event } of room.events.values()) {
      if (event.type === 'm.room.create' || event.content['membership'] === 'join') continue
      const verdict = checkAuthRules(room.version, event, (type, stateKey) => room.stateEvent(type, stateKey)?.event)
      expect(verdict).toEqual({ allowed: true })
    }
    expect(room.state()).toHaveLength(5)
    expect(room.heads).toHaveLength(1)
  })
})
