import { getPowerLevels, userPowerLevel } from '../auth-rules/power-levels.ts'
import type { MatrixEvent } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { ResolutionContext } from './room-context.ts'
import { compareIds, createEventFor, powerLevelsAuthEvent } from './room-context.ts'

interface Vertex {
  readonly event: MatrixEvent
  readonly senderLevel: number
  /** How many auth events inside the set are not in the list yet. */
  waitsFor: number
  readonly citedBy: Vertex[]
}

/**
 * Sorts events by the reverse topological power ordering, earliest first: after their auth events, and among those that are
 * free by power of the sender, time and id. Spec: rooms/v2 § Reverse topological power ordering.
 */
export function sortByPower(events: readonly MatrixEvent[], context: ResolutionContext): MatrixEvent[] {
  const vertices = buildGraph(events, context)
  const heap = new VertexHeap()
  for (const vertex of vertices) {
    if (vertex.waitsFor === 0) heap.push(vertex)
  }
  const sorted: MatrixEvent[] = []
  for (let vertex = heap.pop(); vertex !== undefined; vertex = heap.pop()) {
    sorted.push(vertex.event)
    for (const citing of vertex.citedBy) {
      if (--citing.waitsFor === 0) heap.push(citing)
    }
  }
  return sorted
}

function buildGraph(events: readonly MatrixEvent[], context: ResolutionContext): Vertex[] {
  const vertices = new Map<EventId, Vertex>()
  for (const event of events) {
    vertices.set(event.eventId, { event, senderLevel: senderLevelOf(event, context), waitsFor: 0, citedBy: [] })
  }
  for (const vertex of vertices.values()) {
    for (const authEventId of new Set(vertex.event.authEventIds)) {
      const cited = vertices.get(authEventId)
      if (cited === undefined) continue
      cited.citedBy.push(vertex)
      vertex.waitsFor++
    }
  }
  return [...vertices.values()]
}

/** The level by the event's own auth events, whatever the room thinks now. */
function senderLevelOf(event: MatrixEvent, context: ResolutionContext): number {
  const powerLevels = powerLevelsAuthEvent(event, context.source)
  return userPowerLevel(getPowerLevels(context.roomVersion, powerLevels, createEventFor(event, context)), event.sender)
}

function compareVertices(a: Vertex, b: Vertex): number {
  // Not by difference: creators have the level infinity.
  if (a.senderLevel !== b.senderLevel) return a.senderLevel > b.senderLevel ? -1 : 1
  if (a.event.originServerTs !== b.event.originServerTs) return a.event.originServerTs - b.event.originServerTs
  return compareIds(a.event.eventId, b.event.eventId)
}

/** A binary heap with the smallest vertex on top. */
class VertexHeap {
  readonly #items: Vertex[] = []

  push(vertex: Vertex): void {
    const items = this.#items
    let index = items.length
    items.push(vertex)
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = items[parentIndex]
      if (parent === undefined || compareVertices(parent, vertex) <= 0) break
      items[index] = parent
      index = parentIndex
    }
    items[index] = vertex
  }

  pop(): Vertex | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (top === undefined || last === undefined || items.length === 0) return top
    let index = 0
    for (;;) {
      const child = this.#smallerChild(index)
      const item = child === undefined ? undefined : items[child]
      if (child === undefined || item === undefined || compareVertices(item, last) >= 0) break
      items[index] = item
      index = child
    }
    items[index] = last
    return top
  }

  #smallerChild(index: number): number | undefined {
    const left = this.#items[2 * index + 1]
    const right = this.#items[2 * index + 2]
    if (left === undefined) return undefined
    return right !== undefined && compareVertices(right, left) < 0 ? 2 * index + 2 : 2 * index + 1
  }
}
