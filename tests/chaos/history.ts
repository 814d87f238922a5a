import { createWriteStream } from 'node:fs'
import type { WriteStream } from 'node:fs'

/** `unknown`: no answer, or one that does not tell what became of it. It may have happened, or happen later, once. */
export type Result = 'ok' | 'fail' | 'unknown'

interface Common {
  /** Milliseconds since the run began, when the operation began. */
  readonly t: number
  /** When it ended. */
  readonly end: number
  /** The process that was asked, or `proxy`. */
  readonly process: string
  /** What it was about: entries of one kind and key are about one thing. */
  readonly key: string
  readonly result: Result
}

/** A message to a room; the key is the transaction id, and several entries of one key are one message repeated. */
export type SendEntry = Common & { readonly op: 'send'; readonly room: string; readonly body: string; readonly eventId?: string }
/** Where a device's token chain begins: the last event of each room that its first sync told. The key is the device's name. */
export type StartEntry = Common & { readonly op: 'start'; readonly next: string; readonly last: Readonly<Record<string, string>> }
/** One link of a device's token chain, with the gaps of limited timelines filled. */
export type SyncEntry = Common & {
  readonly op: 'sync'
  readonly since: string
  readonly next: string
  readonly events: Readonly<Record<string, readonly string[]>>
  readonly whispers: readonly string[]
  readonly receipts: readonly { readonly room: string; readonly user: string; readonly eventId: string }[]
  readonly accountData?: number
}
/** A message to a device; the key is unique, and several entries of one key are one message repeated. */
export type WhisperEntry = Common & { readonly op: 'whisper'; readonly device: string }
/** Upload of one-time keys; the key is the device's name. */
export type UploadEntry = Common & { readonly op: 'upload'; readonly keyIds: readonly string[] }
/** A one-time key of the device was asked for. */
export type ClaimEntry = Common & { readonly op: 'claim'; readonly keyId?: string }
/** A user's read receipt; the key is `receiptKey`. */
export type ReceiptEntry = Common & { readonly op: 'receipt'; readonly eventId: string }
/** A user's account data got the value; the key is the user. */
export type AccountDataEntry = Common & { readonly op: 'account_data'; readonly value: number }
/** A join or leave; the key is `memberKey`. */
export type MemberEntry = Common & { readonly op: 'member'; readonly membership: 'join' | 'leave' }
/** The end of a token; the key is the token's name. */
export type LogoutEntry = Common & { readonly op: 'logout' }
/** Use of a token; `ok` when it was accepted, `fail` when it was refused. */
export type UseEntry = Common & { readonly op: 'use' }
/** What the nemesis did; the key is the kind of fault, the process its target. */
export type FaultEntry = Common & { readonly op: 'fault'; readonly detail?: string }

export type Entry =
  | SendEntry
  | StartEntry
  | SyncEntry
  | WhisperEntry
  | UploadEntry
  | ClaimEntry
  | ReceiptEntry
  | AccountDataEntry
  | MemberEntry
  | LogoutEntry
  | UseEntry
  | FaultEntry

/** The key of receipts. */
export function receiptKey(user: string, room: string): string {
  return `${user} ${room}`
}

/** The key of memberships. */
export function memberKey(room: string, user: string): string {
  return `${room} ${user}`
}

/** Keeps the history of a run, and writes it as JSON lines where a file is named. */
export class Recorder {
  readonly entries: Entry[] = []
  readonly #startedMs = performance.now()
  readonly #file: WriteStream | undefined

  constructor(path?: string) {
    this.#file = path === undefined ? undefined : createWriteStream(path)
  }

  /** Milliseconds since the run began. */
  now(): number {
    return Math.round(performance.now() - this.#startedMs)
  }

  add(entry: Entry): void {
    this.entries.push(entry)
    this.#file?.write(`${JSON.stringify(entry)}\n`)
  }

  /** Writes something that is no part of the history, such as the final read. */
  write(value: unknown): void {
    this.#file?.write(`${JSON.stringify(value)}\n`)
  }

  async close(): Promise<void> {
    if (this.#file === undefined) return
    await new Promise<void>((resolve) => this.#file?.end(resolve))
  }
}
